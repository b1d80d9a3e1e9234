package actors_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/persistence/memory"
)

// When nobody owns anything any more by the journal, the node learns of it by its commits, loses partition after partition, has them
// again, and goes on.
func TestPartitionsLostWhileTheNodeGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		n, j := over(t, store)
		n.insistent()
		def := n.deploy("three", callThree)
		for round := range 3 {
			var ids []string
			for i := range 300 {
				o := order{id: fmt.Sprint("r", round, "-", i), def: def}
				if i%3 == 0 {
					o.key = fmt.Sprint("k", i%10)
				}
				ids = append(ids, o.id)
				n.mustSubmit(o)
			}
			n.sleep(700 * time.Millisecond)
			if _, err := j.NewGeneration(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.sleep(5 * time.Minute)
			for _, id := range ids {
				n.expect(id, completed)
			}
			if err := n.Ready(); err != nil {
				t.Error(err)
			}
			if got := n.Asks(); got != 0 {
				t.Errorf("%d asks are left", got)
			}
			if used := n.RoomUsed("x.do"); used != "" {
				t.Errorf("room is used: %s", used)
			}
			if s := n.Status(t.Context()); s.Open != 0 || s.KeysWaiting != 0 {
				t.Errorf("status is %+v", s)
			}
		}
	})
}
