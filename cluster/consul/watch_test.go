package consul

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		n := f.join(t, func(c *Config) { c.Random = func() float64 { return 0.5 } })
		pass(10 * time.Second)
		n.took(Watch)
		n.took(Evidence)
		f.requests("")
		begun := time.Now()
		f.set(only("", refuse(http.StatusInternalServerError, "No cluster leader")))
		pass(time.Minute)
		longest := map[string]time.Duration{"refreshed": time.Second, "read": 750 * time.Millisecond}
		var refreshed, read []request
		for _, r := range f.requests("") {
			switch {
			case strings.HasPrefix(r.what, aRefresh), r.what == aRegister:
				refreshed = append(refreshed, r)
			case r.what == aRead:
				read = append(read, r)
			}
		}
		for what, asked := range map[string][]request{"refreshed": refreshed, "read": read} {
			// Refreshed once in 0.75 s at least, or registered; read once in 0.7 s by evidence, and once in 1.5 s by the watch.
			if len(asked) < 60 || len(asked) > 140 {
				t.Errorf("%s %d times in a minute", what, len(asked))
			}
			for i := range asked[1:] {
				if gap := asked[i+1].at.Sub(asked[i].at); gap > longest[what]+time.Millisecond {
					t.Errorf("%s after %v", what, gap)
				}
			}
		}
		for _, source := range []Source{Watch, Evidence} {
			for _, o := range n.took(source) {
				if o.Sent.After(begun) && (o.Failure == nil || o.Instances != nil || o.Index != 0 || o.Received.IsZero()) {
					t.Errorf("%v observed %+v", source, o)
				}
			}
		}
		f.set(nil)
		pass(2 * time.Second)
		for _, source := range []Source{Watch, Evidence} {
			if o := last(t, n.took(source)); o.Failure != nil || o.Instances[0].State != Passing {
				t.Errorf("%v observed %+v", source, o)
			}
		}
		if log := n.logged(); strings.Count(log, "Consul fails") != 3 || strings.Count(log, "Consul answers again") != 3 {
			t.Errorf("logged\n%s", log)
		}
	})
}

func TestHanging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		turned := map[string]time.Time{}
		var mu sync.Mutex
		n := f.join(t, func(c *Config) {
			c.Loop = func(name string) func() {
				mu.Lock()
				defer mu.Unlock()
				turned[name] = time.Now()
				return func() {
					mu.Lock()
					defer mu.Unlock()
					if since := time.Since(turned[name]); since > 2*ttl+2*time.Second {
						t.Errorf("%s has not turned for %v", name, since)
					}
					turned[name] = time.Now()
				}
			}
		})
		pass(10 * time.Second)
		f.requests("")
		f.set(only(aRead, hang))
		pass(time.Minute)
		if got := len(f.requests(aRefresh)); got < 59 {
			t.Errorf("%d refreshes in a minute while reads hang", got)
		}
		for source, bound := range map[Source]time.Duration{Watch: ttl * 3 / 2, Evidence: ttl / 2} {
			for _, o := range n.took(source)[1:] {
				if took := o.Received.Sub(o.Sent); o.Failure != nil && (took > bound || !errors.Is(o.Failure, context.DeadlineExceeded)) {
					t.Errorf("%v took %v: %v", source, took, o.Failure)
				}
			}
		}
		f.set(only("", hang))
		pass(time.Minute)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Leave(ctx); err == nil {
			t.Error("left, though nothing answers")
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("leaving took %v", took)
		}
		begun = time.Now()
		n.Close()
		if took := time.Since(begun); took > 0 {
			t.Errorf("closing took %v", took)
		}
		if len(turned) != 3 {
			t.Errorf("loops are %v", turned)
		}
	})
}

// watched has the watch, and nothing else, answered by a test.
func watched(do http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/health/service/holdfast" || r.URL.Query().Has("filter") {
			return false
		}
		do(w, r)
		return true
	}
}

func TestIndexFalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		n := f.join(t)
		pass(10 * time.Second)
		n.took(Watch)
		f.requests("")
		f.change(func() { f.index = 1 })
		pass(ttl) // a query that awaits a higher index ends when its time is over
		observed := n.took(Watch)
		if len(observed) < 2 || !observed[0].Fell || observed[0].Index != 2 || len(observed[0].Instances) != 1 || observed[1].Fell {
			t.Fatalf("observed %+v", observed)
		}
		asked := slices.DeleteFunc(f.requests(aRead), func(r request) bool { return r.URL.Query().Has("filter") })
		if asked[0].URL.Query().Has("index") {
			t.Errorf("after a fall the watch asked %v", asked[0].URL)
		}
		if got := asked[1].URL.Query().Get("index"); got != "2" {
			t.Errorf("then it asked %v", asked[1].URL)
		}
	})
}

func TestAnswersAtOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		index func(answers uint64) uint64
		most  int // reads in 20 s
	}{
		"without an index":       {func(uint64) uint64 { return 0 }, 20},
		"with the same index":    {func(uint64) uint64 { return 7 }, 20},
		"with one that falls":    {func(n uint64) uint64 { return 1000 - n }, 20},
		"with one that rises":    {func(n uint64) uint64 { return n + 1 }, 401},
		"with one that flickers": {func(n uint64) uint64 { return 7 + n%2 }, 401},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				answers := uint64(0)
				f.set(watched(func(w http.ResponseWriter, _ *http.Request) {
					answer(w, tt.index(answers), []any{})
					answers++
				}))
				n := f.join(t)
				pass(20 * time.Second)
				observed := n.took(Watch)
				if len(observed) != int(answers) || len(observed) < 8 || len(observed) > tt.most {
					t.Errorf("observed %d of %d answers in 20 s, want at most %d", len(observed), answers, tt.most)
				}
				for _, o := range observed {
					if o.Failure != nil || len(o.Instances) > 0 {
						t.Fatalf("observed %+v", o)
					}
				}
			})
		})
	}
}

// TestLongAnswer is cut off, and counts as none.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		long := true
		f.set(watched(func(w http.ResponseWriter, r *http.Request) {
			if !long {
				hang(w, r)
			}
			long = false
			line := []byte(strings.Repeat(" ", 1<<20))
			for range mostAnswer>>20 + 1 {
				_, _ = w.Write(line)
			}
			_, _ = w.Write([]byte("[]"))
		}))
		n := f.join(t)
		pass(time.Second)
		if o := last(t, n.took(Watch)); o.Failure == nil {
			t.Errorf("observed %+v", o)
		}
	})
}

// TestNoAnswer has answers that look right, and are none: one lacks what the token may not read, one is not from the servers.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header, value string
		want          error
	}{
		"filtered": {"X-Consul-Results-Filtered-By-ACLs", "true", errFiltered},
		"streamed": {"X-Consul-Query-Backend", "streaming", errStreamed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.set(only(aRead, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set(tt.header, tt.value)
					answer(w, 7, []any{})
				}))
				n := f.join(t)
				pass(time.Second)
				for _, source := range []Source{Watch, Evidence} {
					if o := last(t, n.took(source)); !errors.Is(o.Failure, tt.want) {
						t.Errorf("%v observed %+v", source, o)
					}
				}
				if got := len(f.requests(aRegister)); got != 1 {
					t.Errorf("registered %d times", got)
				}
			})
		})
	}
}
