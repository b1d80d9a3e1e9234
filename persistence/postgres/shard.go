package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

// shard is one database of a journal.
type shard struct {
	journal    *Journal
	number     int
	log        *slog.Logger
	config     *pgx.ConnConfig
	pool       *pgxpool.Pool
	committers []*committer
	// entries are acceptances of orders that live in other shards, and need an entry here first.
	entries *lane.Lane
}

// ownLane is the number of the row that an incarnation has for itself, beside those of its lanes.
const ownLane = -1

// openShard connects to a database, makes what is missing there, and makes the incarnation known. What it returns must be closed, also
// with an error.
func (j *Journal) openShard(ctx context.Context, number int, at string) (*shard, error) {
	s := &shard{journal: j, number: number, log: j.cfg.Logger.With(slog.Int("shard", number))}
	if err := s.configure(at); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig(at)
	if err != nil {
		return nil, fmt.Errorf("parse the connection string: %w", err)
	}
	pool.ConnConfig = s.config.Copy()
	pool.MaxConns, pool.MinConns = int32(j.cfg.Readers), 1 //nolint:gosec // there are few
	pool.MaxConnLifetime, pool.MaxConnIdleTime = time.Hour, 10*time.Minute
	pool.AfterConnect = s.proveWrite
	if s.pool, err = pgxpool.NewWithConfig(j.ctx, pool); err != nil { //nolint:contextcheck // it lives longer than the call
		return nil, fmt.Errorf("make the connections that read: %w", err)
	}
	bounds := lane.Bounds{
		Commits: j.cfg.QueueCommits, Bytes: j.cfg.QueueBytes, BatchCommits: j.cfg.BatchCommits, BatchBytes: j.cfg.BatchBytes,
	}
	s.entries = lane.New(bounds)
	for n := range j.cfg.Lanes {
		s.committers = append(s.committers, &committer{
			shard: s, number: n, handles: map[messages.Handle]struct{}{}, ids: map[messages.OrderID]struct{}{},
			lane: lane.New(bounds),
		})
	}
	return s, nil
}

// configure says how connections are made.
func (s *shard) configure(at string) error {
	config, err := pgx.ParseConfig(at)
	if err != nil {
		return fmt.Errorf("parse the connection string: %w", err)
	}
	within := s.journal.cfg.AnswerWithin
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = within
	}
	if config.ValidateConnect == nil {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	_, id, _ := strings.Cut(string(s.journal.self), "/")
	milliseconds := strconv.FormatInt(within.Milliseconds(), 10)
	maps.Copy(config.RuntimeParams, map[string]string{
		"search_path":                      pgx.Identifier{s.journal.cfg.Schema}.Sanitize(),
		"application_name":                 applicationPrefix + id,
		"client_connection_check_interval": milliseconds,
		"tcp_user_timeout":                 milliseconds,
		"tcp_keepalives_idle":              "1",
		"tcp_keepalives_interval":          "1",
		"tcp_keepalives_count":             "3",
		"plan_cache_mode":                  "force_generic_plan",
		"jit":                              "off",
	})
	s.config = config
	return nil
}

// applicationPrefix and the last part of an incarnation are the name under which the server knows its sessions.
const applicationPrefix = "holdfast "

// errCancel is why the driver can't cancel what a connection does.
var errCancel = errors.New("nothing cancels a batch under way")

// connect makes a connection of which nothing is ever cancelled: one that is closed in the middle of a statement leaves it to
// the server whether it is committed.
func (s *shard) connect(ctx context.Context) (*pgx.Conn, error) {
	config := s.config.Copy()
	var made atomic.Bool
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if made.Load() {
			return nil, errCancel
		}
		return dial(ctx, network, addr)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	made.Store(true)
	return conn, err //nolint:wrapcheck // it says whereto
}

// connect makes a connection for the lane, unless one was tried for a moment ago.
func (c *committer) connect() error {
	switch {
	case c.unfit != nil:
		return c.unfit
	case c.why != nil && time.Since(c.tried) < retryConnect:
		return c.why
	}
	c.tried = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*c.shard.journal.cfg.AnswerWithin)
	defer cancel()
	conn, last, err := c.introduce(ctx)
	if err != nil {
		c.why = unavailable(err)
		return c.why
	}
	if last < c.confirmed {
		_ = conn.Close(ctx)
		c.unfit = unavailable(fmt.Errorf(
			"the database has lost commits that it had confirmed: lane %d of %s has made batch %d, and the database has batch %d; "+
				"a standby that had not everything was made the primary, or a backup was restored: bring the right one back, "+
				"or restore the journal with a new generation", c.number, c.shard.journal.self, c.confirmed, last))
		c.unresolved.Store(true) // nothing that is there is acted on
		c.shard.log.LogAttrs(ctx, slog.LevelError, "journal: the database is not used any more", slog.Any("error", c.unfit))
		return c.unfit
	}
	if c.why != nil {
		c.shard.log.LogAttrs(ctx, slog.LevelInfo, "journal: the database answers again", slog.Int("lane", c.number))
	}
	c.conn, c.why, c.confirmed = conn, nil, last+1
	c.unresolved.Store(false)
	return nil
}

// introduce makes a connection, and bumps the number of the lane's batch, which was last before: what was under way is made by now, or
// never will be.
func (c *committer) introduce(ctx context.Context) (conn *pgx.Conn, last int64, err error) {
	if conn, err = c.shard.connect(ctx); err != nil {
		return nil, 0, err
	}
	if _, err = conn.Prepare(ctx, batchName, batchSQL); err == nil {
		err = conn.QueryRow(ctx, `UPDATE lanes SET batch = batch + 1 WHERE incarnation = $1 AND lane = $2 RETURNING batch - 1`,
			string(c.shard.journal.self), c.number).Scan(&last)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("the database does not know %s: it was fenced and forgotten, or the database is another one", c.shard.journal.self)
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, 0, err
	}
	return conn, last, nil
}

// disconnect gives up the connection, because of an error.
func (c *committer) disconnect(err error) {
	if c.conn == nil {
		return
	}
	_ = c.conn.PgConn().Conn().Close() // Nothing is sent any more: what is under way is left alone.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx)
	c.conn = nil
	if !errors.Is(err, persistence.ErrClosed) {
		c.why = unavailable(err)
		c.shard.log.LogAttrs(ctx, slog.LevelWarn, "journal: a connection was given up", slog.Int("lane", c.number), slog.Any("error", err))
	}
}

// proveWrite has a connection that is to read write first: a server that is no primary any more can't.
func (s *shard) proveWrite(ctx context.Context, conn *pgx.Conn) error {
	tag, err := conn.Exec(ctx, `UPDATE lanes SET batch = batch + 1 WHERE incarnation = $1 AND lane = $2`, string(s.journal.self), ownLane)
	if err == nil && tag.RowsAffected() == 0 {
		err = errors.New("the database does not know this incarnation") //nolint:err113 // for people
	}
	return err
}

// enter makes sure that what is read of the shard is acted on: not as long as the outcome of a batch is unknown.
func (s *shard) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read the journal: %w", context.Cause(ctx))
	}
	if s.journal.ctx.Err() != nil {
		return persistence.ErrClosed
	}
	for _, c := range s.committers {
		if c.unresolved.Load() {
			return fmt.Errorf("%w: shard %d has not answered since a commit of unknown outcome", persistence.ErrUnavailable, s.number)
		}
	}
	return nil
}

// read calls a function with a connection, for as long as an answer may take.
func (s *shard) read(ctx context.Context, what string, do func(context.Context, *pgxpool.Conn) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, s.journal.cfg.AnswerWithin)
	defer cancel()
	conn, err := s.pool.Acquire(within)
	if err != nil {
		return s.journal.readError(ctx, what, err)
	}
	defer conn.Release()
	return s.journal.readError(ctx, what, do(within, conn))
}
