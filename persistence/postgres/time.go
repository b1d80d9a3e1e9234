package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/clock"
)

// timekeeper tells the time of a journal: that of its first shard's clock. What it learns of the others is for openings that do not reach
// the first one.
type timekeeper struct {
	// began is when the clock of the process began, which nobody sets.
	began time.Time
	// course is what is shown; nil: the time is not known yet. shown is the latest that was told, in nanoseconds since 1970.
	course atomic.Pointer[clock.Course]
	shown  atomic.Int64

	mu     sync.Mutex
	shards []clock.Estimate

	apart bool // it was told that the clock of the node's system shows something else; of the goroutine that reads the first shard's
}

func (k *timekeeper) own() time.Duration { return time.Since(k.began) }

// Now tells the time by the clock of the first shard, or a little less: as much as an answer takes that comes from there. It never tells
// less than before. While that shard is away, the time goes on as it was last known. It costs no more than to read a clock.
func (j *Journal) Now() time.Time {
	k := &j.time
	now := k.course.Load().At(k.own()).UnixNano()
	for last := k.shown.Load(); now > last; last = k.shown.Load() {
		if k.shown.CompareAndSwap(last, now) {
			return time.Unix(0, now)
		}
	}
	return time.Unix(0, k.shown.Load())
}

// Offset tells by how much Now is ahead of the clock of this node's system.
func (j *Journal) Offset() time.Duration { return time.Until(j.Now()) }

const (
	// readClocksEvery is how often the clock of each shard is read, and readAtFirst how many times before it is used.
	readClocksEvery = 2 * time.Second
	readAtFirst     = 3
	// aheadSlack is by how much more the clock of a shard may be said to be ahead of the first one's than it is.
	aheadSlack = 10 * time.Millisecond
	// apart is how far the clock of the node's system may be from that of the journal until it is told.
	apart = 500 * time.Millisecond
)

// errNoTime is why a journal can't be opened. A shard that answers can stand in for the first one once some node has read both clocks.
var errNoTime = errors.New("nobody can tell its time: its first shard does not answer, and no other has been compared with that")

// learnTime reads the clock of a shard that is not used yet, with the connection by which it is prepared.
func (s *shard) learnTime(ctx context.Context, conn *pgx.Conn) error {
	for range readAtFirst {
		if err := s.readClock(ctx, conn); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
	}
	return nil
}

// knowsTime makes sure that the time is known, once the shards that answer are prepared.
func (j *Journal) knowsTime() error {
	if j.time.course.Load() == nil {
		return fmt.Errorf("open the journal: %w: %w", persistence.ErrUnavailable, errNoTime)
	}
	return nil
}

// keepTime reads the clock of a shard again and again until the journal is closed. If it does not answer, others tell that.
func (s *shard) keepTime() {
	ctx := s.journal.ctx
	s.journal.every(readClocksEvery, func() {
		_ = s.read(ctx, "read the clock", func(ctx context.Context, conn *pgxpool.Conn) error { return s.readClock(ctx, conn.Conn()) })
		if s.number == 0 {
			s.journal.tellApart(ctx)
		}
	})
}

// readClock reads the clock of the shard, and notes there how it differs from that of the first one if that is not what is noted.
func (s *shard) readClock(ctx context.Context, conn *pgx.Conn) error {
	var microseconds int64
	var noted *int64
	r := clock.Reading{Sent: s.journal.time.own()}
	if err := conn.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, clock_ahead FROM meta`).
		Scan(&microseconds, &noted); err != nil {
		return err //nolint:wrapcheck // said by the caller
	}
	r.Received, r.Read = s.journal.time.own(), time.UnixMicro(microseconds)
	ahead, isNews := s.journal.time.note(s.number, r, (*time.Duration)(noted))
	if !isNews {
		return nil
	}
	_, err := conn.Exec(ctx, `UPDATE meta SET clock_ahead = $1`, ahead.Nanoseconds())
	return err //nolint:wrapcheck // said by the caller
}

// note takes a reading of a shard's clock, and what is noted there of by how much it is ahead of the first one's at the most. It tells
// what should be noted in its place, if anything.
func (k *timekeeper) note(shard int, r clock.Reading, noted *time.Duration) (ahead time.Duration, isNews bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shards[shard].Add(r)
	now, first := k.own(), &k.shards[0]
	earliest, latest := k.shards[shard].At(now)
	switch {
	case shard == 0:
		k.correct(now, earliest)
	case first.Known():
		since, until := first.At(now)
		least, most := earliest.Sub(until), latest.Sub(since)
		return most, noted == nil || *noted < least || *noted > most+aheadSlack
	case noted != nil:
		k.correct(now, earliest.Add(-*noted))
	}
	return 0, false
}

// correct has the time shown that should be.
func (k *timekeeper) correct(at time.Duration, should time.Time) {
	c := k.course.Load()
	if c == nil {
		c = &clock.Course{}
	}
	k.course.Store(c.Corrected(at, should))
}

// tellApart tells when the clock of the node's system has come to differ from that of the journal.
func (j *Journal) tellApart(ctx context.Context) {
	k, offset := &j.time, j.Offset()
	is := offset.Abs() > apart
	if is == k.apart {
		return
	}
	k.apart = is
	if is {
		j.cfg.Logger.LogAttrs(ctx, slog.LevelWarn,
			"journal: the clock of this system is wrong, or that of the database: the node goes by the latter",
			slog.Duration("database_ahead", offset))
		return
	}
	j.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "journal: the clock of this system agrees with that of the database again")
}
