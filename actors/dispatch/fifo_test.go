package dispatch_test

import (
	"strconv"
	"testing"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// TestCompaction shows that a list does not grow by what went through it, or was taken out of its middle.
func TestCompaction(t *testing.T) {
	t.Parallel()
	for name, credit := range map[string]bool{"sent": true, "cancelled": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := dispatch.New(dispatch.Config{})
			q.Attach(dispatch.Stream{ID: 1, Process: "P", Ledger: "P", Idempotent: true})
			for i := range 10_000 {
				q.Offer(&dispatch.Task{Key: strconv.Itoa(i), Attempt: 1})
				if i > 0 && (!credit || i%3 == 0) {
					q.Cancel(strconv.Itoa(i), 1)
				}
				if credit && i > 100 {
					q.Credit(1, uint64(i-100))
				}
				if n := q.Listed(); n > 2*(q.Waiting()+64) {
					t.Fatalf("%d entries for %d waiting tasks", n, q.Waiting())
				}
			}
			q.Credit(1, 20_000)
			if q.Waiting() != 0 || q.Listed() > 64 {
				t.Fatalf("%d wait, %d entries", q.Waiting(), q.Listed())
			}
		})
	}
}
