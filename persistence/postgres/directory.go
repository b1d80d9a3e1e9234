package postgres

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

// Orders that have a key live with the others of the key, which may be in another shard than that of their ids. Such an order has an
// entry in the shard of its id, and that is made first: it says where the order lives, if it was accepted. An entry is never changed.
// One whose order is not there is no acceptance: the same order completes it, another one is refused.

// directory returns the shard that must have an entry of an order before it is accepted; nil: it lives there.
func (j *Journal) directory(c *persistence.Commit) *shard {
	if c.ID == "" || len(j.shards) == 1 {
		return nil
	}
	if s := j.shard(messages.PartitionOf(c.ID, "")); s != j.shard(c.Partition) {
		return s
	}
	return nil
}

// enterAll makes entries for acceptances, and hands on those whose entries are there, as lane.Run asks for.
func (s *shard) enterAll(batch []lane.Request, _ time.Time) (done int) {
	var ids, hashes [][]byte
	var handles []uid
	var partitions []int16
	for _, r := range batch {
		ids, hashes = append(ids, []byte(r.Commit.ID)), append(hashes, append([]byte{}, r.Commit.ContentHash...))
		handles, partitions = append(handles, r.Commit.Handle), append(partitions, int16(r.Commit.Partition)) //nolint:gosec // it was checked
	}
	var found map[messages.OrderID]directoryRow
	err := s.read(s.journal.ctx, "enter orders in the directory", func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		if _, err = conn.Exec(ctx, `INSERT INTO orders (handle, id, partition, content_hash, intake, in_doubt)
			SELECT e.handle, e.id, e.partition, e.content_hash, false, false
			FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::bytea[]) AS e (handle, id, partition, content_hash)
			ON CONFLICT DO NOTHING`,
			handles, ids, partitions, hashes); err != nil {
			return err //nolint:wrapcheck // said by read
		}
		found, err = entries(ctx, conn, ids)
		return err
	})
	for i := range batch {
		c := batch[i].Commit
		entry, there := found[c.ID]
		switch {
		case err != nil:
			batch[i].Answer(err)
		case there && entry.elsewhere && entry.Partition == c.Partition && bytes.Equal(entry.ContentHash, c.ContentHash):
			s.journal.put(c.Partition, batch[i])
		case there:
			batch[i].Answer(&persistence.TakenError{Entry: entry.Entry})
		default: // its handle is taken
			batch[i].Answer(persistence.ErrConflict)
		}
	}
	return len(batch)
}
