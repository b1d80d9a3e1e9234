package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/persistence"
)

// prepare prepares the databases, as far as they answer. It fails if none does, or if one is unfit.
func (j *Journal) prepare(ctx context.Context) error {
	errs := j.each(func(s *shard) error { return s.look(ctx) })
	j.identity.answer(!slices.ContainsFunc(errs, func(err error) bool { return err != nil }))
	for n, s := range j.shards { // the first one first, as it names a new journal
		if errs[n] == nil {
			errs[n] = s.prepare(ctx)
		}
		if isUnfit(errs[n]) {
			break
		}
	}
	for n, err := range errs {
		if isUnfit(err) {
			return fmt.Errorf("open shard %d of the journal: %w", n, err)
		}
	}
	if !slices.Contains(errs, nil) {
		return fmt.Errorf("open the journal: %w", errors.Join(errs...))
	}
	for n, s := range j.shards {
		if err := errs[n]; err != nil {
			s.isAway(err)
		}
	}
	j.complete(ctx)
	return nil
}

// isAway notes why the database is not used yet, and tells it when that is another reason than before.
func (s *shard) isAway(err error) {
	if away, ok := errors.AsType[*persistence.UnavailableError](err); ok {
		err = away.Err
	}
	if before := s.down.Swap(&err); before != nil && (*before).Error() == err.Error() {
		return
	}
	level := slog.LevelWarn
	if isUnfit(err) {
		level = slog.LevelError
	}
	s.log.LogAttrs(s.journal.ctx, level, "journal: the database is not used yet: what lives there waits", slog.Any("error", err))
}

// prepareAgain is how long it is waited before a database is asked again that could not be used.
const prepareAgain = 500 * time.Millisecond

// prepareLater has a database used that was away when the journal was opened, as soon as it can be.
func (s *shard) prepareLater() {
	ticker := time.NewTicker(prepareAgain)
	defer ticker.Stop()
	for ctx := s.journal.ctx; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.look(ctx)
		if err == nil {
			err = s.prepare(ctx)
		}
		switch {
		case err == nil:
			s.log.LogAttrs(ctx, slog.LevelInfo, "journal: the database answers, and is used from now on")
			s.journal.complete(ctx)
			return
		case ctx.Err() == nil:
			s.isAway(err)
		}
	}
}

// complete notes in all databases that all were made, once they were. What fails is done the next time that the journal is opened.
func (j *Journal) complete(ctx context.Context) {
	if j.identity.isWhole() || slices.ContainsFunc(j.shards, func(s *shard) bool { return s.isDown() != nil }) {
		return
	}
	err := errors.Join(j.each(func(s *shard) error {
		return s.read(ctx, "note that all shards were made", func(ctx context.Context, conn *pgxpool.Conn) error {
			_, err := conn.Exec(ctx, `UPDATE meta SET whole = true WHERE NOT whole`)
			return err //nolint:wrapcheck // said by read
		})
	})...)
	if err != nil && ctx.Err() == nil {
		j.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "journal: it could not be noted that all shards were made", slog.Any("error", err))
	}
}
