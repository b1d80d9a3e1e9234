package lane_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is a request of a test, and what it was answered.
type asked struct {
	lane.Request

	name    string
	answers []error
}

// commit makes a commit with a record of so many bytes to an order that runs.
func commit(name string, bytes int) *asked {
	a := &asked{name: name}
	a.Commit = &persistence.Commit{Expected: 1, Record: make([]byte, bytes), Done: a.answer}
	return a
}

// acceptance makes one of an order of a priority.
func acceptance(name string, bytes int, priority int32) *asked {
	a := commit(name, bytes)
	a.Commit.Expected, a.Commit.Row = 0, &journalv1.OrderRow{Priority: priority}
	return a
}

// check makes a check of a partition.
func check(name string) *asked {
	a := &asked{name: name}
	a.Done = a.answer
	return a
}

func (a *asked) answer(err error) { a.answers = append(a.answers, err) }

// was tells whether a request was answered once, and how.
func (a *asked) was(want error) bool { return len(a.answers) == 1 && errors.Is(a.answers[0], want) }

// backend runs a lane, and notes the batches that it gets. It goes on with one batch for each token of steps.
type backend struct {
	*lane.Lane

	t       *testing.T
	all     []*asked
	batches [][]string
	since   []time.Time
	turns   int
	rests   atomic.Int32
	seen    int // how many turns there were before the last batch
	// most is how many requests of a batch are done at once; 0: all.
	most  int
	steps chan struct{}
	ended sync.WaitGroup
}

// run has a backend run a lane until it is closed.
func run(t *testing.T, b lane.Bounds) *backend {
	t.Helper()
	x := &backend{Lane: lane.New(b), t: t, steps: make(chan struct{}, 100)}
	x.ended.Go(func() { x.Run(func() { x.turns++ }, x.do, func() { x.rests.Add(1) }) })
	return x
}

func (x *backend) do(batch []lane.Request, since time.Time) (done int) {
	if x.turns == x.seen {
		x.t.Error("the lane did not turn before a batch")
	}
	x.seen = x.turns
	<-x.steps
	var names []string
	for i := range batch {
		if x.most > 0 && len(names) == x.most {
			break
		}
		names = append(names, x.nameOf(&batch[i]))
		batch[i].Answer(nil)
	}
	x.batches, x.since = append(x.batches, names), append(x.since, since)
	return len(names)
}

// nameOf finds the name of a request: a check is known by its epoch, a commit by itself.
func (x *backend) nameOf(r *lane.Request) string {
	i := slices.IndexFunc(x.all, func(a *asked) bool {
		return r.Commit != nil && a.Commit == r.Commit || r.Commit == nil && a.Commit == nil && a.Holding == r.Holding
	})
	return x.all[i].name
}

// put puts requests into the lane, which must take them in or refuse them, but not be closed.
func (x *backend) put(all ...*asked) {
	x.t.Helper()
	for _, a := range all {
		x.all = append(x.all, a)
		a.Holding.Epoch = messages.Epoch(len(x.all))
		if !x.Put(a.Request) {
			x.t.Fatalf("%s finds the lane closed", a.name)
		}
	}
	synctest.Wait()
}

// step lets so many batches be done.
func (x *backend) step(n int) {
	for range n {
		x.steps <- struct{}{}
	}
	synctest.Wait()
}

// end closes the lane, has all done that waits, and returns when the lane has ended.
func (x *backend) end() {
	x.Close()
	close(x.steps)
	x.ended.Wait()
}

func (x *backend) expect(want ...[]string) {
	x.t.Helper()
	if !slices.EqualFunc(x.batches, want, slices.Equal) {
		x.t.Errorf("the batches are %v, want %v", x.batches, want)
	}
}

var wide = lane.Bounds{Commits: 1000, Bytes: 1 << 20, BatchCommits: 100, BatchBytes: 1 << 20}

// Commits, releases and checks are done in the order in which they came, what came during a batch in the next one.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, wide)
		a, b, c, d := commit("a", 1), check("b"), acceptance("c", 1, 0), check("d")
		began := time.Now()
		x.put(a)
		time.Sleep(time.Millisecond)
		x.put(b, c, d)
		x.step(2)
		x.expect([]string{"a"}, []string{"b", "c", "d"})
		if !x.since[0].Equal(began) || x.since[1].Sub(began) != time.Millisecond {
			t.Errorf("the oldest of the batches came at %v, want at %v and 1 ms later", x.since, began)
		}
		for _, r := range x.all {
			if !r.was(nil) {
				t.Errorf("%s was answered %v", r.name, r.answers)
			}
		}
		x.end()
	})
}

// What a backend leaves of a batch is first in the next one.
func TestLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, wide)
		x.most = 2
		x.put(commit("0", 1)) // it is under way, so that the others wait together
		x.put(commit("a", 1), commit("b", 1), commit("c", 1))
		x.step(2)
		x.put(commit("d", 1))
		x.step(2)
		x.expect([]string{"0"}, []string{"a", "b"}, []string{"c"}, []string{"d"})
		x.end()
	})
}

// A batch has no more than its bounds allow, the last of its commits excepted, which may have any size.
func TestBatchBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bounds := wide
		bounds.BatchCommits, bounds.BatchBytes = 3, 10
		x := run(t, bounds)
		x.put(commit("0", 1)) // it is under way, so that the others wait together
		x.put(commit("a", 1), commit("b", 1), commit("c", 1), commit("d", 9), commit("e", 100), check("f"), commit("g", 10), commit("h", 1))
		x.step(10)
		x.expect([]string{"0"}, []string{"a", "b", "c"}, []string{"d", "e"}, []string{"f", "g"}, []string{"h"})
		x.end()
	})
}

// Acceptances are refused at half of the bound, of orders that are not interactive at three quarters of that; the rest is for orders
// that run. So it is by number and by bytes.
func TestAcceptancesRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bounds lane.Bounds
		bytes  int
	}{
		"number": {lane.Bounds{Commits: 16, Bytes: 1 << 20, BatchCommits: 1, BatchBytes: 1}, 1},
		"bytes":  {lane.Bounds{Commits: 1000, Bytes: 16 * 100, BatchCommits: 1, BatchBytes: 1}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x := run(t, test.bounds)
				for i, want := range []struct {
					taken int
					next  func(string) *asked
				}{
					{6, func(name string) *asked { return acceptance(name, test.bytes, messages.Interactive-1) }},
					{8, func(name string) *asked { return acceptance(name, test.bytes, messages.Interactive) }},
					{16, func(name string) *asked { return commit(name, test.bytes) }},
				} {
					for n := range 20 {
						x.put(want.next(fmt.Sprint(i, " ", n)))
					}
					if commits, bytes := x.Depth(); commits != want.taken || bytes != int64(want.taken*test.bytes) {
						t.Fatalf("%d commits with %d bytes were taken in, want %d", commits, bytes, want.taken)
					}
				}
				x.step(17)
				busy := 0
				for _, a := range x.all {
					if a.was(persistence.ErrBusy) {
						busy++
					} else if !a.was(nil) {
						t.Errorf("%s was answered %v", a.name, a.answers)
					}
				}
				if want := len(x.all) - 16; busy != want {
					t.Errorf("%d of %d were refused, want %d", busy, len(x.all), want)
				}
				x.end()
			})
		})
	}
}

// One commit that is larger than the bound is taken in if nothing else is there.
func TestLargerThanTheBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, lane.Bounds{Commits: 10, Bytes: 100, BatchCommits: 1, BatchBytes: 1})
		large, small, second := acceptance("large", 1000, 0), commit("small", 1), commit("second", 1000)
		x.put(large, small)
		x.step(2)
		x.put(second)
		x.step(1)
		if !large.was(nil) || !small.was(persistence.ErrBusy) || !second.was(nil) {
			t.Errorf("they were answered %v, %v and %v", large.answers, small.answers, second.answers)
		}
		x.end()
	})
}

// Room is free again as soon as a batch is done, for as much as that had.
func TestRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, lane.Bounds{Commits: 3, Bytes: 1 << 20, BatchCommits: 2, BatchBytes: 1 << 20})
		x.put(commit("0", 5)) // it is under way, and has its room
		x.put(commit("a", 10), commit("b", 20))
		full := check("full")
		x.put(full)
		x.step(1)
		if commits, bytes := x.Depth(); commits != 2 || bytes != 30 {
			t.Errorf("after a batch, %d commits with %d bytes have room, want 2 with 30", commits, bytes)
		}
		again := check("again")
		x.put(again)
		x.step(2)
		if commits, bytes := x.Depth(); commits != 0 || bytes != 0 {
			t.Errorf("after all batches, %d commits with %d bytes have room", commits, bytes)
		}
		x.expect([]string{"0"}, []string{"a", "b"}, []string{"again"})
		if !full.was(persistence.ErrBusy) {
			t.Errorf("what came when there was no room was answered %v", full.answers)
		}
		x.end()
	})
}

// After Close nothing is let in; what waits is done, what was refused is answered, and then Run returns.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, lane.Bounds{Commits: 3, Bytes: 1 << 20, BatchCommits: 2, BatchBytes: 1 << 20})
		a, b, c, refused := commit("a", 1), commit("b", 1), commit("c", 1), commit("refused", 1)
		x.put(a)
		x.put(b, c, refused)
		x.Close()
		late := commit("late", 1)
		if x.Put(late.Request) {
			t.Error("a closed lane has let something in")
		}
		x.end()
		x.expect([]string{"a"}, []string{"b", "c"})
		for _, r := range []*asked{a, b, c} {
			if !r.was(nil) {
				t.Errorf("%s was answered %v", r.name, r.answers)
			}
		}
		if !refused.was(persistence.ErrBusy) || len(late.answers) > 0 {
			t.Errorf("what was refused was answered %v, what was not let in %v", refused.answers, late.answers)
		}
	})
}

// An idle lane turns every second; one that is closed when it is idle ends at once.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, wide)
		began := time.Now()
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if x.turns != 10 {
			t.Errorf("it turned %d times in 10 s", x.turns)
		}
		x.end()
		if took := time.Since(began); took != 10*time.Second+time.Millisecond {
			t.Errorf("it ended after %v", took)
		}
	})
}

// When nothing came for ten seconds, the backend may give up memory, and not again before it has had something to do.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := run(t, wide)
		for n := range 3 {
			for _, d := range []time.Duration{0, 9 * time.Second, 2 * time.Second, time.Minute} {
				time.Sleep(d)
				synctest.Wait()
				want := n
				if d > 0 && d != 9*time.Second {
					want++
				}
				if got := int(x.rests.Load()); got != want {
					t.Errorf("it has rested %d times, want %d", got, want)
				}
			}
			x.put(commit(fmt.Sprint(n), 1))
			x.step(1)
		}
		x.expect([]string{"0"}, []string{"1"}, []string{"2"})
		x.end()
	})
}
