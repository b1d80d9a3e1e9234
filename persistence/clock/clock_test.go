package clock_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/persistence/clock"
)

// world has a server whose clock differs from that of the process, and runs faster or slower.
type world struct {
	now    time.Duration // by the clock of the process
	passed time.Duration // since the server's clock was set
	server time.Time     // what it showed when it was set
	rate   float64
}

func (w *world) shows() time.Time { return w.server.Add(time.Duration(float64(w.passed) * w.rate)) }

func (w *world) pass(d time.Duration) {
	w.now += d
	w.passed += d
}

// set sets the server's clock.
func (w *world) set(by time.Duration) { w.server, w.passed = w.shows().Add(by), 0 }

// read reads the server's clock, as exactly as it shows.
func (w *world) read(there, back time.Duration) clock.Reading {
	r := clock.Reading{Sent: w.now}
	w.pass(there)
	r.Read = w.shows().Truncate(time.Microsecond)
	w.pass(back)
	r.Received = w.now
	return r
}

// rounding is what the world is off by.
const rounding = 10 * time.Nanosecond

var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// However clocks differ, run and are set, and however long answers take: between two readings the server's clock shows what the estimate
// says, and the course never goes back, nor ahead of the server, but for a while after that was set back.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		short := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, int(20*time.Millisecond)).Draw(t, "trip"))
		})
		w := &world{server: began, rate: 1 + rapid.Float64Range(-0.0004, 0.0004).Draw(t, "rate")}
		var e clock.Estimate
		c := &clock.Course{}
		var last time.Time
		var back time.Duration // by how much the course may be ahead
		look := func() {
			shown := c.At(w.now)
			if shown.Before(last) {
				t.Fatalf("the course went back from %v to %v", last, shown)
			}
			last = shown
			earliest, latest := e.At(w.now)
			if is := w.shows(); is.Before(earliest.Add(-rounding)) || is.After(latest.Add(rounding)) || shown.After(is.Add(back+rounding)) {
				t.Fatalf("the server's clock shows %v, which should be between %v and %v, and is shown as %v", is, earliest, latest, shown)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "readings") {
			by := time.Duration(0)
			if rapid.IntRange(0, 9).Draw(t, "set") == 9 {
				by = rapid.SampledFrom([]time.Duration{-time.Hour, -time.Second, time.Second, time.Hour}).Draw(t, "by")
				w.set(by)
			}
			was := e.Known()
			r := w.read(short.Draw(t, "there"), short.Draw(t, "back"))
			if set := e.Add(r); set != (was && by != 0) {
				t.Fatalf("the server's clock was set by %v, and the estimate says %v", by, set)
			}
			earliest, _ := e.At(w.now)
			if back = max(c.At(w.now).Sub(earliest), 0); !was {
				back = 0
			}
			c = c.Corrected(w.now, earliest)
			look()
			for range rapid.IntRange(0, 3).Draw(t, "looks") {
				w.pass(time.Duration(rapid.IntRange(0, int(3*time.Second)).Draw(t, "pause")))
				look()
			}
		}
	})
}

// Of several readings the one counts whose answer came soonest; it counts for eight readings.
func TestBestReading(t *testing.T) {
	t.Parallel()
	w := &world{server: began, rate: 1}
	var e clock.Estimate
	late := func() time.Duration {
		earliest, _ := e.At(w.now)
		return w.shows().Sub(earliest)
	}
	e.Add(w.read(time.Millisecond, time.Millisecond))
	for n := range 8 {
		w.pass(time.Second)
		e.Add(w.read(time.Millisecond, time.Second))
		if got, good := late(), n < 7; (got < 20*time.Millisecond) != good {
			t.Errorf("after %d answers that took a second, the estimate is late by %v", n+1, got)
		}
	}
}

// A course that is ahead goes at half the pace until it is right, and one that is behind leaps.
func TestCourse(t *testing.T) {
	t.Parallel()
	const ahead = 2 * time.Second
	c := (&clock.Course{}).Corrected(time.Minute, began).Corrected(time.Minute, began.Add(-ahead))
	for after, want := range map[time.Duration]time.Duration{
		0: 0, time.Second: time.Second / 2, 2 * ahead: ahead, 5 * ahead: 4 * ahead, time.Hour: time.Hour - ahead,
	} {
		got := c.At(time.Minute + after).Sub(began)
		if slower := want - got; slower < 0 || slower > after/1000 {
			t.Errorf("%v after it was corrected, the course has gone %v, not %v", after, got, want)
		}
	}
	if got := c.Corrected(2*time.Minute, began.Add(time.Hour)).At(2 * time.Minute); !got.Equal(began.Add(time.Hour)) {
		t.Errorf("a course that was behind shows %v", got)
	}
}
