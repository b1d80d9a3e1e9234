package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Accept has nodes go on with the server that Show has named so, and returns the generation that begins there. tell tells others, before
// that, what binds all servers from then on; if it fails, nothing has begun. If Accept fails otherwise, nobody may know whether it was
// done: the same word completes it, or finds that it was.
func (l *Losses) Accept(
	ctx context.Context, known Confirmed, confirm string,
	tell func(context.Context, messages.Incarnation, messages.Watermarks) error,
) (messages.Generation, error) {
	sites, found, err := l.survey(ctx, known)
	if err != nil {
		return 0, err
	}
	for i, f := range found {
		switch {
		case f.hasAccepted(confirm):
			return messages.Generation(f.server.GetGeneration()), nil //nolint:gosec // it was one
		case confirm != "" && f.server.GetConfirm() == confirm:
			return l.accept(ctx, sites[i], known, confirm, tell)
		}
	}
	return 0, errOtherLoss
}

// errOtherLoss is why nothing is accepted.
var errOtherLoss = &LossError{
	"NO_SUCH_LOSS", "no server lacks just what was shown with that word, or not any more: look at what there is now, and decide again",
}

// accept does so at one server, in one transaction, while nobody writes there: no batch is under way, and no incarnation becomes known that
// would not be fenced.
func (l *Losses) accept(
	ctx context.Context, s *site, known Confirmed, confirm string,
	tell func(context.Context, messages.Incarnation, messages.Watermarks) error,
) (g messages.Generation, err error) {
	within, cancel := context.WithTimeout(ctx, acceptAnswers*l.cfg.AnswerWithin)
	defer cancel()
	conn, err := s.connect(within)
	if err != nil {
		return 0, l.unknown(s, err)
	}
	defer conn.Close(within) //nolint:errcheck // what was under way is undone, or was made
	err = pgx.BeginFunc(within, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(within, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, l.cfg.AnswerWithin.Milliseconds())); err != nil {
			return err //nolint:wrapcheck // said below
		}
		if _, err := tx.Exec(within, `LOCK TABLE lanes, partitions IN EXCLUSIVE MODE`); err != nil {
			return err //nolint:wrapcheck // said below
		}
		f, err := l.look(within, tx, s, known)
		switch {
		case err != nil:
			return err
		case f.hasAccepted(confirm):
			g = messages.Generation(f.server.GetGeneration()) //nolint:gosec // it was one
			return nil
		case f.server.GetConfirm() != confirm:
			return errOtherLoss
		}
		g = f.next(s.shard, known)
		if err := tell(within, f.acceptance, f.binds(s.shard, g)); err != nil {
			return fmt.Errorf("tell others of the generation that is to begin: %w", err)
		}
		return begin(within, tx, f.acceptance, g)
	})
	if err != nil {
		return 0, l.unknown(s, err)
	}
	return g, nil
}

// acceptAnswers is how many times as long as an answer it may take to accept a loss.
const acceptAnswers = 5

// next is the generation that begins when the loss is accepted: later than any, or the one that was told of, if nothing is later. What
// can't be read may be of generations that nobody else tells of: one for each, as each that was accepted is told by itself.
func (f *look) next(shard int, known Confirmed) messages.Generation {
	has := messages.Generation(f.server.GetGeneration()) //nolint:gosec // it was one
	latest := has
	for _, w := range known.To {
		latest = max(latest, w.Of(shard).Generation)
	}
	if told := known.To[f.acceptance].Of(shard).Generation; told > has && told == latest {
		return told
	}
	return latest + 1 + messages.Generation(len(known.Unreadable)) //nolint:gosec // it is small
}

// binds are the watermarks of who accepts the loss: the first batch of its own row, in the generation that begins.
func (f *look) binds(shard int, g messages.Generation) messages.Watermarks {
	w := messages.Watermarks{Journal: f.server.GetJournal(), Shards: make([]messages.ShardWatermarks, shard+1)}
	w.Shards[shard] = messages.ShardWatermarks{Generation: g, Batches: []int64{1}}
	return w
}

// begin begins a generation: no epoch of before comes again, nobody owns anything, and no incarnation of before commits any more.
func begin(ctx context.Context, tx pgx.Tx, by messages.Incarnation, g messages.Generation) error {
	var b pgx.Batch
	b.Queue(`UPDATE lanes SET fenced = true WHERE NOT fenced`)
	b.Queue(`INSERT INTO lanes (incarnation, lane, batch, fenced) VALUES ($1, $2, 1, true)`, string(by), ownLane)
	b.Queue(`UPDATE partitions SET owner = NULL, epoch = GREATEST(epoch, $1::bigint << 40)`, int64(g))
	b.Queue(`UPDATE meta SET generation = $1`, int64(g))
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("begin generation %d: %w", g, err)
	}
	return nil
}

// unknown says that a server does not answer, unless that is known better.
func (l *Losses) unknown(s *site, err error) error {
	if _, known := errors.AsType[*LossError](err); known {
		return err
	}
	return fmt.Errorf("accept the loss at %s: nobody knows whether it was done: try it again with the same word: %w", s.address(),
		&persistence.UnavailableError{Shard: s.shard, Err: err})
}
