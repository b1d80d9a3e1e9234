package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// paced is a pace of which a test knows all: what pieces use is told, and whether there is a crowd.
type paced struct {
	*Pace

	clock time.Duration // what threads have used, all together: one works at a time
	crowd bool
}

func newPaced(config PaceConfig) *paced {
	p := &paced{crowd: true}
	no := func() {}
	p.Pace = newPace(config, time.Now, thread{no, no, func() time.Duration { return p.clock }}, func(time.Time) bool { return p.crowd })
	return p
}

// use has a piece of work that has a pass use processor time.
func (p *paced) use(s *Pass, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.from -= d
}

var twoProcessors = PaceConfig{Processors: 2, Share: 0.1, AtOnce: [HeavyKinds]int{1, 1, 2, 8}}

// While other work waits, heavy work gets its share of the processors and no more, and then whatever is free.
func TestPaceShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(twoProcessors)
		work := func(d time.Duration) (used time.Duration) {
			for began := time.Now(); time.Since(began) < d; {
				s, err := p.Enter(t.Context(), HeavyEvaluation, "a", "")
				if err != nil {
					t.Fatal(err)
				}
				p.use(s, 10*time.Millisecond)
				time.Sleep(10 * time.Millisecond)
				s.Leave()
				used += 10 * time.Millisecond
			}
			return used
		}
		if used := work(10 * time.Second); used < 1900*time.Millisecond || used > 2100*time.Millisecond {
			t.Errorf("in 10 s it used %v, and its share of two processors is 2 s", used)
		}
		p.crowd = false
		if used := work(10 * time.Second); used < 9500*time.Millisecond {
			t.Errorf("in 10 s without a crowd it used %v", used)
		}
	})
}

// client is one in a model of the pace. It asks for one piece after the other.
type paceClient struct {
	kind          Heavy
	space, name   string
	piece         time.Duration
	used          time.Duration
	longest, idle time.Duration
}

// Whoever competes gets the same, within the longest pieces; whoever asks for little waits for no more than what is under way and for what
// was used ahead; and nothing is left in the end.
func TestPaceIsFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var all []*paceClient
		for i := range rapid.IntRange(2, 6).Draw(r, "spaces") {
			for c := range rapid.IntRange(1, 4).Draw(r, "clients") {
				all = append(all, &paceClient{
					space: fmt.Sprint("s", i), name: fmt.Sprint("c", c), piece: time.Duration(rapid.IntRange(1, 50).Draw(r, "ms")) * time.Millisecond,
				})
			}
		}
		light := &paceClient{space: "light", piece: time.Millisecond, idle: 2 * time.Second}
		synctest.Test(t, func(t *testing.T) { playPace(t, r, append(slices.Clone(all), light), light) })
	})
}

func playPace(t *testing.T, r *rapid.T, all []*paceClient, light *paceClient) {
	t.Helper()
	p := newPaced(twoProcessors)
	const lasts = 60 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	ended := make(chan struct{})
	for _, c := range all {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				time.Sleep(c.idle)
				asked := time.Now()
				s, err := p.Enter(ctx, c.kind, c.space, c.name)
				if err != nil {
					return
				}
				c.longest = max(c.longest, time.Since(asked))
				p.use(s, c.piece)
				c.used += c.piece
				time.Sleep(c.piece)
				s.Leave()
			}
		}()
	}
	for range all {
		<-ended
	}
	spaces, clients := map[string]time.Duration{}, map[string]int{}
	sum := time.Duration(0)
	for _, c := range all {
		spaces[c.space] += c.used
		clients[c.space]++
		sum += c.used
	}
	if want := lasts / 5; sum > want+time.Second || sum < want-time.Second {
		r.Errorf("%v were used, and the share is %v", sum, want)
	}
	const piece = 50 * time.Millisecond
	fair := (sum - light.used) / time.Duration(len(spaces)-1)
	for name, used := range spaces {
		if name != light.space && (used < fair-4*piece || used > fair+4*piece) {
			r.Errorf("space %s has used %v, and a fair part is %v", name, used, fair)
		}
	}
	for _, c := range all {
		if part := spaces[c.space] / time.Duration(clients[c.space]); c != light && (c.used < part-4*piece || c.used > part+4*piece) {
			r.Errorf("client %s of %s has used %v, and a fair part is %v", c.name, c.space, c.used, part)
		}
	}
	if light.longest > 2*piece {
		r.Errorf("who asks for little has waited %v", light.longest)
	}
	time.Sleep(time.Minute)
	p.Done()
	if !p.all.idle() || len(p.all.children) > 0 {
		r.Errorf("something is left: %+v", p.all)
	}
}

// Who gives up waiting is told why, and holds up nobody; a piece that can be interrupted lets others go on; and at the end all go on.
func TestPaceLetsGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(twoProcessors)
		long := p.Force(HeavyEvaluation, "a", "")
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error)
		for range 3 {
			go func() {
				s, err := p.Enter(ctx, HeavyEvaluation, "a", "")
				s.Leave()
				given <- err
			}()
		}
		synctest.Wait()
		if d, _ := p.Done(); d[HeavyEvaluation].Waiting != 3 || d[HeavyEvaluation].Running != 1 {
			t.Errorf("%+v", d[HeavyEvaluation])
		}
		cancel()
		for range 3 {
			if err := <-given; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		order := make(chan string, 2)
		go func() {
			s, _ := p.Enter(t.Context(), HeavyEvaluation, "a", "b")
			order <- "other"
			s.Leave()
		}()
		synctest.Wait()
		p.use(long, 10*time.Millisecond)
		long.Show(func(until <-chan struct{}) { <-until })
		order <- "long"
		long.Leave()
		if first := <-order; first != "other" {
			t.Errorf("first came %s", first)
		}
		<-order
		p.use(p.Force(HeavyRead, "", ""), time.Hour) // it is never left
		for range 9 {
			go func() {
				s, err := p.Enter(t.Context(), HeavyRead, "", "")
				s.Leave()
				given <- err
			}()
		}
		synctest.Wait()
		p.End()
		for range 9 {
			if err := <-given; err != nil {
				t.Error(err)
			}
		}
	})
}

// Not more clients are told apart than a bound.
func TestFlowsAreBounded(t *testing.T) {
	t.Parallel()
	var f flow
	for i := range 2 * mostFlows {
		f.child(fmt.Sprint(i)).begin()
	}
	if n := len(f.children); n > mostFlows+1 {
		t.Errorf("%d are told apart", n)
	}
}
