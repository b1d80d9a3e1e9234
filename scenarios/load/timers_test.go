package load

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// TestTimers runs more orders than one stream takes, one of which never ends, one ends early, and one is late.
func TestTimers(t *testing.T) {
	t.Parallel()
	const n, lost, early, refusedOne = 1000, 7, 8, 9
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	s := &server{
		end: func(n int, o *orderv1.WorkOrder) *orderv1.Submission {
			if n == refusedOne {
				return refused(o)
			}
			return nil
		},
	}
	numbers := func(id string) int { return s.seen[id] }
	due := time.Now()
	s.history = func(id string) []*orderv1.HistoryEvent {
		if numbers(id) == early {
			return waited(due, due.Add(-time.Millisecond))
		}
		return waited(due, due)
	}
	script := w3(t)
	tl := newTally(time.Now(), time.Now().Add(time.Hour), &bytes.Buffer{})
	conn := serve(t, s)
	run := &timers{script: script, ids: newIDs(time.Now()), tally: tl, window: 300}
	if err := run.run(ctx, conn, n, 60); err != nil {
		t.Fatal(err)
	}
	if len(s.seen) != n || s.most > 60 {
		t.Fatalf("the server was sent %d orders, %d at once: %d, at most 60 are expected", len(s.seen), s.most, n)
	}
	for i := range run.ended { // as if it had never ended
		if numbers(run.ids.id(uint64(i), i)) == lost {
			run.ended[i] = time.Time{}
		}
	}
	took := time.Since(due)
	got, err := run.settle(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	if got.Early != 1 || got.Lost != 1 || got.LateP99MS <= 0 || got.LateP99MS > 1.01*milliseconds(took) {
		t.Errorf("got %+v: one early, one lost, and less than %v late are expected", got, took)
	}
	if c := tl.counts(); c.errors != 1 || c.all != n-1 {
		t.Errorf("counted %+v: one of %d was refused", c, n)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	due := time.Now().UTC()
	if d, w, err := wait(waited(due, due.Add(time.Second))); err != nil || !d.Equal(due) || !w.Equal(due.Add(time.Second)) {
		t.Errorf("read as due %v, woken %v: %v", d, w, err)
	}
	for _, events := range [][]*orderv1.HistoryEvent{nil, waited(due, due)[:1], waited(due, due)[:2], {{EventType: eventtype.WaitStarted}, {}}} {
		if _, _, err := wait(events); err == nil {
			t.Errorf("a history without a wait that is over is read: %v", events)
		}
	}
}

func TestISODuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		30 * time.Second: "PT30S", 1500 * time.Millisecond: "PT1.5S", 2 * time.Hour: "PT7200S", 0: "PT0S",
	} {
		if got := isoDuration(d); got != want {
			t.Errorf("%v is written %s, not %s", d, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := Config{Holdfast: "holdfast", Workload: W3}
	if err := good.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	bad := Config{Workload: "w9", Submit: "pigeon", InFlight: -1, Duration: time.Millisecond, Orders: maxSlots + 1, Delay: -1}
	err := bad.Validate()
	if err == nil {
		t.Fatal("nothing is wrong with it")
	}
	for _, field := range []string{"binary", "workload", "submit", "in-flight", "duration", "orders", "delay"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not complained about in: %v", field, err)
		}
	}
}
