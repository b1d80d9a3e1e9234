package runtime

import (
	"math"
	"runtime/metrics"
	"time"
)

// crowd tells whether goroutines wait for a processor: for one of the Go runtime's, or, with their thread, for one of the machine's.
type crowd struct {
	waits   func() time.Duration // how long they have waited, all together
	waited  time.Duration        // what that was
	at      time.Time            // when
	crowded bool
	quiet   time.Time // since when hardly any wait
}

const (
	// crowdEvery is how often it is looked, and crowdStill how often whether there is still a crowd: that can't change sooner.
	crowdEvery, crowdStill = 20 * time.Millisecond, crowdQuiet / 4
	// crowdMost is how long a time may be over which the wait is averaged.
	crowdMost = time.Second
	// More than crowdFrom that wait on average are a crowd. It is none any more once fewer than crowdUntil waited for crowdQuiet.
	crowdFrom, crowdUntil = 0.5, 0.25
	crowdQuiet            = 250 * time.Millisecond
	// sampledWaits is of how many waits the runtime measures one.
	sampledWaits = 8
)

// look is for one goroutine at a time.
func (c *crowd) look(now time.Time) bool {
	passed, every := now.Sub(c.at), crowdEvery
	if c.crowded {
		every = crowdStill
	}
	if passed < every {
		return c.crowded
	}
	waited := c.waits()
	waiting := (waited - c.waited).Seconds() / passed.Seconds() // less than none if threads have ended
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

// processorWaits returns what tells how long goroutines, and threads of this process, have waited for a processor, all together.
func processorWaits() func() time.Duration {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	return func() time.Duration {
		waited := threadsWaited()
		metrics.Read(sample)
		if sample[0].Value.Kind() == metrics.KindFloat64Histogram {
			waited += time.Duration(total(sample[0].Value.Float64Histogram()) * sampledWaits * float64(time.Second))
		}
		return waited
	}
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
