package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
)

// Watermarks is what others have heard of what the journal has confirmed, to whichever incarnations. Its methods may be called by many
// goroutines at once.
type Watermarks interface {
	// Known returns what is known of each other incarnation, without waiting, and whether some of them commit no more: these are to be
	// covered. What it returns is not changed.
	Known() (known map[messages.Incarnation]messages.Watermarks, cover bool)
	// Ask asks whoever may know more than is known here. It takes a second at most.
	Ask(ctx context.Context)
	// Covered is told that a shard has shown watermarks of others, and that this incarnation has then committed something there which its
	// own ones tell: a database that has that has these, too.
	Covered(shard int, shown map[messages.Incarnation]messages.Watermarks)
}

// none is the Watermarks of a node that has nobody to hear of.
type none struct{}

func (none) Known() (map[messages.Incarnation]messages.Watermarks, bool) { return nil, false }
func (none) Ask(context.Context)                                         {}
func (none) Covered(int, map[messages.Incarnation]messages.Watermarks)   {}

// mark is the number of a batch that was confirmed to this incarnation, of a lane or of its own row. One writes it.
type mark struct{ generation, batch atomic.Int64 }

// set replaces it. A reader that sees the generation sees the batch.
func (m *mark) set(g messages.Generation, batch int64) {
	m.batch.Store(batch)
	m.generation.Store(int64(g))
}

// see notes what a server has shown that is used now.
func (m *mark) see(g messages.Generation, batch int64) {
	if m.generation.Load() == int64(g) {
		batch = max(batch, m.batch.Load())
	}
	m.set(g, batch)
}

// of returns the batch, if it is of a generation; else 0.
func (m *mark) of(generation int64) int64 {
	if m.generation.Load() != generation {
		return 0
	}
	return m.batch.Load()
}

// Watermarks are what was confirmed to this incarnation. That it made itself known to a server is not counted: if that server should not
// have been used, the right one has nothing of it.
func (j *Journal) Watermarks() messages.Watermarks {
	w := messages.Watermarks{Journal: j.identity.text()}
	for _, s := range j.shards {
		w.Shards = append(w.Shards, s.watermarks())
	}
	return w
}

func (s *shard) watermarks() (w messages.ShardWatermarks) {
	if s.isDown() != nil {
		return w
	}
	generation := s.seen()
	w.Generation = messages.Generation(generation) //nolint:gosec // it was one
	w.Batches = append(w.Batches, s.cover.of(generation))
	for _, c := range s.all() {
		w.Batches = append(w.Batches, c.mark.of(generation))
	}
	return w
}

// seen is the latest generation in which a server was used.
func (s *shard) seen() (generation int64) {
	generation = s.cover.generation.Load()
	for _, c := range s.all() {
		generation = max(generation, c.mark.generation.Load())
	}
	return generation
}

// bound is a batch that a database must have.
type bound struct {
	incarnation messages.Incarnation
	lane        int
	batch       int64
	generation  messages.Generation
}

// bounds are what the database of the shard must have, as far as is known: what was confirmed to this incarnation, and to others.
func (s *shard) bounds() (all []bound, known map[messages.Incarnation]messages.Watermarks) {
	known, _ = s.journal.cfg.Watermarks.Known()
	all = boundsBy(s.journal.self, s.watermarks())
	for who, w := range known {
		all = append(all, boundsBy(who, w.Of(s.number))...)
	}
	return all, known
}

// boundsBy are what the database of a shard must have, by the watermarks of an incarnation.
func boundsBy(who messages.Incarnation, w messages.ShardWatermarks) (all []bound) {
	for i, batch := range w.Batches {
		if batch > 0 {
			all = append(all, bound{incarnation: who, lane: i + ownLane, batch: batch, generation: w.Generation})
		}
	}
	return all
}

// columnsOf are bounds as columns. None is nil: an array has them.
func columnsOf(bounds []bound) (incarnations []string, lanes []int16, batches, generations []int64) {
	incarnations, lanes, batches, generations = []string{}, []int16{}, []int64{}, []int64{}
	for _, b := range bounds {
		incarnations, lanes = append(incarnations, string(b.incarnation)), append(lanes, int16(b.lane)) //nolint:gosec // there are few
		batches, generations = append(batches, b.batch), append(generations, int64(b.generation))
	}
	return incarnations, lanes, batches, generations
}

// parametersOf are bounds as arrays.
func parametersOf(bounds []bound) (parameters [][]byte, err error) {
	incarnations, lanes, batches, generations := columnsOf(bounds)
	types := pgtype.NewMap()
	for _, array := range []struct {
		oid    uint32
		values any
	}{
		{pgtype.TextArrayOID, incarnations}, {pgtype.Int2ArrayOID, lanes}, {pgtype.Int8ArrayOID, batches}, {pgtype.Int8ArrayOID, generations},
	} {
		text, err := types.Encode(array.oid, pgtype.TextFormatCode, array.values, []byte{})
		if err != nil {
			return nil, fmt.Errorf("encode watermarks: %w", err)
		}
		parameters = append(parameters, text)
	}
	return parameters, nil
}

// boundOf reads a bound.
func boundOf(incarnation, lane, batch, generation string) (*bound, error) {
	b := &bound{incarnation: messages.Incarnation(incarnation)}
	var errLane, errBatch error
	b.lane, errLane = strconv.Atoi(lane)
	b.batch, errBatch = strconv.ParseInt(batch, 10, 64)
	g, errGeneration := strconv.ParseUint(generation, 10, 32)
	if err := errors.Join(errLane, errBatch, errGeneration); err != nil {
		return nil, fmt.Errorf("prove the server: %w", err)
	}
	b.generation = messages.Generation(g)
	return b, nil
}

// askAround has others asked what they know, before a server is used that is none of before: it has a later timeline than any before whose
// use they were asked. What others know of what was confirmed last may be on its way.
func (s *shard) askAround(ctx context.Context, conn *pgconn.PgConn) error {
	if s.journal.cfg.Watermarks == (none{}) {
		return nil
	}
	const timelineSQL = `SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint`
	r := conn.ExecParams(ctx, timelineSQL, nil, nil, nil, nil).Read()
	if r.Err != nil {
		return r.Err
	}
	timeline, err := strconv.ParseInt(string(r.Rows[0][0]), 10, 64)
	if err != nil {
		return fmt.Errorf("prove the server: %w", err)
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	if timeline > s.asked {
		s.journal.cfg.Watermarks.Ask(ctx)
		s.asked = timeline
	}
	return nil
}

// watchEvery is how often the databases are held against what others have said meanwhile.
const watchEvery = time.Second

// watch does so until the journal is closed.
func (j *Journal) watch() {
	j.every(watchEvery, func() {
		known, cover := j.cfg.Watermarks.Known()
		if len(known) == 0 {
			return
		}
		j.each(func(s *shard) error {
			if s.isDown() == nil {
				s.compare(cover)
			}
			return nil
		})
	})
}

// compare holds the database that is in use against what is known, and covers that if it is to be. One that lacks something is not used
// any more, by any connection. What can't be asked is asked again.
func (s *shard) compare(cover bool) {
	lane := noLane
	if cover {
		lane = ownLane
	}
	_ = s.read(s.journal.ctx, "compare watermarks", func(ctx context.Context, conn *pgxpool.Conn) error {
		p, err := s.prove(ctx, conn.Conn().PgConn(), lane)
		_, isRefused := errors.AsType[refusal](err)
		switch {
		case isRefused:
			s.distrust(ctx, err)
		case err == nil && cover:
			s.cover.set(p.generation, p.last+1)
			s.journal.cfg.Watermarks.Covered(s.number, p.shows)
		}
		return err
	})
}

// distrust has no connection used any more that there is: the server has turned out to lack something. That its timeline was the latest
// says nothing, then.
func (s *shard) distrust(ctx context.Context, err error) {
	s.log.LogAttrs(ctx, slog.LevelError, "journal: the server that was used lacks commits", slog.Any("error", err))
	s.timeline.Store(0)
	s.distrusted.Add(1)
	s.pool.Reset()
}
