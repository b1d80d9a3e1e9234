package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// upkeepEvery is how often what is not urgent is done.
const upkeepEvery = time.Hour

// upkeep makes the tables of coming months, and removes what nobody needs, until the journal is closed.
func (j *Journal) upkeep() {
	j.every(upkeepEvery, func() {
		for _, s := range j.shards {
			if s.isDown() != nil {
				continue
			}
			if err := s.tidy(); err != nil && j.ctx.Err() == nil {
				s.log.LogAttrs(j.ctx, slog.LevelWarn, "journal: upkeep of the database failed, and is tried again later", slog.Any("error", err))
			}
		}
	})
}

// every does something again and again, until the journal is closed.
func (j *Journal) every(d time.Duration, do func()) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-j.ctx.Done():
			return
		case <-ticker.C:
		}
		do()
	}
}

func (s *shard) tidy() error {
	return s.read(s.journal.ctx, "upkeep", func(ctx context.Context, conn *pgxpool.Conn) error {
		if err := s.makeMonths(ctx, conn.Conn()); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `WITH gone AS (DELETE FROM fallout RETURNING faulted, in_doubt)
			INSERT INTO fallout SELECT sum(faulted), sum(in_doubt) FROM gone HAVING count(*) > 0`); err != nil {
			return fmt.Errorf("sum up how many orders have faulted: %w", err)
		}
		// Of an incarnation that was fenced, owns nothing and has no session nobody will ask what its lanes have. But others may have been
		// told, and compare: its own row stays, and says that all was there.
		_, err := conn.Exec(ctx, `WITH gone AS (
				UPDATE lanes l SET batch = $2 WHERE lane = $3 AND fenced AND batch < $2
					AND NOT EXISTS (SELECT FROM partitions p WHERE p.owner = l.incarnation)
					AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = $1 || split_part(l.incarnation, '/', 2))
				RETURNING incarnation
			) DELETE FROM lanes l USING gone WHERE l.incarnation = gone.incarnation AND l.lane <> $3`,
			applicationPrefix, int64(whole), ownLane)
		if err != nil {
			return fmt.Errorf("remove incarnations that are gone: %w", err)
		}
		return nil
	})
}
