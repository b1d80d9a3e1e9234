package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// errDiffers is why an import is not completed.
var errDiffers = errors.New("what is in the database is not what the source has")

// compare compares all that was written with the source: each order, record, label, task in overflow and entry is there as it should be,
// byte for byte, and there are no others.
func (i *importer) compare(ctx context.Context) error {
	i.done = ImportProgress{Compares: true}
	for _, s := range i.shards {
		s.count.orders, s.count.entries, s.count.labels, s.count.overflow, s.count.records = 0, 0, 0, 0, 0
	}
	if err := i.eachOrder(ctx, messages.Handle{}, false, (*importShard).compareOrders); err != nil {
		return err
	}
	if err := i.eachRecord(ctx, persistence.RecordPlace{}, false, (*importShard).compareRecords); err != nil {
		return err
	}
	if i.done.Orders != i.sum.Orders || i.done.Records != i.sum.Records {
		return fmt.Errorf("%w: %d orders with %d records were compared, and it has %d with %d",
			errDiffers, i.done.Orders, i.done.Records, i.sum.Orders, i.sum.Records)
	}
	for _, s := range i.shards {
		if err := s.compareCounts(ctx); err != nil {
			return err
		}
	}
	return errors.Join(i.compareOwners(ctx), i.compareCatalog(ctx), i.compareAudit(ctx))
}

// differs returns what a query finds that differs; nil: nothing does.
func (s *importShard) differs(ctx context.Context, sql string, args ...any) (*messages.Handle, error) {
	var h uid
	err := s.conn.QueryRow(ctx, sql, args...).Scan(&h)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // nothing differs
	case err != nil:
		return nil, fmt.Errorf("compare: %w", err)
	}
	found := messages.Handle(h)
	return &found, nil
}

// compareOrders compares a batch of orders.
func (s *importShard) compareOrders(ctx context.Context) error {
	for _, part := range []struct {
		what, sql string
		args      []any
	}{
		{"the row of order", `SELECT c.handle FROM (` + importedOrders + `) AS c LEFT JOIN orders o ON o.handle = c.handle AND o.id = c.id
			AND o.partition = c.partition AND o.content_hash = c.content_hash AND o.row IS NOT DISTINCT FROM c.row
			AND o.open IS NOT DISTINCT FROM c.open AND o.intake = c.intake AND o.name IS NOT DISTINCT FROM c.name
			AND o.key IS NOT DISTINCT FROM c.key AND o.ended_badly IS NOT DISTINCT FROM c.ended_badly AND o.in_doubt = c.in_doubt
			AND o.due IS NOT DISTINCT FROM c.due AND o.queue IS NOT DISTINCT FROM c.queue AND o.position IS NOT DISTINCT FROM c.position
			WHERE o.handle IS NULL LIMIT 1`, s.orderArguments()},
		{"a label of order", `SELECT c.handle FROM (` + importedLabels + `) AS c LEFT JOIN labels l USING (label, handle)
			WHERE l.handle IS NULL LIMIT 1`, s.labelArguments()},
		{"the overflow of order", `SELECT c.handle FROM (` + importedOverflow + `) AS c LEFT JOIN overflow v
			USING (activity, priority, partition, at, frame, handle, bytes) WHERE v.handle IS NULL LIMIT 1`, s.overflowArguments()},
	} {
		h, err := s.differs(ctx, part.sql, part.args...)
		if err != nil {
			return s.unavailable(err)
		}
		if h != nil {
			return fmt.Errorf("%w: %s %s", errDiffers, part.what, *h)
		}
	}
	s.count.orders += int64(len(s.orders.changes.handle))
	s.count.overflow += int64(len(s.orders.overflow.handle))
	type label struct{ label, handle uid }
	labels := map[label]struct{}{}
	for n, l := range s.orders.labels.label {
		labels[label{l, s.orders.labels.handle[n]}] = struct{}{}
	}
	s.count.labels += int64(len(labels))
	return nil
}

// compareRecords compares a batch of records.
func (s *importShard) compareRecords(ctx context.Context) error {
	h, err := s.differs(ctx, `SELECT c.handle FROM (`+importedRecords+`) AS c LEFT JOIN events e
		ON e.handle = c.handle AND e.first = c.first AND e.events = c.events AND e.record = c.record
		WHERE e.handle IS NULL LIMIT 1`, s.recordArguments()...)
	if err != nil {
		return s.unavailable(err)
	}
	if h != nil {
		return fmt.Errorf("%w: the history of order %s", errDiffers, *h)
	}
	s.count.records += int64(len(s.records.handle))
	return nil
}

// compareCounts makes sure that the tables have nothing else.
func (s *importShard) compareCounts(ctx context.Context) error {
	for _, table := range []struct {
		name, sql string
		want      int64
	}{
		{"orders", `SELECT count(*) FROM orders WHERE row IS NOT NULL`, s.count.orders},
		{"entries", `SELECT count(*) FROM orders WHERE row IS NULL`, s.count.entries},
		{"labels", `SELECT count(*) FROM labels`, s.count.labels},
		{"tasks in overflow", `SELECT count(*) FROM overflow`, s.count.overflow},
		{"records", `SELECT count(*) FROM events`, s.count.records},
	} {
		var n int64
		if err := s.conn.QueryRow(ctx, table.sql).Scan(&n); err != nil {
			return s.unavailable(fmt.Errorf("count the %s: %w", table.name, err))
		}
		if n != table.want {
			return fmt.Errorf("%w: shard %d has %d %s, and should have %d", errDiffers, s.number, n, table.name, table.want)
		}
	}
	return nil
}

// compareOwners compares the epochs of the partitions, and the generation and the level of each shard.
func (i *importer) compareOwners(ctx context.Context) error {
	owners, err := i.journal.Owners(ctx)
	if err != nil {
		return err
	}
	for p, o := range owners {
		if o.Epoch != i.sum.Epochs[p] || o.Incarnation != "" {
			return fmt.Errorf("%w: partition %d has epoch %d and the owner %q, and had epoch %d",
				errDiffers, p, o.Epoch, o.Incarnation, i.sum.Epochs[p])
		}
	}
	for _, s := range i.shards {
		var generation, level int64
		if err := s.conn.QueryRow(ctx, `SELECT generation, feature_level FROM meta`).Scan(&generation, &level); err != nil {
			return s.unavailable(fmt.Errorf("read the generation: %w", err))
		}
		if generation != int64(i.sum.Generation) || level != int64(i.sum.FeatureLevel) {
			return fmt.Errorf("%w: shard %d has generation %d and feature level %d, and not %d and %d",
				errDiffers, s.number, generation, level, i.sum.Generation, i.sum.FeatureLevel)
		}
	}
	return nil
}

// compareCatalog compares definitions and limits.
func (i *importer) compareCatalog(ctx context.Context) error {
	n := 0
	for _, err := range i.journal.AllDefinitions(ctx) {
		if err != nil {
			return err
		}
		n++
	}
	for row, err := range i.from.AllDefinitions(ctx) {
		if err != nil {
			return err
		}
		n--
		there, err := i.journal.Definition(ctx, messages.RefOf(row))
		if err != nil || !proto.Equal(there, row) {
			return errors.Join(fmt.Errorf("%w: the definition %s", errDiffers, messages.RefOf(row)), err)
		}
	}
	if n != 0 {
		return fmt.Errorf("%w: there are %d definitions more", errDiffers, n)
	}
	limits := map[string]*journalv1.LimitRow{}
	for row, err := range i.journal.AllLimits(ctx) {
		if err != nil {
			return err
		}
		limits[row.GetActivity()] = row
	}
	for row, err := range i.from.AllLimits(ctx) {
		if err != nil {
			return err
		}
		if !proto.Equal(limits[row.GetActivity()], row) {
			return fmt.Errorf("%w: the limit of %s", errDiffers, row.GetActivity())
		}
		delete(limits, row.GetActivity())
	}
	if len(limits) > 0 {
		return fmt.Errorf("%w: there are %d limits more", errDiffers, len(limits))
	}
	return nil
}
