package actors_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// wantStuck looks every second, as a supervisor does, and compares what is stuck after 9 s. Nothing is before 8.
func (n *node) wantStuck(want ...string) {
	n.t.Helper()
	for second := range 10 {
		var got []string
		for _, s := range n.dog.Stuck(time.Now()) {
			got = append(got, s.Name)
		}
		switch text := strings.Join(got, ", "); {
		case second < 8 && text != "":
			n.t.Errorf("stuck after %d s already: %s", second, text)
		case second == 9 && text != strings.Join(want, ", "):
			n.t.Errorf("stuck: %q, want %q", text, strings.Join(want, ", "))
		}
		n.sleep(time.Second)
	}
}

// submitOnly hands an order over, and waits for nothing.
func (n *node) submitOnly(o order) <-chan error {
	answer := make(chan error, 1)
	n.hand(o.accepted(), func(err error) { answer <- err })
	settle()
	return answer
}

// An order that hangs in its partition's turn is named along with the partition.
func TestStuckInPartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		f := &faulty{fail: func(c *persistence.Commit) *fault {
			if c.ID == "hung" {
				<-hung
			}
			return nil
		}}
		n := start(t, withWrap(f.wrap))
		def := n.deploy("set", "do: [{a: {set: {x: 1}}}]")
		answer := n.submitOnly(order{id: "hung", def: def})
		n.wantStuck(fmt.Sprintf("partition %d at hung", messages.PartitionOf("hung", "")))
		n.mustSubmit(order{id: "other", def: def})
		n.expect("other", completed)
		close(hung)
		wantErr(t, <-answer, nil)
		settle()
		n.expect("hung", completed)
		n.wantStuck()
	})
}

// One that hangs in a turn of its own is named alone, and holds up no other of its partition.
func TestStuckOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hung chan struct{}
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return stuck{j, &hung} }))
		ids := crowd(2)
		n.mustSubmit(order{id: ids[0], def: n.deploy("wait", waitLong)})
		n.sleep(20 * time.Second) // it has left memory
		hung = make(chan struct{})
		n.tell(messages.OrderID(ids[0]), workflow.Cancel{}, func(error) {})
		settle()
		n.wantStuck("order " + ids[0])
		n.mustSubmit(order{id: ids[1], def: n.deploy("set", "do: [{a: {set: {x: 1}}}]")})
		close(hung)
		settle()
		n.expect(ids[1], completed)
		n.expect(ids[0], completed)
		n.wantStuck()
	})
}

// An order whose evaluation takes long awaits its turn for that. Meanwhile neither it nor its partition counts as stuck, and
// others go on.
func TestEvaluationAwaitsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Evaluations: 2}))
		ids := crowd(2)
		long := n.deploy("long", "do: [{a: {set: {n: '${ [range(30000)] | length }'}}}]")
		later := n.deploy("later", "do: [{w: {wait: {seconds: 6}}}, {a: {set: {n: '${ [range(30000)] | length }'}}}]")
		n.mustSubmit(order{id: "first", def: long}) // by which it is known to take long
		n.mustSubmit(order{id: "first later", def: later})
		n.sleep(7 * time.Second)
		n.expect("first", completed)
		n.expect("first later", completed)
		end := n.HoldHeavy()
		answers := []<-chan error{
			n.submitOnly(order{id: ids[0], def: long}),
			n.submitOnly(order{id: "later", def: later}),
		}
		n.wantStuck()
		n.wantStuck()
		n.mustSubmit(order{id: "other", def: n.deploy("set", "do: [{a: {set: {x: 1}}}]")})
		n.expect("other", completed)
		end()
		for _, answer := range answers {
			wantErr(t, <-answer, nil)
		}
		n.sleep(time.Minute) // they may have to make up for what was evaluated before
		n.expect(ids[0], completed)
		n.expect("later", completed)
		n.wantStuck()
	})
}

// A dispatcher is named, and who was about to use it.
func TestStuckDispatcher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		hung := make(chan struct{})
		n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { <-hung; return done("1") })
		n.submitOnly(order{id: "a", def: n.deploy("one", callOne)})
		n.wantStuck("dispatcher x.do", "order a")
		close(hung)
		settle()
		n.expect("a", completed)
		n.wantStuck()
	})
}
