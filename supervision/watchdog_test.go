package supervision_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// clock is set by a test.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func get(h http.Handler) (int, string) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/livez", nil))
	return rec.Code, rec.Body.String()
}

func TestWatchdogTellsWhichLoopIsStuck(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	c := &clock{}
	dog := supervision.NewWatchdog(c.now, slog.New(slog.NewTextHandler(&logged, nil)))
	slow, quick := dog.Register("journal", 10*time.Second), dog.Register("dispatcher", time.Second)
	if code, body := get(dog.Handler()); code != 200 || body != "ok\n" {
		t.Fatalf("at first: %d %q", code, body)
	}

	c.advance(1001 * time.Millisecond)
	want := "stuck: dispatcher has not turned for 1.001s, more than 1s\n"
	for range 2 { // the second time nothing more is logged
		if code, body := get(dog.Handler()); code != 503 || body != want {
			t.Fatalf("dispatcher stuck: %d %q", code, body)
		}
	}
	if n := strings.Count(logged.String(), "loops are stuck"); n != 1 || !strings.Contains(logged.String(), "goroutine ") {
		t.Errorf("logged %d times, with stacks: %s", n, logged.String())
	}

	c.advance(10 * time.Second)
	stuck := dog.Stuck(c.now())
	if len(stuck) != 2 || stuck[0].Name != "dispatcher" || stuck[1].Name != "journal" ||
		!stuck[1].Since.Equal(time.Unix(1, 0)) || stuck[1].Bound != 10*time.Second {
		t.Errorf("both stuck: %+v", stuck)
	}

	quick.Beat()
	slow.Close()
	slow.Close()
	if code, body := get(dog.Handler()); code != 200 {
		t.Errorf("after the beat: %d %q", code, body)
	}
	logged.Reset()
	c.advance(2 * time.Second)
	dog.Stuck(c.now())
	if n := strings.Count(logged.String(), "loops are stuck"); n != 1 {
		t.Errorf("a new episode was logged %d times", n)
	}
}

// With the clock read at intervals, loops that turn still seem to, and those that don't are found out.
func TestWatchdogLeavesAloneWhatRests(t *testing.T) {
	t.Parallel()
	c := &clock{}
	dog := supervision.NewWatchdog(c.now, slog.New(slog.DiscardHandler))
	loop := dog.Register("dispatcher", time.Second)
	loop.Rest()
	for _, on := range [...]time.Duration{2 * time.Second, 10 * 365 * 24 * time.Hour} {
		if c.advance(on); len(dog.Stuck(c.now())) != 0 {
			t.Fatalf("it counts as stuck while it rests, after %v", on)
		}
	}
	loop.Beat()
	if c.advance(2 * time.Second); len(dog.Stuck(c.now())) != 1 {
		t.Error("it does not count as stuck when it has turned again, and does not go on")
	}
}

func TestWatchdogReadsTheClockAtIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dog := supervision.NewWatchdog(time.Now, quiet())
		turns, _ := dog.Register("turns", time.Second), dog.Register("stuck", time.Second)
		stop := dog.Every(100 * time.Millisecond)
		for range 15 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			turns.Beat()
		}
		if stuck := dog.Stuck(time.Now()); len(stuck) != 1 || stuck[0].Name != "stuck" {
			t.Errorf("stuck are %+v", stuck)
		}
		stop()
		time.Sleep(2 * time.Second)
		turns.Beat() // reads the clock
		if stuck := dog.Stuck(time.Now()); len(stuck) != 1 {
			t.Errorf("after that, stuck are %+v", stuck)
		}
	})
}

// A process that gets no processor for long is busy, and nothing in it counts as stuck; what does not turn when it goes on does.
func TestWatchdogTellsBusyFromStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var jumped atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(jumped.Load())) }
		dog := supervision.NewWatchdog(now, quiet())
		turns := dog.Register("turns", time.Second)
		dog.Register("stuck", time.Second)
		defer dog.Every(100 * time.Millisecond)()
		expect := func(when string, want int) {
			if stuck := dog.Stuck(now()); len(stuck) != want {
				t.Errorf("%s, stuck are %+v", when, stuck)
			}
		}
		for range 5 {
			jumped.Add(int64(time.Minute))
			expect("after a minute without a processor", 0)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			expect("when it goes on", 0)
		}
		for range 8 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			turns.Beat()
		}
		expect("when it has turned for longer than the bound", 1)
	})
}

func TestWatchdogBoundIsInclusive(t *testing.T) {
	t.Parallel()
	c := &clock{}
	dog := supervision.NewWatchdog(c.now, quiet())
	dog.Register("loop", time.Second)
	c.advance(time.Second)
	if stuck := dog.Stuck(c.now()); len(stuck) != 0 {
		t.Errorf("stuck at its bound: %+v", stuck)
	}
}

// A loop tells what it is at, and what is no loop finds out by itself what is stuck in it.
func TestWatchdogTellsWhatIsStuckInsideOfIt(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	c := &clock{}
	dog := supervision.NewWatchdog(c.now, slog.New(slog.NewTextHandler(&logged, nil)))
	loop, order := dog.Register("partition 7", time.Second), "A-1001"
	var inside []supervision.Stuck
	dog.Watch(func(time.Time) []supervision.Stuck { return inside })
	loop.At(&order)
	c.advance(2 * time.Second)
	want := "stuck: partition 7 at A-1001 has not turned for 2s, more than 1s\n"
	loop.BeatAt("A-1002")
	if _, body := get(dog.Handler()); body != want {
		t.Errorf("a loop at something: %q", body)
	}
	loop.BeatAt("A-1001")
	if code, body := get(dog.Handler()); code != 200 {
		t.Errorf("a loop that turns at something: %q", body)
	}
	loop.At(nil)
	c.advance(2 * time.Second)
	loop.BeatAt("A-1001")
	if code, _ := get(dog.Handler()); code != 503 {
		t.Error("a loop that is at nothing is said to turn")
	}
	loop.Beat()
	inside = []supervision.Stuck{{Name: "order A-1002", Since: c.now().Add(-3 * time.Second), Bound: time.Second}}
	want = "stuck: order A-1002 has not turned for 3s, more than 1s\n"
	for range 2 {
		if code, body := get(dog.Handler()); code != 503 || body != want {
			t.Errorf("something inside: %d %q", code, body)
		}
	}
	if n := strings.Count(logged.String(), "loops=\"[order A-1002]\""); n != 1 {
		t.Errorf("logged %d times: %.200s", n, logged.String())
	}
}

func BenchmarkBeat(b *testing.B) {
	l := supervision.NewWatchdog(time.Now, quiet()).Register("loop", time.Second)
	for b.Loop() {
		l.Beat()
	}
}
