package supervision_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// page is a buffer that may be written to by others.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *page) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Reset()
}

func TestBoundedLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out page
		log := slog.New(slog.NewTextHandler(&out, nil))
		b := supervision.Bounded(log, 3)
		expect := func(lines, left int) {
			t.Helper()
			synctest.Wait()
			got := out.String()
			if strings.Count(got, "failed") != lines || strings.Count(got, "were left out") != left {
				t.Fatalf("want %d lines, and %d that tell of others:\n%s", lines, left, got)
			}
			out.Reset()
		}
		for range 10 {
			b.With("order", "A").WithGroup("g").Warn("failed", "n", 1)
		}
		b.Debug("failed, but nobody wants to know")
		log.Warn("something else failed") // has no bound
		expect(4, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		if !strings.Contains(out.String(), "were left out: there were too many\" left_out=7 most_per_second=3") {
			t.Errorf("it is not told: %s", out.String())
		}
		out.Reset()
		for range 3 {
			b.Warn("failed")
		}
		time.Sleep(time.Second)
		b.Warn("failed")
		expect(4, 0)
		all := supervision.Bounded(log, 0)
		for range 10 {
			all.Warn("failed")
		}
		expect(10, 0)
	})
}
