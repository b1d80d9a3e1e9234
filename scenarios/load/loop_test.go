package load

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func w3(t *testing.T) *script {
	t.Helper()
	s, err := Config{Workload: W3}.script()
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// TestDrivers runs each driver for a moment: it must count exactly the orders that the server ended, and no more than
// the given number may be under way.
func TestDrivers(t *testing.T) {
	t.Parallel()
	const inFlight = 50
	drivers := map[string]func(context.Context, *client.Client, *script, *tally) error{
		"stream": func(ctx context.Context, conn *client.Client, s *script, tl *tally) error {
			return byStream(ctx, conn, s, tl, inFlight)
		},
		"owners": func(ctx context.Context, conn *client.Client, s *script, tl *tally) error {
			return byOwners(ctx, conn, s, tl, inFlight)
		},
		"unary": func(ctx context.Context, conn *client.Client, s *script, tl *tally) error {
			return byCalls(ctx, []*client.Client{conn}, s, tl, inFlight)
		},
	}
	for name, drive := range drivers {
		for _, wait := range []orderv1.Wait{orderv1.Wait_WAIT_ACCEPTED, orderv1.Wait_WAIT_ENDED} {
			t.Run(name+"/"+wait.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testDriver(t, drive, wait, inFlight) })
			})
		}
	}
}

func testDriver(
	t *testing.T, drive func(context.Context, *client.Client, *script, *tally) error, wait orderv1.Wait, inFlight int,
) {
	t.Helper()
	s := &server{takes: time.Millisecond, end: func(n int, o *orderv1.WorkOrder) *orderv1.Submission {
		if n%10 == 3 {
			return refused(o)
		}
		return nil
	}}
	conn := serve(t, s)
	script := w3(t)
	script.wait = wait
	now := time.Now()
	tl := newTally(now.Add(20*time.Millisecond), now.Add(120*time.Millisecond), &bytes.Buffer{})
	if err := drive(t.Context(), conn, script, tl); err != nil {
		t.Fatal(err)
	}
	got := tl.counts()
	all := int64(len(s.seen))
	wrong := (all + 6) / 10
	if got.errors != wrong || got.all != all-wrong {
		t.Errorf("the server was sent %d orders; counted are %d done and %d errors", all, got.all, got.errors)
	}
	if got.orders == 0 || got.orders >= got.all || uint64(got.orders) != tl.latencies.total {
		t.Errorf("%d of %d orders count as measured, with %d latencies", got.orders, got.all, tl.latencies.total)
	}
	if s.most > inFlight {
		t.Errorf("%d orders were under way, more than %d", s.most, inFlight)
	}
}

// TestCoalescing: what is answered together is submitted together.
func TestCoalescing(t *testing.T) {
	t.Parallel()
	for name, drive := range map[string]func(context.Context, *client.Client, *script, *tally, int) error{
		"stream": byStream, "owners": byOwners,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &server{takes: time.Millisecond}
				now := time.Now()
				if err := drive(t.Context(), serve(t, s), w3(t), newTally(now, now.Add(100*time.Millisecond), &bytes.Buffer{}), 256); err != nil {
					t.Fatal(err)
				}
				if per := len(s.seen) / s.frames; per < 32 {
					t.Errorf("a message carries %d orders only: %d in %d", per, len(s.seen), s.frames)
				}
			})
		})
	}
}

// TestWrongEnds: whatever is not the end that the workload must have is an error, and the first are shown.
func TestWrongEnds(t *testing.T) {
	t.Parallel()
	ends := map[string]struct {
		end  func(o *orderv1.WorkOrder) *orderv1.Submission
		want string
	}{
		"refused": {refused, "was refused: ResourceExhausted: busy"},
		"faulted": {faulted, "STATUS_FAULTED: title:"},
		"wrong output": {func(o *orderv1.WorkOrder) *orderv1.Submission {
			a := completed(o)
			a.GetEnded().Output = []byte(`"other"`)
			return a
		}, `"\"other\""`},
		"unknown id": {func(o *orderv1.WorkOrder) *orderv1.Submission {
			a := completed(o)
			a.Id = "somebody-else"
			return a
		}, "not under way"},
	}
	for name, tt := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{end: func(n int, o *orderv1.WorkOrder) *orderv1.Submission {
				if n == 0 {
					return tt.end(o)
				}
				return nil
			}}
			var shown bytes.Buffer
			now := time.Now()
			tl := newTally(now, now, &shown) // the first orders are the last
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			conn := serve(t, s)
			if name == "unknown id" { // the one that was meant is never answered: the run would be stuck
				stop := time.AfterFunc(200*time.Millisecond, cancel)
				defer stop.Stop()
			}
			err := byStream(ctx, conn, w3(t), tl, 4)
			if (err != nil) != (name == "unknown id") {
				t.Errorf("the driver ends with %v", err)
			}
			if got := tl.counts(); got.errors == 0 {
				t.Errorf("counted %+v: an error is missing", got)
			}
			if !strings.Contains(shown.String(), tt.want) {
				t.Errorf("shown is %q, which lacks %q", shown.String(), tt.want)
			}
		})
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var shown bytes.Buffer
	tl := newTally(begin, begin.Add(time.Second), &shown)
	for _, at := range []time.Duration{-1, 0, time.Second - 1, time.Second} {
		tl.done(begin, begin.Add(at))
	}
	if got := tl.counts(); got.orders != 2 || got.all != 4 {
		t.Errorf("counted %+v: of four orders two were in time", got)
	}
	if err := tl.stuck(begin.Add(time.Second)); err != nil {
		t.Error(err)
	}
	if err := tl.stuck(begin.Add(time.Minute)); !errors.Is(err, errNoAnswer) {
		t.Errorf("after a minute without an answer: %v", err)
	}
	for range maxErrors + 1 {
		tl.fail(errors.New("wrong"))
	}
	if n := strings.Count(shown.String(), "\n"); n != shownErrors+1 {
		t.Errorf("%d lines are shown", n)
	}
	if err := tl.stuck(time.Now()); err == nil {
		t.Error("a run with too many errors goes on")
	}
}

// TestSpread: each of several nodes gets what it owns once the client knows that, and if none takes anything, the run fails.
func TestSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const inFlight = 11
		owners := &orderv1.WatchOwnersResponse{Addresses: []string{"server:7460", "b:1", "c:1"}}
		for p := range uint32(messages.Partitions) {
			owners.Owners = append(owners.Owners, p%3+1)
		}
		servers := []*server{{takes: time.Millisecond}, {takes: time.Millisecond}, {takes: time.Millisecond}}
		servers[0].owners = owners
		at := map[string]*server{"b:1": servers[1], "c:1": servers[2]}
		conn := serve(t, servers[0], at)
		now := time.Now()
		tl := newTally(now, now.Add(100*time.Millisecond), &bytes.Buffer{})
		if err := byOwners(t.Context(), conn, w3(t), tl, inFlight); err != nil {
			t.Error(err)
		}
		orders, elsewhere := 0, 0
		for i, s := range servers {
			orders += len(s.seen)
			for id := range s.seen {
				if messages.PartitionOf(messages.OrderID(id), "")%3 != messages.Partition(i) {
					elsewhere++
				}
			}
		}
		if got := tl.counts(); got.errors != 0 || got.all != int64(orders) || orders < 10*inFlight || elsewhere > inFlight {
			t.Errorf("counted %+v, the nodes ended %d, %d of them elsewhere than where they belong", got, orders, elsewhere)
		}
		gone, err := client.New(client.Config{Addresses: []string{"nowhere"}, Patience: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		tl = newTally(now, time.Now().Add(time.Hour), &bytes.Buffer{})
		if err := byOwners(t.Context(), gone, w3(t), tl, inFlight); err == nil {
			t.Error("the nodes are gone, and the run goes on")
		}
	})
}
