package actors_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// pool is the process of an adapter that has a stream to each of two nodes, and lists what it has.
type pool struct {
	workers [2]*worker

	mu   sync.Mutex
	work map[string]*piece
	// most is how many were executed at once at the most, and done how many there were.
	most, now, done int
}

// piece is what the adapter executes, or holds the result of, for the node that sent it, or has asked for it, last.
type piece struct {
	task *adapterv1.Task
	side int
	over bool
}

const poolTakes = 300 * time.Millisecond

func newPool(w *town) *pool {
	p := &pool{work: map[string]*piece{}}
	for i, s := range w.sides {
		s.worker.Detach(true, false)
		p.workers[i] = s.worker.node.newWorker(func(_ *worker, t *adapterv1.Task) *adapterv1.Result {
			p.begin(i, t)
			return nil
		}, process("pool", "pool"), func(h *adapterv1.Hello) {
			h.Features = []adapterv1.Feature{adapterv1.Feature_FEATURE_OWNED}
		})
		p.workers[i].list = func(o *adapterv1.Owned) { time.AfterFunc(time.Millisecond, func() { p.list(i, o) }) }
		p.workers[i].join()
	}
	return p
}

func (p *pool) begin(side int, t *adapterv1.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.work[t.GetKey()]; x != nil { // it goes on with that
		x.side, x.task = side, t
		return
	}
	p.work[t.GetKey()] = &piece{task: t, side: side}
	p.now++
	p.most = max(p.most, p.now)
	time.AfterFunc(poolTakes, func() {
		p.mu.Lock()
		p.now--
		p.done++
		p.work[t.GetKey()].over = true
		p.mu.Unlock()
		p.deliver(t.GetKey())
	})
}

// deliver sends a result to the node that sent the task, or has asked for it since, until it is taken.
func (p *pool) deliver(key string) {
	p.mu.Lock()
	x := *p.work[key]
	p.mu.Unlock()
	p.workers[x.side].answerThen(x.task, done(`{"n":1}`), func(err error) {
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
	for key, x := range p.work {
		if x.task.GetPartition() == o.GetPartition() {
			x.side = side
			l.Keys, l.Activities = append(l.Keys, key), append(l.Activities, x.task.GetActivity())
		}
	}
	p.mu.Unlock()
	p.workers[side].List(l)
}

func (p *pool) counts() (most, done int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most, p.done
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
			p := newPool(w)
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
			_, before := p.counts()
			const span = 9 * time.Second
			time.Sleep(span)
			most, after := p.counts()
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
