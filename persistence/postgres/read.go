package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// queryer is a connection.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// directoryRow is an entry of the directory. Elsewhere: the order lives in another shard, if it was accepted there.
type directoryRow struct {
	persistence.Entry

	elsewhere bool
}

// entries looks orders up in the directory, those that are there.
func entries(ctx context.Context, conn queryer, ids [][]byte) (map[messages.OrderID]directoryRow, error) {
	all := map[messages.OrderID]directoryRow{}
	if len(ids) == 0 {
		return all, nil
	}
	found, err := conn.Query(ctx, `SELECT id, handle, partition, content_hash, row IS NULL FROM orders WHERE id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	var id []byte
	var p int16
	var h uid
	var row directoryRow
	_, err = pgx.ForEachRow(found, []any{&id, &h, &p, &row.ContentHash, &row.elsewhere}, func() error {
		row.Handle, row.Partition = h, messages.Partition(p) //nolint:gosec // not negative
		all[messages.OrderID(id)] = row
		row.ContentHash = nil
		return nil
	})
	return all, err //nolint:wrapcheck // said by the caller
}

// Find looks an order up in the directory: in the shard of its id, and, if that says so, in the one where it lives.
func (j *Journal) Find(ctx context.Context, id messages.OrderID) (entry persistence.Entry, err error) {
	entry, elsewhere, err := j.shard(messages.PartitionOf(id, "")).find(ctx, id)
	if err == nil && elsewhere {
		entry, _, err = j.shard(entry.Partition).find(ctx, id)
	}
	if err != nil {
		return persistence.Entry{}, err
	}
	return entry, nil
}

func (s *shard) find(ctx context.Context, id messages.OrderID) (entry persistence.Entry, elsewhere bool, err error) {
	there := false
	err = s.read(ctx, "look for order "+string(id), func(ctx context.Context, conn *pgxpool.Conn) error {
		all, err := entries(ctx, conn, [][]byte{[]byte(id)})
		var found directoryRow
		found, there = all[id]
		entry, elsewhere = found.Entry, found.elsewhere
		return err
	})
	if err == nil && !there {
		err = persistence.ErrNotFound // whoever asks knows which order it is, and says so
	}
	return entry, elsewhere, err
}

// Row reads an order's row.
func (j *Journal) Row(ctx context.Context, h messages.Handle) (*journalv1.OrderRow, error) {
	var stored []byte
	err := j.shard(h.Partition()).read(ctx, "read order "+h.String(), func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, `SELECT row FROM orders WHERE handle = $1`, uid(h)).Scan(&stored)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err //nolint:wrapcheck // said by read
	})
	switch {
	case err != nil:
		return nil, err
	case stored == nil:
		return nil, fmt.Errorf("read order %s: %w", h, persistence.ErrNotFound)
	}
	return decode(stored, &journalv1.OrderRow{}, "row of order "+h.String())
}

func decode[M proto.Message](stored []byte, into M, what string) (M, error) {
	if err := proto.Unmarshal(stored, into); err != nil {
		var none M
		return none, persistence.DecodeError(what, err)
	}
	return into, nil
}

// recordsPage is how many records are read at once.
const recordsPage = 100

// Records reads the history of an order. If there is none, it yields ErrNotFound.
func (j *Journal) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	return func(yield func(persistence.StoredRecord, error) bool) {
		if err := j.records(ctx, h, from, yield); err != nil {
			yield(persistence.StoredRecord{}, fmt.Errorf("read the history of order %s: %w", h, err))
		}
	}
}

// records yields until it is told to stop. An error is for the caller to yield, and means that it was not told.
func (j *Journal) records(
	ctx context.Context, h messages.Handle, from messages.Version, yield func(persistence.StoredRecord, error) bool,
) error {
	from = max(from, 1)
	for next := messages.Version(0); ; {
		page, more, err := j.shard(h.Partition()).someRecords(ctx, h, from, next)
		if err != nil {
			return err
		}
		if next == 0 && len(page) == 0 {
			return persistence.ErrNotFound
		}
		for _, r := range page {
			if next == 0 && r.First > from || next != 0 && r.First != next {
				return persistence.DecodeError("history", fmt.Errorf("version %d follows %d", r.First, next)) //nolint:err113 // for people
			}
			events, err := persistence.CheckRecord(h, r.First, r.Data)
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			next = r.First + messages.Version(events) //nolint:gosec // at least 1
			if next > from && !yield(r, nil) {
				return nil
			}
		}
		if !more {
			return nil
		}
	}
}

// someRecords reads records as recordsPage does, together with others if they begin the history, and tells whether there may be more.
func (s *shard) someRecords(
	ctx context.Context, h messages.Handle, holds, from messages.Version,
) (page []persistence.StoredRecord, more bool, err error) {
	if holds == 1 && from == 0 {
		if page, more, err = s.beginnings.first(ctx, h); err != nil || len(page) > 0 || !more {
			return page, more, err
		}
	}
	page, err = s.recordsPage(ctx, h, holds, from)
	return page, len(page) == recordsPage, err
}

// recordsPage reads records from a version on, or, if that is 0, from the one that holds another.
func (s *shard) recordsPage(
	ctx context.Context, h messages.Handle, holds, from messages.Version,
) (page []persistence.StoredRecord, err error) {
	err = s.read(ctx, "read records", func(ctx context.Context, conn *pgxpool.Conn) error {
		first := `$2`
		if from == 0 {
			from = holds
			first = `COALESCE((SELECT max(first) FROM events WHERE handle = $1 AND first <= $2), 0)`
		}
		found, err := conn.Query(ctx, `SELECT first, record FROM events WHERE handle = $1 AND first >= `+first+` ORDER BY first LIMIT $3`,
			uid(h), int64(from), recordsPage) //nolint:gosec // versions don't get that high
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		page, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (r persistence.StoredRecord, err error) {
			var first int64
			err = row.Scan(&first, &r.Data)
			r.First = messages.Version(first) //nolint:gosec // not negative
			return r, err                     //nolint:wrapcheck // said by read
		})
		return err //nolint:wrapcheck // said by read
	})
	return page, err
}

// openColumns are what openOrders reads.
const openColumns = `SELECT handle, open, COALESCE(position, 0) FROM orders `

// openOrders returns open orders of a partition.
func (j *Journal) openOrders(
	ctx context.Context, p messages.Partition, where string, args ...any,
) (found []persistence.OpenOrder, err error) {
	if p >= messages.Partitions {
		return nil, nil
	}
	err = j.shard(p).read(ctx, "read open orders", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, openColumns+where, append([]any{int16(p)}, args...)...) //nolint:gosec // it was checked
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		found, err = pgx.CollectRows(rows, openOrder)
		return err //nolint:wrapcheck // said by read
	})
	return found, err
}

func openOrder(row pgx.CollectableRow) (o persistence.OpenOrder, err error) {
	var h uid
	var stored []byte
	var position int64
	if err := row.Scan(&h, &stored, &position); err != nil {
		return o, err //nolint:wrapcheck // said by read
	}
	o.Handle = h
	if o.Row, err = decode(stored, &journalv1.OpenRow{}, "open row of order "+o.Handle.String()); err != nil {
		return o, err
	}
	o.Row.Position = uint64(position) //nolint:gosec // not negative
	return o, nil
}

// Open returns open orders of a partition.
func (j *Journal) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	return j.openOrders(ctx, p, `WHERE partition = $1 AND open IS NOT NULL AND handle > $2 ORDER BY handle LIMIT $3`,
		uid(after), max(limit, 0))
}

// Intake returns those of which the owner has not decided anything. An index has them, and nothing else: as long as there are none, it
// is empty.
func (j *Journal) Intake(
	ctx context.Context, of []messages.Partition, after messages.Handle, limit int,
) (found []persistence.OpenOrder, err error) {
	in := make([][]int16, len(j.shards))
	for _, p := range of {
		if p < messages.Partitions {
			n := j.shard(p).number
			in[n] = append(in[n], int16(p))
		}
	}
	for n, s := range j.shards {
		if len(in[n]) == 0 {
			continue
		}
		err = errors.Join(err, s.read(ctx, "read the intake", func(ctx context.Context, conn *pgxpool.Conn) error {
			rows, err := conn.Query(ctx, openColumns+`WHERE intake AND partition = ANY ($1) AND (partition, handle) > ($2, $3)
				ORDER BY partition, handle LIMIT $4`,
				in[n], int16(after.Partition()), uid(after), max(limit, 0)) //nolint:gosec // a handle has a byte for it
			if err != nil {
				return err //nolint:wrapcheck // said by read
			}
			some, err := pgx.CollectRows(rows, openOrder)
			found = append(found, some...)
			return err //nolint:wrapcheck // said by read
		}))
	}
	slices.SortFunc(found, func(a, b persistence.OpenOrder) int { return persistence.CompareIntake(a.Handle, b.Handle) })
	return found[:min(len(found), max(limit, 0))], err
}

// Due returns open orders of a partition that have a due time.
func (j *Journal) Due(ctx context.Context, p messages.Partition, after persistence.DuePlace, limit int) ([]persistence.OpenOrder, error) {
	return j.openOrders(ctx, p, `WHERE partition = $1 AND due IS NOT NULL AND (due, handle) > ($2, $3) ORDER BY due, handle LIMIT $4`,
		after.At, uid(after.Handle), max(limit, 0))
}

// Overflowed returns tasks in overflow.
func (j *Journal) Overflowed(
	ctx context.Context, of persistence.Overflow, after persistence.OverflowPlace, limit int,
) (tasks []persistence.OverflowedTask, err error) {
	if of.Partition >= messages.Partitions {
		return nil, nil
	}
	err = j.shard(of.Partition).read(ctx, "read tasks in overflow", func(ctx context.Context, conn *pgxpool.Conn) error {
		found, err := conn.Query(ctx, `SELECT v.at, v.frame, v.handle, v.bytes, o.id FROM overflow v JOIN orders o USING (handle)
			WHERE v.activity = $1 AND v.priority = $2 AND v.partition = $3 AND (v.at, v.frame, v.handle) > ($4, $5, $6)
			ORDER BY v.at, v.frame, v.handle LIMIT $7`,
			hashOf(of.Activity), of.Priority, int16(of.Partition), //nolint:gosec // it was checked
			after.At, int64(after.Frame), uid(after.Handle), max(limit, 0))
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		tasks, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (t persistence.OverflowedTask, err error) {
			var h uid
			var frame, bytes int64
			var id []byte
			err = row.Scan(&t.At, &frame, &h, &bytes, &id)
			t.Frame, t.Bytes = uint32(frame), int(bytes) //nolint:gosec // they were written so
			t.Handle, t.Order = h, messages.OrderID(id)
			return t, err //nolint:wrapcheck // said by read
		})
		return err //nolint:wrapcheck // said by read
	})
	return tasks, err
}

// Queue returns orders that wait for a key.
func (j *Journal) Queue(
	ctx context.Context, p messages.Partition, key string, after persistence.Position, limit int,
) ([]persistence.QueuedOrder, error) {
	return j.queued(ctx, p, openColumns+`WHERE partition = $1 AND queue = $2 AND position > $3 ORDER BY position LIMIT $4`,
		hashOf(key), int64(after), max(limit, 0)) //nolint:gosec // positions don't get that high
}

// QueuedKeys returns the first of each queue of a partition. It steps from key to key in the index.
func (j *Journal) QueuedKeys(ctx context.Context, p messages.Partition, after string, limit int) ([]persistence.QueuedOrder, error) {
	var behind uid
	if after != "" {
		behind = hashOf(after)
	}
	return j.queued(ctx, p, `WITH RECURSIVE heads AS (
			(SELECT handle, open, position, queue FROM orders WHERE partition = $1 AND queue > $2 ORDER BY queue, position LIMIT 1)
			UNION ALL
			SELECT o.handle, o.open, o.position, o.queue FROM heads h, LATERAL (SELECT handle, open, position, queue FROM orders
				WHERE partition = $1 AND queue > h.queue ORDER BY queue, position LIMIT 1) AS o
		) SELECT handle, open, position FROM heads LIMIT $3`, behind, max(limit, 0))
}

func (j *Journal) queued(ctx context.Context, p messages.Partition, sql string, args ...any) (queue []persistence.QueuedOrder, err error) {
	if p >= messages.Partitions {
		return nil, nil
	}
	err = j.shard(p).read(ctx, "read who waits for keys", func(ctx context.Context, conn *pgxpool.Conn) error {
		found, err := conn.Query(ctx, sql, append([]any{int16(p)}, args...)...) //nolint:gosec // it was checked
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		queue, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (persistence.QueuedOrder, error) {
			o, err := openOrder(row)
			return persistence.QueuedOrder{
				Key: o.Row.GetOrderKey(), Position: persistence.Position(o.Row.GetPosition()), Handle: o.Handle,
				ID: messages.OrderID(o.Row.GetId()),
			}, err
		})
		return err //nolint:wrapcheck // said by read
	})
	return queue, err
}
