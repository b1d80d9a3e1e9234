package share_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/share"
)

// Nodes are killed, partitions move, letters get lost, are late and come twice: there is never more under way, and never more sent, than
// the limit allows. When that is over, all of the limit is used.
func TestNeverAboveAndInTheEndAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := share.Limit{}
		if rapid.IntRange(0, 2).Draw(t, "rated") > 0 {
			limit.Rate = rapid.SampledFrom([]float64{1, 4, 20, 50, 300}).Draw(t, "rate")
		}
		if limit.Rate == 0 || rapid.Bool().Draw(t, "bounded") {
			limit.Concurrency = rapid.SampledFrom([]int{1, 2, 3, 10}).Draw(t, "concurrency")
		}
		w := newWorld(t, limit, rapid.IntRange(1, 4).Draw(t, "nodes"))
		w.longer = rapid.SampledFrom([]time.Duration{200 * time.Millisecond, 2 * time.Second}).Draw(t, "longer")
		w.faults = rapid.Bool().Draw(t, "letters get lost")
		for range rapid.IntRange(0, 25).Draw(t, "faults") {
			w.shake()
			w.run(w.some(1500))
		}
		w.faults = false
		for _, n := range w.nodes {
			n.waiting = 1000
			if n.dead {
				n.back = w.now
			}
		}
		w.run(15 * time.Second)
		w.sum, w.count, w.sent = 0, 0, 0
		const span = 20 * time.Second
		w.run(span)
		w.full(span)
	})
}

// shake has something go wrong, or something change.
func (w *world) shake() {
	n := w.nodes[w.chance.IntN(len(w.nodes))]
	switch w.chance.IntN(6) {
	case 0:
		if !n.dead {
			w.kill(n)
		}
	case 1, 2:
		w.move(w.chance.IntN(groups))
	case 3:
		n.waiting = 0
	default:
		n.waiting = 1000
	}
}

// full finds that less than the limit was used.
func (w *world) full(span time.Duration) {
	const enough = 0.85 // a step is a part of an attempt, and of a seat's turn
	tasks := float64(w.sum) / float64(w.count)
	rate := float64(w.sent) / span.Seconds()
	most, possible := w.limit.Rate, float64(w.limit.Concurrency)/w.longer.Seconds()
	switch {
	case possible == 0 || most > 0 && most < possible/2:
		if rate < enough*most {
			w.t.Errorf("%.2f are sent a second, of %.1f", rate, most)
		}
	case most == 0 || possible < most/2:
		c := float64(w.limit.Concurrency)
		if most > 0 && most < 10 {
			c *= 0.8 // such a rate is a single seat, which goes round, and who waits for it has idle seats for tasks at a time
		}
		if tasks < enough*c {
			w.t.Errorf("%.2f are running on average, of %.0f", tasks, c)
		}
	} // else what waits for one of them leaves some of the other
}
