package actors_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// pool is the process of an adapter that has streams to nodes, and lists what it has.
type pool struct {
	name    string
	workers [2]*worker
	gauge   *gauge
	takes   time.Duration // each execution

	mu   sync.Mutex
	work map[string]*piece
}

// gauge counts what adapters execute: at once at the most, now, and in all.
type gauge struct {
	mu              sync.Mutex
	most, now, done int
}

func (g *gauge) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
}

func (g *gauge) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now--
	g.done++
}

func (g *gauge) counts() (most, done int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most, g.done
}

// piece is what the adapter executes, or holds the result of, for the node that sent it, or has asked for it, last.
type piece struct {
	task *adapterv1.Task
	side int
	over bool
}

const poolTakes = 300 * time.Millisecond

func newPool(name string, g *gauge) *pool {
	return &pool{name: name, gauge: g, takes: poolTakes, work: map[string]*piece{}}
}

// join has the adapter connect to a node.
func (p *pool) join(i int, n *node) {
	x := n.newWorker(func(_ *worker, t *adapterv1.Task) *adapterv1.Result {
		p.begin(i, t)
		return nil
	}, process(p.name, p.name), func(h *adapterv1.Hello) {
		h.Features = []adapterv1.Feature{adapterv1.Feature_FEATURE_OWNED}
	})
	x.list = func(o *adapterv1.Owned) { time.AfterFunc(time.Millisecond, func() { p.list(i, o) }) }
	p.mu.Lock() // it may be asked before it has joined
	defer p.mu.Unlock()
	p.workers[i] = x
	x.join()
}

func (p *pool) begin(side int, t *adapterv1.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.work[t.GetKey()]; x != nil { // it goes on with that
		x.side, x.task = side, t
		return
	}
	p.work[t.GetKey()] = &piece{task: t, side: side}
	p.gauge.begin()
	time.AfterFunc(p.takes, func() {
		p.gauge.end()
		p.mu.Lock()
		p.work[t.GetKey()].over = true
		p.mu.Unlock()
		p.deliver(t.GetKey())
	})
}

// deliver sends a result to the node that sent the task, or has asked for it since, until it is taken.
func (p *pool) deliver(key string) {
	p.mu.Lock()
	x := *p.work[key]
	to := p.workers[x.side]
	p.mu.Unlock()
	to.answerThen(x.task, done(`{"n":1}`), func(err error) {
		if err != nil {
			time.AfterFunc(100*time.Millisecond, func() { p.deliver(key) })
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.work, key)
	})
}

// list tells a node what there is of a partition.
func (p *pool) list(side int, o *adapterv1.Owned) {
	l := &adapterv1.Listing{Partition: o.GetPartition(), Epoch: o.GetEpoch()}
	p.mu.Lock()
	to := p.workers[side]
	for key, x := range p.work {
		if x.task.GetPartition() == o.GetPartition() {
			x.side = side
			l.Keys, l.Activities = append(l.Keys, key), append(l.Activities, x.task.GetActivity())
		}
	}
	p.mu.Unlock()
	to.List(l)
}

// A limit holds for both nodes together, also while partitions move with attempts under way, and most tasks wait on disk; and all of it
// is used, wherever the tasks are.
func TestLimitHoldsForAllNodes(t *testing.T) {
	t.Parallel()
	for _, limit := range []uint32{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			w := couple(t, nil)
			defer w.end()
			w.deploy()
			const last = 6
			if err := w.sides[0].engine.SetLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do", Concurrency: limit}); err != nil {
				t.Fatal(err)
			}
			g := &gauge{}
			p := newPool("pool", g)
			for i, s := range w.sides {
				s.worker.Detach(true, false)
				p.join(i, s.worker.node)
			}
			var ids []string
			for i := range messages.Partition(last) {
				for _, id := range of(i, 100) {
					w.accept(id, "test/one:1.0.0", "")
					ids = append(ids, id)
				}
			}
			time.Sleep(5 * time.Second)
			for i := range 60 {
				part := messages.Partition(w.roll(last))
				w.mu.Lock()
				from := w.desired[part]
				w.desired[part] = 1 - from
				w.mu.Unlock()
				w.sides[from].host.Give(part)
				w.sides[1-from].host.Take(part)
				if i == 30 { // who grants changes, too
					w.give(messages.PartitionOf("", "x.do"))
				}
				time.Sleep(time.Duration(w.roll(1000)) * time.Millisecond)
			}
			time.Sleep(5 * time.Second)
			_, before := g.counts()
			const span = 9 * time.Second
			time.Sleep(span)
			most, after := g.counts()
			if most > int(limit) {
				t.Errorf("%d were executed at once, of %d", most, limit)
			}
			if used := float64(after-before) * poolTakes.Seconds() / span.Seconds(); used < 0.9*float64(limit) {
				t.Errorf("%.2f of %d were used", used, limit)
			}
			if err := w.sides[0].engine.SetLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			for _, id := range ids {
				if got := w.status(id); got != completed {
					t.Fatalf("order %s is %v", id, got)
				}
			}
			for _, x := range p.workers {
				x.Detach(true, false)
			}
		})
	}
}

// A limit holds also when a node that has had nothing takes partitions over, and not all adapters that have attempts of them are connected
// to it yet.
func TestLimitHoldsForNodeThatBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(1, 1))}
		w.begin()
		defer w.end()
		w.deploy()
		const last, limit = 6, 4
		if err := w.sides[0].engine.SetLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do", Concurrency: limit}); err != nil {
			t.Fatal(err)
		}
		g := &gauge{}
		pools := []*pool{newPool("early", g), newPool("late", g)}
		for _, s := range w.sides {
			s.worker.Detach(true, false)
		}
		for _, p := range pools {
			p.takes = 3 * time.Second
			p.join(0, w.sides[0].worker.node)
		}
		pools[0].join(1, w.sides[1].worker.node)
		for i := range messages.Partition(last) {
			for _, id := range of(i, 20) {
				w.accept(id, "test/one:1.0.0", "")
			}
		}
		time.Sleep(5 * time.Second)
		for part := range messages.Partition(last) {
			w.give(part)
		}
		time.Sleep(1500 * time.Millisecond)
		for part := range messages.Partition(last) {
			if w.sides[1].serving[part].Load() == nil {
				t.Fatalf("partition %d has not moved", part)
			}
		}
		time.Sleep(300 * time.Millisecond)
		pools[1].join(1, w.sides[1].worker.node)
		time.Sleep(time.Minute)
		if most, done := g.counts(); most != limit || done < 40 {
			t.Errorf("%d were executed at once, of %d; %d in all", most, limit, done)
		}
		for _, p := range pools {
			for _, x := range p.workers {
				x.Detach(true, false)
			}
		}
	})
}
