package flaky

import (
	"context"
	"iter"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// ask asks the journal behind for something in some shards, if they answer.
func ask[T any](ctx context.Context, j *Journal, shards []int, read func() (T, error)) (T, error) {
	if err := j.answers(ctx, shards...); err != nil {
		var none T
		return none, err
	}
	return read()
}

// askAll asks it for many things.
func askAll[T any](ctx context.Context, j *Journal, shard int, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := j.answers(ctx, shard); err != nil {
			var none T
			yield(none, err)
			return
		}
		all(yield)
	}
}

// of is the shard of a partition.
func (j *Journal) of(p messages.Partition) []int { return []int{j.ShardOf(p)} }

// Find implements persistence.Reader.
func (j *Journal) Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error) {
	found, err := ask(ctx, j, []int{j.directory(id)}, func() (persistence.Entry, error) { return j.Journal.Find(ctx, id) })
	if err != nil {
		return found, err
	}
	return ask(ctx, j, j.of(found.Partition), func() (persistence.Entry, error) { return found, nil })
}

// Records implements persistence.Reader.
func (j *Journal) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	return askAll(ctx, j, j.ShardOf(h.Partition()), j.Journal.Records(ctx, h, from))
}

// Row implements persistence.Reader.
func (j *Journal) Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	return ask(ctx, j, j.of(h.Partition()), func() (*journalv1.OrderRow, error) { return j.Journal.Row(ctx, h) })
}

// Fallout implements persistence.Finder.
func (j *Journal) Fallout(ctx context.Context) (persistence.Fallout, error) {
	return ask(ctx, j, j.all(), func() (persistence.Fallout, error) { return j.Journal.Fallout(ctx) })
}

// List implements persistence.Finder.
func (j *Journal) List(ctx context.Context, q persistence.Query) ([]persistence.FoundOrder, messages.Handle, error) {
	if err := j.answers(ctx, j.all()...); err != nil {
		return nil, messages.Handle{}, err
	}
	return j.Journal.List(ctx, q)
}

// Open implements persistence.Recoverer.
func (j *Journal) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	return ask(ctx, j, j.of(p), func() ([]persistence.OpenOrder, error) { return j.Journal.Open(ctx, p, after, limit) })
}

// Due implements persistence.Recoverer.
func (j *Journal) Due(ctx context.Context, p messages.Partition, after persistence.DuePlace, limit int) ([]persistence.OpenOrder, error) {
	return ask(ctx, j, j.of(p), func() ([]persistence.OpenOrder, error) { return j.Journal.Due(ctx, p, after, limit) })
}

// Overflowed implements persistence.Recoverer.
func (j *Journal) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) ([]persistence.OverflowedTask, error) {
	return ask(ctx, j, j.of(of.Partition), func() ([]persistence.OverflowedTask, error) { return j.Journal.Overflowed(ctx, of, after, limit) })
}

// Intake implements persistence.Recoverer.
func (j *Journal) Intake(
	ctx context.Context, of []messages.Partition, after messages.Handle, limit int,
) ([]persistence.OpenOrder, error) {
	var shards []int
	for _, p := range of {
		shards = append(shards, j.ShardOf(p))
	}
	return ask(ctx, j, shards, func() ([]persistence.OpenOrder, error) { return j.Journal.Intake(ctx, of, after, limit) })
}

// Queue implements persistence.Queues.
func (j *Journal) Queue(
	ctx context.Context, p messages.Partition, key string, after persistence.Position, limit int,
) ([]persistence.QueuedOrder, error) {
	return ask(ctx, j, j.of(p), func() ([]persistence.QueuedOrder, error) { return j.Journal.Queue(ctx, p, key, after, limit) })
}

// QueuedKeys implements persistence.Queues.
func (j *Journal) QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]persistence.QueuedOrder, error) {
	return ask(ctx, j, j.of(p), func() ([]persistence.QueuedOrder, error) { return j.Journal.QueuedKeys(ctx, p, after, limit) })
}
