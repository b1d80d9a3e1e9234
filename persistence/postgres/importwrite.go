package postgres

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// statusFaulted is the status of orders that have faulted, as it is stored.
const statusFaulted = int16(orderv1.Status_STATUS_FAULTED)

// ownedEpoch stands for any epoch: that an order is not in the intake.
const ownedEpoch messages.Epoch = 1

// eachOrder gathers the orders behind a handle, and has them written or compared, a batch of a shard at a time. Of a shard those are left
// out that it has, if so asked.
func (i *importer) eachOrder(
	ctx context.Context, after messages.Handle, missing bool, do func(*importShard, context.Context) error,
) error {
	for o, err := range i.from.Orders(ctx, after) {
		if err != nil {
			return err
		}
		s := i.shards[i.journal.ShardOf(o.Partition)]
		i.done.Orders++
		if missing && bytes.Compare(o.Handle[:], s.last[:]) <= 0 {
			continue
		}
		if err := s.addOrder(o); err != nil {
			return err
		}
		i.enter(o, s)
		if len(s.orders.changes.handle) >= i.journal.cfg.importRows || s.bytes >= importBytes {
			if err := i.flush(ctx, []*importShard{s}, do); err != nil {
				return err
			}
		}
	}
	return i.flush(ctx, i.shards, do)
}

// enter notes that an order needs an entry in the shard of its id, if it does not live there.
func (i *importer) enter(o persistence.WholeOrder, lives *importShard) {
	s := i.shards[i.journal.ShardOf(messages.PartitionOf(messages.OrderID(o.Row.GetId()), ""))]
	if s == lives {
		return
	}
	e := &s.entries
	e.handle, e.id = append(e.handle, o.Handle), append(e.id, []byte(o.Row.GetId()))
	e.hash = append(e.hash, append([]byte{}, o.ContentHash...))
	e.partition = append(e.partition, int16(o.Partition)) //nolint:gosec // it is one
}

// flush has what was gathered written or compared: entries first, so that whoever has an order has its entry.
func (i *importer) flush(ctx context.Context, of []*importShard, do func(*importShard, context.Context) error) error {
	for _, s := range i.shards {
		if len(s.entries.handle) == 0 {
			continue
		}
		if err := s.makeEntries(ctx); err != nil {
			return s.unavailable(err)
		}
	}
	for _, s := range of {
		if err := do(s, ctx); err != nil {
			return err
		}
		s.orders, s.positions, s.bytes = columns{}, nil, 0
	}
	i.tell(i.done)
	return nil
}

// addOrder adds an order to the next batch.
func (s *importShard) addOrder(o persistence.WholeOrder) error {
	if o.Handle.Partition() != o.Partition {
		return fmt.Errorf("order %s has the handle %s, which is none of partition %d", //nolint:err113 // for people
			o.Row.GetId(), o.Handle, o.Partition)
	}
	c := &persistence.Commit{
		Partition: o.Partition, Handle: o.Handle, ID: messages.OrderID(o.Row.GetId()), ContentHash: o.ContentHash, Row: o.Row,
		Close: o.Open == nil,
	}
	if !o.Intake {
		c.Epoch = ownedEpoch
	}
	var position int64
	if o.Open != nil {
		position = int64(o.Open.GetPosition()) //nolint:gosec // positions don't get that high
		c.Open = proto.CloneOf(o.Open)
		c.Open.Position = 0 // it has a column of its own
	}
	row, err := encode(c.Row)
	if err != nil {
		return err
	}
	open, err := encode(c.Open)
	if err != nil {
		return err
	}
	s.orders.addChange(c, row, open)
	s.positions = append(s.positions, position)
	s.bytes += len(row) + len(open)
	return nil
}

// importedOrders are orders of a batch, as rows of the table orders.
const importedOrders = `SELECT r.handle, r.id, r.partition, r.content_hash, r.row, r.open, r.intake, NULLIF(r.name, $1) AS name,
		NULLIF(r.key, $1) AS key, NULLIF(r.ended_badly, 0) AS ended_badly, r.in_doubt,
		CASE WHEN r.due <> 0 THEN GREATEST(r.due, 0) END AS due, NULLIF(r.queue, $1) AS queue, NULLIF(r.position, 0) AS position
	FROM unnest($2::uuid[], $3::bytea[], $4::smallint[], $5::bytea[], $6::bytea[], $7::bytea[], $8::boolean[], $9::uuid[], $10::uuid[],
		$11::smallint[], $12::boolean[], $13::bigint[], $14::uuid[], $15::bigint[])
		AS r (handle, id, partition, content_hash, row, open, intake, name, key, ended_badly, in_doubt, due, queue, position)`

func (s *importShard) orderArguments() []any {
	c := &s.orders.changes
	return []any{
		uid{},
		c.handle, c.id, c.partition, c.hash, c.row, c.open, c.intake, c.name, c.key, c.endedBadly, c.inDoubt, c.due, c.queue,
		s.positions,
	}
}

// importedLabels and importedOverflow are what orders of a batch are found by, as rows of the tables.
const (
	importedLabels   = `SELECT DISTINCT l.label, l.handle FROM unnest($1::uuid[], $2::uuid[]) AS l (label, handle)`
	importedOverflow = `SELECT v.activity, v.priority, v.partition, v.at, v.frame, v.handle, v.bytes
		FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::uuid[], $7::bigint[])
		AS v (activity, priority, partition, at, frame, handle, bytes)`
)

func (s *importShard) labelArguments() []any {
	return []any{s.orders.labels.label, s.orders.labels.handle}
}

func (s *importShard) overflowArguments() []any {
	v := &s.orders.overflow
	return []any{v.activity, v.priority, v.partition, v.at, v.frame, v.handle, v.bytes}
}

// writeOrders writes a batch of orders, and how far that is, in one transaction.
func (s *importShard) writeOrders(ctx context.Context) error {
	n := len(s.orders.changes.handle)
	if n == 0 {
		return nil
	}
	last := s.orders.changes.handle[n-1]
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for _, statement := range []struct {
			sql  string
			args []any
		}{
			{`INSERT INTO orders
				(handle, id, partition, content_hash, row, open, intake, name, key, ended_badly, in_doubt, due, queue, position) ` +
				importedOrders, s.orderArguments()},
			{`INSERT INTO labels (label, handle) ` + importedLabels, s.labelArguments()},
			{`INSERT INTO overflow (activity, priority, partition, at, frame, handle, bytes) ` + importedOverflow, s.overflowArguments()},
			{`UPDATE import SET orders = $1`, []any{last}},
		} {
			if _, err := tx.Exec(ctx, statement.sql, statement.args...); err != nil {
				return err //nolint:wrapcheck // said below
			}
		}
		return nil
	})
	if err != nil {
		return s.unavailable(fmt.Errorf("write orders: %w", err))
	}
	s.last = last
	return nil
}

// makeEntries makes entries in the directory for orders that live in other shards. They may be there already.
func (s *importShard) makeEntries(ctx context.Context) error {
	e := &s.entries
	_, err := s.conn.Exec(ctx, `INSERT INTO orders (handle, id, partition, content_hash, intake, in_doubt)
		SELECT e.handle, e.id, e.partition, e.content_hash, false, false
		FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::bytea[]) AS e (handle, id, partition, content_hash)
		ON CONFLICT DO NOTHING`, e.handle, e.id, e.partition, e.hash)
	if err != nil {
		return fmt.Errorf("enter orders in the directory: %w", err)
	}
	missing, err := s.differs(ctx, `SELECT e.handle FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::bytea[])
		AS e (handle, id, partition, content_hash)
		LEFT JOIN orders o ON o.handle = e.handle AND o.id = e.id AND o.partition = e.partition AND o.content_hash = e.content_hash
			AND o.row IS NULL
		WHERE o.handle IS NULL LIMIT 1`, e.handle, e.id, e.partition, e.hash)
	if err == nil && missing != nil {
		err = fmt.Errorf("%w: the entry of order %s in the directory", errDiffers, *missing)
	}
	s.count.entries += int64(len(e.handle))
	e.handle, e.id, e.hash, e.partition = nil, nil, nil, nil
	return err
}

// eachRecord gathers the records behind a place, and has them written or compared, a batch of a shard at a time. Of a shard those are left
// out that it has, if so asked.
func (i *importer) eachRecord(
	ctx context.Context, after persistence.RecordPlace, missing bool, do func(*importShard, context.Context) error,
) error {
	for r, err := range i.from.Records(ctx, after) {
		if err != nil {
			return err
		}
		s := i.shards[i.journal.ShardOf(r.Handle.Partition())]
		i.done.Records++
		if missing && r.Compare(s.place) <= 0 {
			continue
		}
		e := &s.records
		e.handle, e.first = append(e.handle, r.Handle), append(e.first, int64(r.First))                   //nolint:gosec // not that high
		e.events, e.data = append(e.events, int32(r.Events)), append(e.data, append([]byte{}, r.Data...)) //nolint:gosec // not that many
		if s.bytes += len(r.Data); len(e.handle) >= i.journal.cfg.importRows || s.bytes >= importBytes {
			if err := do(s, ctx); err != nil {
				return err
			}
			s.clearRecords()
			i.tell(i.done)
		}
	}
	for _, s := range i.shards {
		if err := do(s, ctx); err != nil {
			return err
		}
		s.clearRecords()
	}
	i.tell(i.done)
	return nil
}

func (s *importShard) clearRecords() {
	e := &s.records
	e.handle, e.first, e.events, e.data, s.bytes = e.handle[:0], e.first[:0], e.events[:0], e.data[:0], 0
}

// importedRecords are records of a batch, as rows of the table events.
const importedRecords = `SELECT e.handle, e.first, e.events, e.record
	FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bytea[]) AS e (handle, first, events, record)`

func (s *importShard) recordArguments() []any {
	return []any{s.records.handle, s.records.first, s.records.events, s.records.data}
}

// writeRecords writes a batch of records, and how far that is, in one transaction.
func (s *importShard) writeRecords(ctx context.Context) error {
	n := len(s.records.handle)
	if n == 0 {
		return nil
	}
	handle, first := s.records.handle[n-1], s.records.first[n-1]
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO events (handle, first, events, record) `+importedRecords, s.recordArguments()...); err != nil {
			return err //nolint:wrapcheck // said below
		}
		_, err := tx.Exec(ctx, `UPDATE import SET handle = $1, first = $2`, handle, first)
		return err //nolint:wrapcheck // said below
	})
	if err != nil {
		return s.unavailable(fmt.Errorf("write records: %w", err))
	}
	s.place = persistence.RecordPlace{Handle: handle, First: messages.Version(first)} //nolint:gosec // not negative
	return nil
}
