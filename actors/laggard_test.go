package actors_test

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// laggard is a journal that takes its time: what is written stays in order, and waits for what was written before.
type laggard struct {
	persistence.Journal

	town *town

	mu   sync.Mutex
	free time.Time // when what was handed over last is done
	line []func()
}

func newLaggard(w *town, j persistence.Journal) *laggard { return &laggard{Journal: j, town: w} }

func (l *laggard) hand(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	pause := 0
	switch x := l.town.roll(2000); {
	case x == 0:
		pause = 4000 // as a database that fails over
	case x < 400:
		pause = l.town.roll(10)
	}
	l.free = l.free.Add(time.Duration(pause) * time.Millisecond)
	l.line = append(l.line, do)
	time.AfterFunc(l.free.Sub(now), l.next)
}

func (l *laggard) next() {
	l.mu.Lock()
	do := l.line[0]
	l.line = l.line[1:]
	do()
	l.mu.Unlock()
}

func (l *laggard) Commit(c *persistence.Commit) { l.hand(func() { l.Journal.Commit(c) }) }

func (l *laggard) Release(h persistence.Holding, done func(error)) {
	l.hand(func() { l.Journal.Release(h, done) })
}

func (l *laggard) Check(h persistence.Holding, done func(error)) {
	l.hand(func() { l.Journal.Check(h, done) })
}

func (l *laggard) wait(ctx context.Context) {
	pause := l.town.roll(20)
	if l.town.roll(500) == 0 {
		pause = 5000
	}
	t := time.NewTimer(time.Duration(pause) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (l *laggard) Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error) {
	l.wait(ctx)
	return l.Journal.Find(ctx, id)
}

func (l *laggard) Records(ctx context.Context, h messages.Handle, v messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	l.wait(ctx)
	return l.Journal.Records(ctx, h, v)
}

func (l *laggard) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	l.wait(ctx)
	return l.Journal.Open(ctx, p, after, limit)
}

func (l *laggard) Queue(
	ctx context.Context, p messages.Partition, key string, after persistence.Position, limit int,
) ([]persistence.QueuedOrder, error) {
	l.wait(ctx)
	return l.Journal.Queue(ctx, p, key, after, limit)
}

func (l *laggard) Claim(ctx context.Context, seen []persistence.Holding) ([]persistence.Holding, error) {
	l.wait(ctx)
	got, err := l.Journal.Claim(ctx, seen)
	if err == nil && l.town.moving.Load() && l.town.roll(10) == 0 {
		return nil, context.DeadlineExceeded // the answer is lost
	}
	return got, err
}
