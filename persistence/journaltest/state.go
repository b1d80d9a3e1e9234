package journaltest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Fill has n orders live in a journal, with rows and indexes of every kind, and leaves some of them open.
func Fill(tb testing.TB, j persistence.Journal, n int) {
	tb.Helper()
	fill(tb, own(tb, j), n)
}

func fill(tb testing.TB, j *owning, n int) {
	tb.Helper()
	for i := range n {
		if i%10 == 0 {
			_, err := j.PutDefinition(tb.Context(), &journalv1.DefinitionRow{
				Namespace: "fill", Name: "definition", Version: fmt.Sprintf("1.0.%d", i), Hash: []byte{byte(i)}, Document: []byte("document"),
			})
			if err != nil {
				tb.Fatal(err)
			}
		}
		o := newOrder()
		o.row.Labels = []*journalv1.Label{{Name: "number", Value: fmt.Sprint(i % 3)}}
		if i%2 == 0 {
			o.row.OrderKey = fmt.Sprint("key ", i%5)
		}
		if i%7 == 3 { // somebody else accepts it
			o.must(tb, j.Journal, o.accept(1))
			continue
		}
		if i%4 == 2 { // it waits for its turn first
			o.open.OrderKey, o.open.Queued = o.row.GetOrderKey(), true
		}
		o.must(tb, j, o.accept(2))
		if i%8 == 6 {
			continue
		}
		o.must(tb, j, o.step(1))
		if i%3 == 0 {
			o.must(tb, j, o.overflow(&journalv1.Overflow{Activity: "fill.activity", Priority: int32(i % 10), At: int64(i + 1), Frame: 1}))
		}
		switch i % 5 {
		case 0:
			o.must(tb, j, o.wait(int64(i+1)))
		case 1:
			o.must(tb, j, o.wait(int64(i+1)))
			o.must(tb, j, o.end(orderv1.Status_STATUS_COMPLETED))
		case 2:
			o.must(tb, j, o.end(orderv1.Status_STATUS_FAULTED))
		case 3:
			o.must(tb, j, o.end(orderv1.Status_STATUS_CANCELLED))
		}
	}
}

// Acceptance makes a commit that accepts an order with an id, as one does who does not own its partition. Done is left out.
func Acceptance(id string) *persistence.Commit {
	o := newOrder()
	o.id, o.row.Id, o.open.Id = messages.OrderID(id), id, id
	return o.in(messages.PartitionOf(o.id, "")).accept(1)
}

// State reads everything that a journal has, as text that is the same if the journal is.
func State(ctx context.Context, j persistence.Journal) (string, error) {
	var b strings.Builder
	partitions := make(map[messages.Partition]bool)
	q := persistence.Query{Limit: 100, Scan: 100}
	for {
		found, next, err := j.List(ctx, q)
		if err != nil {
			return "", fmt.Errorf("list: %w", err)
		}
		for _, f := range found {
			if err := orderState(ctx, j, &b, f); err != nil {
				return "", err
			}
			partitions[messages.Partition(f.Row.GetPartition())] = true
		}
		if q.After = next; next.IsZero() {
			break
		}
	}
	for p := range messages.Partition(messages.Partitions) {
		if !partitions[p] {
			continue
		}
		if err := partitionState(ctx, j, &b, p); err != nil {
			return "", err
		}
	}
	if err := indexState(ctx, j, &b); err != nil {
		return "", err
	}
	for row, err := range j.AllDefinitions(ctx) {
		if err != nil {
			return "", fmt.Errorf("definitions: %w", err)
		}
		fmt.Fprintf(&b, "definition %s/%s:%s %x %s\n", row.GetNamespace(), row.GetName(), row.GetVersion(), row.GetHash(), row.GetDocument())
	}
	return b.String(), nil
}

func orderState(ctx context.Context, j persistence.Reader, b *strings.Builder, f persistence.FoundOrder) error {
	entry, err := j.Find(ctx, messages.OrderID(f.Row.GetId()))
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	// The text of a message may vary in spaces.
	fmt.Fprintf(b, "order %s %s status %d key %q labels %d ended %d, directory %s %d %s\n", f.Handle, f.Row.GetId(), f.Row.GetStatus(),
		f.Row.GetOrderKey(), len(f.Row.GetLabels()), f.Row.GetEndedAt(), entry.Handle, entry.Partition, entry.ContentHash)
	for r, err := range j.Records(ctx, f.Handle, 0) {
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		fmt.Fprintf(b, "  record %d %x\n", r.First, r.Data)
	}
	return nil
}

func partitionState(ctx context.Context, j persistence.Journal, b *strings.Builder, p messages.Partition) error {
	owners, err := j.Owners(ctx)
	if err != nil {
		return fmt.Errorf("owners: %w", err)
	}
	intake, err := j.Intake(ctx, []messages.Partition{p}, messages.Handle{}, 1<<20)
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	heads, err := j.QueuedKeys(ctx, p, "", 1<<20)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	open, err := j.Open(ctx, p, messages.Handle{}, 1<<20)
	if err != nil {
		return fmt.Errorf("open orders: %w", err)
	}
	due, err := j.Due(ctx, p, persistence.DuePlace{}, 1<<20)
	if err != nil {
		return fmt.Errorf("due orders: %w", err)
	}
	fmt.Fprintf(b, "partition %d epoch %d\n", p, owners[p].Epoch)
	for _, head := range heads {
		queue, err := j.Queue(ctx, p, head.Key, 0, 1<<20)
		if err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		fmt.Fprintf(b, "  queue %+v\n", queue)
	}
	for priority := range 10 {
		of := persistence.Overflow{Activity: "fill.activity", Priority: priority, Partition: p}
		tasks, err := j.Overflowed(ctx, of, persistence.OverflowPlace{}, 1<<20)
		if err != nil {
			return fmt.Errorf("overflow: %w", err)
		}
		for _, task := range tasks {
			fmt.Fprintf(b, "  overflow %d %+v\n", priority, task)
		}
	}
	for _, orders := range [][]persistence.OpenOrder{open, due, intake} {
		for _, o := range orders {
			fmt.Fprintf(b, "  %s %s %d\n", o.Handle, o.Row.GetId(), o.Row.GetDue())
		}
	}
	return nil
}

// indexState finds the orders that Fill made by each index.
func indexState(ctx context.Context, j persistence.Finder, b *strings.Builder) error {
	queries := []persistence.Query{
		{Statuses: []orderv1.Status{orderv1.Status_STATUS_FAULTED}},
		{Statuses: []orderv1.Status{orderv1.Status_STATUS_CANCELLED}},
		{Statuses: []orderv1.Status{orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_WAITING}},
		{Definition: "test/activate"},
	}
	for i := range 5 {
		queries = append(queries, persistence.Query{OrderKey: fmt.Sprint("key ", i)},
			persistence.Query{Labels: []*journalv1.Label{{Name: "number", Value: fmt.Sprint(i)}}})
	}
	for i, q := range queries {
		q.Limit, q.Scan = 1<<20, 1<<20
		found, _, err := j.List(ctx, q)
		if err != nil {
			return fmt.Errorf("query %d: %w", i, err)
		}
		fmt.Fprintf(b, "query %d\n", i)
		for _, f := range found {
			fmt.Fprintf(b, "  %s\n", f.Handle)
		}
	}
	return nil
}
