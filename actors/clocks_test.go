package actors_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// Partitions go to and fro between two nodes whose clocks are four seconds apart, and none of them right: the times of a history never
// fall, and no wait is over before its time by the clock of the node that says so.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(1, 1)), unfenced: true}
		w.now = func(i int) time.Time { return time.Now().Add([]time.Duration{2 * time.Second, -2 * time.Second}[i]) }
		for i := range w.sides {
			w.sides[i] = &side{town: w, index: i}
		}
		for p := range w.desired {
			w.desired[p] = p % 2
		}
		for _, s := range w.sides {
			s.open()
		}
		defer w.end()
		w.deploy()
		const orders = 300
		for n := range orders {
			w.accept(fmt.Sprint("o", n), []string{"test/wait:1.0.0", "test/three:1.0.0", "test/parent:1.0.0"}[n%3], "")
			w.move()
			time.Sleep(time.Duration(w.roll(50)) * time.Millisecond)
		}
		for range 500 { // while they run
			w.move()
			time.Sleep(time.Duration(w.roll(20)) * time.Millisecond)
		}
		w.settle()
		held := 0 // histories of which an event would have been dated before the one before it
		for n := range orders {
			id := fmt.Sprint("o", n)
			e, err := w.sides[0].journal.Find(t.Context(), messages.OrderID(id))
			if err != nil {
				t.Fatal(err)
			}
			events, err := actors.ReadEvents(t.Context(), w.sides[0].journal, e.Handle)
			if err != nil {
				t.Fatal(err)
			}
			if checkTimes(t, id, events) {
				held++
			}
		}
		if held < 3 {
			t.Errorf("of %d histories %d went on at a node whose clock was behind", orders, held)
		}
	})
}

// checkTimes makes sure that the times of a history don't fall, and that no wait was over too early. It tells whether something that takes
// time seems to have taken none.
func checkTimes(t *testing.T, id string, events []*journalv1.Event) (held bool) {
	t.Helper()
	last, due := int64(0), map[uint32]int64{}
	for _, ev := range events {
		at := ev.GetAt()
		if at < last {
			t.Errorf("order %s: an event is dated %v after one of %v: %v", id, time.Unix(0, at), time.Unix(0, last), ev)
		}
		held = held || at == last && ev.GetAttemptEnded() != nil
		last = at
		if e := ev.GetWaitStarted(); e != nil {
			due[e.GetFrame()] = e.GetDue()
		}
		if e := ev.GetTaskCompleted(); e != nil && at < due[e.GetFrame()] {
			t.Errorf("order %s: a wait until %v was over at %v", id, time.Unix(0, due[e.GetFrame()]), time.Unix(0, at))
		}
	}
	return held
}
