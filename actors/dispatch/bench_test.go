package dispatch_test

import (
	"strconv"
	"testing"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// BenchmarkCycle offers tasks, has them sent as credits come, and done, with 256 under way: what one activity costs.
func BenchmarkCycle(b *testing.B) {
	for name, idempotent := range map[string]bool{"idempotent": true, "not": false} {
		b.Run(name, func(b *testing.B) {
			q := dispatch.New(dispatch.Config{})
			for i := range dispatch.StreamID(2) {
				p := strconv.Itoa(int(i))
				q.Attach(dispatch.Stream{ID: i, Process: p, Ledger: p, Idempotent: idempotent})
			}
			keys := make([]string, 1024)
			for i := range keys {
				keys[i] = "0199c7a2-5d3e-7c51-b0aa-0123456789ab:/do/0/" + strconv.Itoa(i)
			}
			totals, sent := [2]uint64{128, 128}, 0
			b.ReportAllocs()
			var perform func([]dispatch.Output)
			perform = func(outputs []dispatch.Output) {
				for _, o := range outputs {
					switch o := o.(type) {
					case dispatch.JournalLedger:
						perform(q.Confirm(o.Task.Key, 1, o.Ledger))
					case dispatch.Send:
						totals[o.Stream]++
						sent++
					}
				}
			}
			for i := range b.N {
				perform(q.Offer(&dispatch.Task{Key: keys[i%1024], Attempt: 1, Priority: 5}))
				if i >= 256 {
					perform(q.Done(keys[(i-256)%1024], 1))
				}
				perform(q.Credit(dispatch.StreamID(i%2), totals[i%2]))
			}
			if sent != b.N {
				b.Fatalf("%d of %d were sent", sent, b.N)
			}
		})
	}
}
