package runtime

import (
	"os"
	"testing"
	"time"
)

// TestCrowd has goroutines wait for a processor: that is a crowd as long as it lasts, and a little longer.
func TestCrowd(t *testing.T) {
	t.Parallel()
	waited := time.Hour
	c := crowd{waits: func() time.Duration { return waited }}
	now := time.Unix(0, 0)
	look := func(waiting float64) bool {
		const d = crowdQuiet / 2
		now = now.Add(d)
		waited += time.Duration(waiting * float64(d))
		return c.look(now)
	}
	for i, step := range []struct {
		waiting float64
		crowd   bool
	}{
		{10, false}, // since when is not known
		{0.2, false},
		{0.4, false},
		{0.6, true},
		{0.4, true},
		{0.4, true},
		{0.4, true},
		{0.2, true},
		{0.2, false},
		{0.4, false},
		{3, true},
		{-3, true},
		{0, false},
	} {
		if crowd := look(step.waiting); crowd != step.crowd {
			t.Errorf("step %d: %v wait, and it says %v", i, step.waiting, crowd)
		}
	}
}

func TestThreadsWaited(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		t.Skipf("the system does not tell: %v", err)
	}
	if threadsWaited() <= 0 {
		t.Error("no thread has ever waited for a processor, as far as it is told")
	}
}

func BenchmarkThreadsWaited(b *testing.B) {
	for b.Loop() {
		threadsWaited()
	}
}
