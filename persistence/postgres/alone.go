package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
)

// alone is the lock of a node that is in no cluster: a session of its own in the first shard has it, so that no two such nodes have the
// journal at a time. The lock guards no commit, as fences do that: it keeps nodes from fencing each other in turn.
//
//	had ──► lost with its session ──► had again, if nobody else has it
//	                 └──────────────► another node has it: nothing is claimed any more
//
// Nodes of a cluster hold the same lock together, each by the connection of a lane: so such a node is refused while any of them has the
// journal, and they are while it has it.
type alone struct {
	// conn is the session that has the lock. It belongs to Open, and then to the goroutine that watches it.
	conn *pgx.Conn

	mu sync.Mutex
	// lost is why the journal does not have the lock; nil: it has it, or needs none.
	lost error
}

func (a *alone) note(lost error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = lost
}

// check says why this incarnation can't be sure that it is the only one.
func (a *alone) check() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

const (
	// aloneEvery is how often the session is looked at that has the lock.
	aloneEvery = time.Second
	// aloneAnswers is how many times as long as an answer the lock is waited for when the journal is opened: the server may not have noticed
	// yet that the node before is gone.
	aloneAnswers = 3
)

// Why a node does not get the lock. It is said who has it.
var (
	errShared  = errors.New("another node, which is in no cluster, has the journal open")
	errMembers = errors.New("nodes of a cluster have the journal open, and this one is in none")
)

// lockAlone gets the lock, for which it waits so long. The connection that it returns has it.
func (s *shard) lockAlone(ctx context.Context, wait time.Duration) (*pgx.Conn, error) {
	conn, err := s.connect(ctx, s.config.ValidateConnect)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`SET lock_timeout = %d`, max(wait.Milliseconds(), 1)))
	if err == nil {
		_, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1, hashtext(current_schema()))`, lockNode)
	}
	if stateOf(err) == lockNotAvailable {
		if err = holder(ctx, conn, exclusive); err == nil {
			err = holder(ctx, conn, together)
		}
		if err == nil {
			err = errGivenUp
		}
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// How the lock is held, as the server calls it.
const (
	exclusive = "ExclusiveLock"
	together  = "ShareLock"
)

// errGivenUp is why a node does not get the lock that another one has just given up.
var errGivenUp = errors.New("another node had the journal open a moment ago")

// holder says which node has the lock, in a way; nil: none has.
func holder(ctx context.Context, conn *pgx.Conn, mode string) error {
	has := errShared
	if mode == together {
		has = errMembers
	}
	var who, from string
	var since time.Time
	err := conn.QueryRow(ctx, `SELECT COALESCE((SELECT l.incarnation FROM lanes l WHERE $2 || split_part(l.incarnation, '/', 2) =
			a.application_name LIMIT 1), a.application_name), COALESCE(host(a.client_addr), 'the server itself'), a.backend_start
		FROM pg_locks k JOIN pg_stat_activity a USING (pid) WHERE k.locktype = 'advisory' AND k.granted AND k.classid::bigint = $1
			AND k.objid::bigint = hashtext(current_schema())::bigint & 4294967295 AND k.mode = $3
			AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1`,
		int64(lockNode), applicationPrefix, mode).Scan(&who, &from, &since)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("%w: it can't be told which: %w", has, err)
	}
	return fmt.Errorf("%w: %s, connected from %s since %s; stop it first", has, who, from, since.Format(time.RFC3339))
}

// lockTogether gets the lock for a node of a cluster, as long as the connection lasts, unless another node has it or awaits it.
func lockTogether(ctx context.Context, conn *pgx.Conn) (got bool, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock_shared($1, hashtext(current_schema()))`, lockNode).Scan(&got)
	return got, err //nolint:wrapcheck // whoever tells of it says more
}

// joinOthers makes sure that no node has the journal that is in no cluster.
func (s *shard) joinOthers(ctx context.Context, conn *pgx.Conn) error {
	if s.number != 0 {
		return nil
	}
	if err := holder(ctx, conn, exclusive); err != nil {
		return unfit{err}
	}
	return nil
}

// lockAgain is how long it is waited before the lock is tried for again that a lane did not get.
const lockAgain = time.Second

// stayTogether has the first lane hold the lock that all nodes of a cluster do. Where another node has it, that has fenced this one, or is
// about to; where one waits for it, it is tried for again.
func (c *committer) stayTogether() {
	j := c.shard.journal
	if j.cfg.Alone || c.shard.number != 0 || c.number != 0 || c.conn == nil || c.locked || time.Since(c.lockTried) < lockAgain {
		return
	}
	c.lockTried = time.Now()
	overdue := c.closeLater()
	defer overdue.Stop()
	var err error
	if c.locked, err = lockTogether(context.Background(), c.conn); err != nil {
		c.disconnect(err)
	}
}

// takeOver fences whoever had the journal before, as a node does that is in no cluster. It makes sure first that it is the only one. A node
// of a cluster makes sure that there is no such node.
func (s *shard) takeOver(ctx context.Context, conn *pgx.Conn) error {
	j := s.journal
	if !j.cfg.Alone {
		return s.joinOthers(ctx, conn)
	}
	if s.number == 0 && j.alone.conn == nil {
		var err error
		j.alone.conn, err = s.lockAlone(ctx, min(aloneAnswers*j.cfg.AnswerWithin, prepareWithin/2))
		if errors.Is(err, errShared) || errors.Is(err, errMembers) {
			return unfit{err}
		}
		if err != nil {
			return fmt.Errorf("make sure that no other node has the journal: %w", err)
		}
		j.alone.note(nil)
	}
	if err := j.alone.check(); err != nil {
		return err
	}
	if j.cfg.source != nil {
		return nil // no node has had it
	}
	found, err := conn.Query(ctx, `SELECT DISTINCT incarnation FROM lanes WHERE NOT fenced AND incarnation <> $1`, string(j.self))
	if err != nil {
		return fmt.Errorf("look for who had the journal before: %w", err)
	}
	before, err := pgx.CollectRows(found, pgx.RowTo[messages.Incarnation])
	if err != nil {
		return fmt.Errorf("look for who had the journal before: %w", err)
	}
	for _, who := range before {
		s.log.LogAttrs(ctx, slog.LevelInfo, "journal: takes over", slog.String("from", string(who)))
		if err := s.fence(ctx, conn, who); err != nil {
			return fmt.Errorf("take over from %s: %w", who, err)
		}
	}
	return nil
}

// errNotLocked is why a node is not alone at first.
var errNotLocked = errors.New("the first shard has to answer first, where the lock is that one node has at a time")

// stayAlone watches the session that has the lock, and gets the lock again when it was lost, until the journal is closed.
func (j *Journal) stayAlone() {
	defer j.alone.release()
	j.every(aloneEvery, j.lookAlone)
}

// lookAlone looks once.
func (j *Journal) lookAlone() {
	a, s := &j.alone, j.shards[0]
	ctx, cancel := context.WithTimeout(j.ctx, j.cfg.AnswerWithin)
	defer cancel()
	var err error
	if a.conn != nil {
		if _, err = a.conn.Exec(ctx, `SELECT`); err == nil {
			return
		}
		a.release()
	}
	if a.conn, err = s.lockAlone(ctx, time.Millisecond); err == nil {
		if a.check() != nil {
			s.log.LogAttrs(ctx, slog.LevelInfo, "journal: the node has the lock again by which it is the only one")
		}
		a.note(nil)
		return
	}
	if j.ctx.Err() != nil {
		return
	}
	before := a.check()
	a.note(fmt.Errorf("the node has lost the lock by which it is the only one, and claims nothing before it has it again: %w", err))
	if now := a.check(); before == nil || before.Error() != now.Error() {
		s.log.LogAttrs(ctx, slog.LevelError, "journal: the node may not be the only one any more", slog.Any("error", now))
	}
}

// release ends the session that has the lock, if there is one.
func (a *alone) release() {
	if a.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = a.conn.Close(ctx)
	a.conn = nil
}
