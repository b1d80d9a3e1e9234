package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

const (
	// mostTogether is how many histories one query reads.
	mostTogether = 64
	// recordsTogether is how many records of each of them it reads, and recordBytesTogether how large they may be: so a query takes 16 MiB
	// at the most. A history that has more, or larger ones, goes on by queries of its own from there.
	recordsTogether     = 16
	recordBytesTogether = 16 << 10
)

// beginnings has the first records of histories read by few queries: those that are asked for while others are being read are read together
// by the next query. So a history alone is read at once, and the thousands that are loaded when partitions are taken over cost a query for
// each few dozen.
//
// Nobody but those who ask does the reading: who comes while a query may begin reads, and then hands those who wait over to the first of
// them.
type beginnings struct {
	// most is how many queries may be under way at once, and read does one. It sets what was found for each, and the error.
	most int
	read func(ctx context.Context, of []*history)

	mu      sync.Mutex
	reading int
	waiting []*history // as many as callers
}

// history is one that somebody waits for.
type history struct {
	handle messages.Handle
	// page are its first records; more: there may be others, even if these are none.
	page []persistence.StoredRecord
	more bool
	err  error
	// told gets nil when it was read, or those that its caller is to read, itself among them.
	told chan []*history
}

// errUnread is what is told of a history that was not read after all.
var errUnread = errors.New("its reader has failed")

// first returns the first records of a history.
func (b *beginnings) first(ctx context.Context, h messages.Handle) (page []persistence.StoredRecord, more bool, err error) {
	if ctx.Err() != nil {
		return nil, false, fmt.Errorf("read the journal: %w", context.Cause(ctx))
	}
	x := &history{handle: h, err: errUnread, told: make(chan []*history, 1)}
	batch := b.join(x)
	if batch == nil {
		select {
		case batch = <-x.told:
		case <-ctx.Done():
			if b.leave(x) {
				return nil, false, fmt.Errorf("wait to read the journal: %w", context.Cause(ctx))
			}
			batch = <-x.told // its query is under way, or it is to make one, for which others wait
		}
	}
	if batch != nil {
		b.lead(ctx, batch, x)
	}
	return x.page, x.more, x.err
}

// lead reads a batch for all who wait for it, also if its reader need not wait any more, or panics.
func (b *beginnings) lead(ctx context.Context, batch []*history, by *history) {
	defer b.over(batch, by)
	b.read(context.WithoutCancel(ctx), batch)
}

// join returns what the caller is to read at once, or nil if it has to wait.
func (b *beginnings) join(x *history) []*history {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading < b.most {
		b.reading++
		return []*history{x}
	}
	b.waiting = append(b.waiting, x)
	return nil
}

// leave has a history wait no longer. It returns false if it does not wait any more.
func (b *beginnings) leave(x *history) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, x)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}

// over tells those who wait for a batch, but for the one who has read it, and hands the next batch over.
func (b *beginnings) over(batch []*history, by *history) {
	for _, x := range batch {
		if x != by {
			x.told <- nil
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.reading--
		b.waiting = nil // it may have been long
		return
	}
	next := slices.Clone(b.waiting[:min(len(b.waiting), mostTogether)])
	b.waiting = slices.Delete(b.waiting, 0, len(next))
	next[0].told <- next
}

// readTogether reads the first records of histories. If anything is damaged, each is read alone, so that the others are not harmed.
func (s *shard) readTogether(ctx context.Context, of []*history) {
	if len(of) > 1 {
		err := s.readFirst(ctx, of)
		if !errors.Is(err, persistence.ErrCorrupt) {
			for _, x := range of {
				x.err = err
			}
			return
		}
	}
	for _, x := range of {
		x.page, x.err = s.recordsPage(ctx, x.handle, 1, 0)
		x.more = len(x.page) == recordsPage
	}
}

// readFirst reads the first records of several histories by one query.
func (s *shard) readFirst(ctx context.Context, of []*history) error {
	handles := make([]uid, len(of))
	for i, x := range of {
		handles[i] = x.handle
	}
	slices.SortFunc(handles, func(a, b uid) int { return bytes.Compare(a[:], b[:]) })
	found, more := map[messages.Handle][]persistence.StoredRecord{}, map[messages.Handle]bool{}
	err := s.read(ctx, "read records", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT h.handle, e.first, e.record FROM unnest($1::uuid[]) AS h (handle), LATERAL (
				SELECT first, CASE WHEN octet_length(record) <= $3 THEN record END AS record FROM events
				WHERE handle = h.handle ORDER BY first LIMIT $2) AS e
			ORDER BY h.handle, e.first`, slices.Compact(handles), recordsTogether, recordBytesTogether)
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		var h uid
		var first int64
		var r persistence.StoredRecord
		_, err = pgx.ForEachRow(rows, []any{&h, &first, &r.Data}, func() error {
			if more[h] = more[h] || r.Data == nil; !more[h] {
				r.First = messages.Version(first) //nolint:gosec // not negative
				found[h] = append(found[h], r)
				r.Data = nil
			}
			return nil
		})
		return err //nolint:wrapcheck // said by read
	})
	for _, x := range of {
		x.page = found[x.handle]
		x.more = more[x.handle] || len(x.page) == recordsTogether
	}
	return err
}
