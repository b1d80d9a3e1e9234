package actors_test

import (
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const callOne = "do: [{a: {call: x.do}}]"

func TestRunsAnOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", callOne)
		w := n.worker(succeed(`"done"`))
		n.mustSubmit(order{id: "a", def: def})
		n.expect("a", orderv1.Status_STATUS_COMPLETED)
		if got := string(n.state("a").Output().JSON()); got != `"done"` {
			t.Errorf("output is %s", got)
		}
		w.one()
	})
}

func TestLongWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("wait", "do: [{a: {wait: PT30S}}, {b: {set: {x: 1}}}]")
		n.mustSubmit(order{id: "a", def: def})
		n.expect("a", orderv1.Status_STATUS_WAITING)
		time.Sleep(31 * time.Second)
		n.expect("a", orderv1.Status_STATUS_COMPLETED)
	})
}
