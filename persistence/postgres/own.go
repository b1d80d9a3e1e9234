package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// each calls a function for each shard, all at once, and returns what came of each, by its number.
func (j *Journal) each(do func(*shard) error) []error {
	errs := make([]error, len(j.shards))
	var all sync.WaitGroup
	for n, s := range j.shards {
		all.Go(func() { errs[n] = do(s) })
	}
	all.Wait()
	return errs
}

// Owners returns the owners of all partitions.
func (j *Journal) Owners(ctx context.Context) ([]persistence.Owner, error) {
	owners := make([]persistence.Owner, messages.Partitions)
	errs := j.each(func(s *shard) error {
		if err := s.failedLately(); err != nil && len(j.shards) > 1 {
			return err
		}
		return s.readOwners(ctx, owners)
	})
	if !slices.Contains(errs, nil) {
		return nil, errors.Join(errs...)
	}
	for p := range owners {
		switch err := errs[j.ShardOf(messages.Partition(p))]; {
		case err == nil:
		case errors.Is(err, persistence.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
			owners[p] = persistence.Owner{Unread: true}
		default:
			return nil, err
		}
	}
	return owners, nil
}

// ownerFenced tells whether the owner of partition p was fenced. The incarnation's own row says so: batches don't update that, so it has
// few versions, also while somebody has a snapshot open.
const ownerFenced = `NOT EXISTS (SELECT FROM lanes l WHERE l.incarnation = p.owner AND l.lane = -1 AND NOT l.fenced)`

// readOwners reads the owners of the partitions that live in the shard, each to its place.
func (s *shard) readOwners(ctx context.Context, owners []persistence.Owner) error {
	return s.read(ctx, "read the owners", func(ctx context.Context, conn *pgxpool.Conn) error {
		found, err := conn.Query(ctx, `SELECT p.partition, p.epoch, COALESCE(p.owner, ''), p.owner IS NOT NULL AND `+ownerFenced+
			` FROM partitions p`)
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		var p int16
		var epoch int64
		var owner string
		var fenced bool
		_, err = pgx.ForEachRow(found, []any{&p, &epoch, &owner, &fenced}, func() error {
			if p < 0 || p >= messages.Partitions || s.journal.ShardOf(messages.Partition(p)) != s.number {
				return fmt.Errorf("%w: partition %d has an owner", persistence.ErrCorrupt, p)
			}
			owners[p] = persistence.Owner{Epoch: messages.Epoch(epoch), Fenced: fenced} //nolint:gosec // not negative
			owners[p].Incarnation = messages.Incarnation(owner)
			return nil
		})
		return err //nolint:wrapcheck // said by read
	})
}

// Claim makes this incarnation the owner of partitions.
func (j *Journal) Claim(ctx context.Context, seen []persistence.Holding) (claimed []persistence.Holding, err error) {
	if err := j.alone.check(); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	wanted, got := make([][]persistence.Holding, len(j.shards)), make([][]persistence.Holding, len(j.shards))
	for _, h := range seen {
		if err := h.Partition.Validate(); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
		n := j.ShardOf(h.Partition)
		wanted[n] = append(wanted[n], h)
	}
	errs := j.each(func(s *shard) (err error) {
		if len(wanted[s.number]) > 0 || len(seen) == 0 {
			got[s.number], err = s.claim(ctx, wanted[s.number])
		}
		return err
	})
	claimed = slices.Concat(got...)
	place := func(h persistence.Holding) int {
		return slices.IndexFunc(seen, func(x persistence.Holding) bool { return x.Partition == h.Partition })
	}
	slices.SortFunc(claimed, func(a, b persistence.Holding) int { return cmp.Compare(place(a), place(b)) })
	return claimed, errors.Join(errs...)
}

func (s *shard) claim(ctx context.Context, wanted []persistence.Holding) (claimed []persistence.Holding, err error) {
	var partitions []int16
	var epochs []int64
	for _, h := range wanted {
		partitions = append(partitions, int16(h.Partition)) //nolint:gosec // it was checked
		epochs = append(epochs, int64(h.Epoch))             //nolint:gosec // epochs don't get that high
	}
	err = s.read(ctx, "claim", func(ctx context.Context, conn *pgxpool.Conn) error {
		var fenced bool
		if err := conn.QueryRow(ctx, `SELECT COALESCE((SELECT fenced FROM lanes WHERE incarnation = $1 AND lane = $2), true)`,
			string(s.journal.self), ownLane).Scan(&fenced); err != nil {
			return err //nolint:wrapcheck // said by read
		}
		if fenced {
			s.journal.held.fence()
			return nil
		}
		found, err := conn.Query(ctx, `UPDATE partitions p SET owner = $1, epoch = GREATEST(p.epoch, m.generation << 40) + 1
			FROM meta m, unnest($2::smallint[], $3::bigint[]) AS w (partition, epoch)
			WHERE p.partition = w.partition AND p.epoch = w.epoch AND
				(p.owner IS NULL OR p.owner = $1 OR `+ownerFenced+`)
			RETURNING p.partition, p.epoch`, string(s.journal.self), partitions, epochs)
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		var p int16
		var epoch int64
		_, err = pgx.ForEachRow(found, []any{&p, &epoch}, func() error {
			h := persistence.Holding{Partition: messages.Partition(p), Epoch: messages.Epoch(epoch)} //nolint:gosec // not negative
			claimed = append(claimed, h)
			return nil
		})
		return err //nolint:wrapcheck // said by read
	})
	switch {
	case err != nil:
		return nil, err
	case s.journal.held.isFenced():
		return nil, fmt.Errorf("claim: %w", persistence.ErrIncarnationFenced)
	}
	for _, h := range claimed {
		s.journal.held.set(h)
	}
	return claimed, nil
}

// Fence ends the right of an incarnation to commit.
func (j *Journal) Fence(ctx context.Context, who messages.Incarnation) error {
	errs := j.each(func(s *shard) error {
		return s.read(ctx, "fence "+string(who), func(ctx context.Context, conn *pgxpool.Conn) error {
			return s.fence(ctx, conn.Conn(), who)
		})
	})
	if who == j.self && slices.Contains(errs, nil) {
		j.held.fence()
	}
	return errors.Join(errs...)
}

// fence updates the rows of an incarnation, which waits for its batches under way. A session that has one, and does not go on, is
// ended: the server tells then whether it was made.
func (s *shard) fence(ctx context.Context, conn *pgx.Conn, who messages.Incarnation) error {
	wait := s.journal.cfg.AnswerWithin / 4 //nolint:mnd // so that the second try is in time
	for {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, wait.Milliseconds())); err != nil {
				return err //nolint:wrapcheck // said by read
			}
			if _, err := tx.Exec(ctx, `INSERT INTO lanes (incarnation, lane, fenced) VALUES ($1, $2, true)
				ON CONFLICT (incarnation, lane) DO UPDATE SET fenced = true`, string(who), ownLane); err != nil {
				return err //nolint:wrapcheck // said by read
			}
			if _, err := tx.Exec(ctx, `SELECT FROM lanes WHERE incarnation = $1 ORDER BY lane FOR UPDATE`, string(who)); err != nil {
				return err //nolint:wrapcheck // said by read
			}
			_, err := tx.Exec(ctx, `UPDATE lanes SET fenced = true WHERE incarnation = $1`, string(who))
			return err //nolint:wrapcheck // said by read
		})
		if stateOf(err) != lockNotAvailable {
			return err //nolint:wrapcheck // said by read
		}
		_, id, _ := strings.Cut(string(who), "/")
		if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`,
			applicationPrefix+id); err != nil {
			return err //nolint:wrapcheck // said by read
		}
	}
}

// NewGeneration begins a new generation of epochs. Every other incarnation is fenced.
func (j *Journal) NewGeneration(ctx context.Context) (messages.Generation, error) {
	var newest int64
	for _, s := range slices.Backward(j.shards) { // the first last: it has the number that counts
		if err := s.read(ctx, "begin a new generation", func(ctx context.Context, conn *pgxpool.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `UPDATE lanes SET fenced = true WHERE incarnation <> $1`, string(j.self)); err != nil {
					return err //nolint:wrapcheck // said by read
				}
				if _, err := tx.Exec(ctx, `UPDATE partitions SET owner = NULL`); err != nil {
					return err //nolint:wrapcheck // said by read
				}
				return tx.QueryRow(ctx, `UPDATE meta SET generation = generation + 1 RETURNING generation`).Scan(&newest)
			})
		}); err != nil {
			return 0, err
		}
	}
	j.held.clear()
	return messages.Generation(newest), nil //nolint:gosec // not negative
}
