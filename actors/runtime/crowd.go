package runtime

import (
	"math"
	"runtime/metrics"
	"time"
)

// crowd tells whether goroutines wait for a processor. The runtime measures how long they do.
type crowd struct {
	sample  [1]metrics.Sample
	waited  float64 // seconds that goroutines have waited, all together
	at      time.Time
	crowded bool
	quiet   time.Time // since when hardly any wait
}

const (
	// crowdEvery is how often it is looked.
	crowdEvery = 20 * time.Millisecond
	// crowdMost is how long a time may be over which the wait is averaged.
	crowdMost = time.Second
	// More than crowdFrom goroutines that wait on average are a crowd. It is none any more once fewer than crowdUntil waited for crowdQuiet.
	crowdFrom, crowdUntil = 0.5, 0.25
	crowdQuiet            = 250 * time.Millisecond
	// sampledWaits is of how many waits the runtime measures one.
	sampledWaits = 8
)

// look is for one goroutine at a time.
func (c *crowd) look(now time.Time) bool {
	passed := now.Sub(c.at)
	if passed < crowdEvery {
		return c.crowded
	}
	c.sample[0].Name = "/sched/latencies:seconds"
	metrics.Read(c.sample[:])
	if c.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return false
	}
	waited := total(c.sample[0].Value.Float64Histogram()) * sampledWaits
	waiting := (waited - c.waited) / passed.Seconds()
	first := passed > crowdMost
	c.waited, c.at = waited, now
	switch {
	case first: // that was too long ago
		c.quiet = now
	case waiting > crowdFrom:
		c.crowded, c.quiet = true, now
	case waiting > crowdUntil:
		c.quiet = now
	case now.Sub(c.quiet) >= crowdQuiet:
		c.crowded = false
	}
	return c.crowded
}

// total is about the sum of what a histogram has counted.
func total(h *metrics.Float64Histogram) (sum float64) {
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		from, to := max(0, h.Buckets[i]), h.Buckets[i+1]
		if math.IsInf(to, 1) {
			to = from
		}
		sum += float64(n) * (from + to) / 2
	}
	return sum
}
