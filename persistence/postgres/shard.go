package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	at         string // its connection string
	config     *pgx.ConnConfig
	pool       *pgxpool.Pool // nil: it is not used yet
	committers []*committer  // one for each lane, by their numbers
	// acceptor makes the batches of acceptances without an epoch, in a lane of their own. It connects when it is needed first.
	acceptor *committer
	// down is why it is not used yet; nil: it is.
	down atomic.Pointer[error]
	// warned: it was told that the database has no standby.
	warned sync.Once
	// timeline is the latest of a server that was used, used the latest generation of one, and one more; 0: none was.
	timeline, used atomic.Int64
	// distrusted is how often a server that was used turned out to lack something. asked is the latest timeline of a server before whose
	// use others were asked what they know, under asking.
	distrusted atomic.Int64
	asking     sync.Mutex
	asked      int64
	// cover is the number of the incarnation's own row when it has last committed something behind what others had committed.
	cover mark
	// failed is when a read was not answered, in nanoseconds since 1970; 0: the last one was.
	failed atomic.Int64
	// refused has the addresses of servers that take writes and must not be used, as was logged.
	refused sync.Map
	// entries are acceptances of orders that live in other shards, and need an entry here first.
	entries *lane.Lane
	// beginnings has histories read, which takes half of the connections that read at the most.
	beginnings beginnings
}

// ownLane is the number of the row that an incarnation has for itself, beside those of its lanes. noLane stands for no row.
const (
	ownLane = -1
	noLane  = -2
)

// newShard makes a shard that is not used yet.
func (j *Journal) newShard(number int, at string) (*shard, error) {
	s := &shard{journal: j, number: number, log: j.cfg.Logger.With(slog.Int("shard", number)), at: at}
	if err := s.configure(at); err != nil {
		return nil, err
	}
	s.down.Store(&errNotAsked)
	bounds := lane.Bounds{
		Commits: j.cfg.QueueCommits, Bytes: j.cfg.QueueBytes, BatchCommits: j.cfg.BatchCommits, BatchBytes: j.cfg.BatchBytes,
	}
	s.entries = lane.New(bounds)
	s.beginnings = beginnings{most: max(j.cfg.Readers/2, 1), read: s.readTogether}
	for n := range j.cfg.Lanes {
		s.committers = append(s.committers, s.newCommitter(n, bounds))
	}
	s.acceptor = s.newCommitter(j.cfg.Lanes, bounds)
	s.acceptor.accepts = true
	return s, nil
}

func (s *shard) newCommitter(n int, bounds lane.Bounds) *committer {
	return &committer{
		shard: s, number: n, handles: map[messages.Handle]struct{}{}, ids: map[messages.OrderID]struct{}{},
		lane: lane.New(bounds), statements: map[variant]*statement{},
	}
}

// all are the committers of all lanes, that of acceptances included.
func (s *shard) all() []*committer { return append(slices.Clone(s.committers), s.acceptor) }

// errNotAsked is why a shard is not used at first.
var errNotAsked = errors.New("it was not asked yet")

// use has the shard used from now on: the database is prepared, and the incarnation known there.
func (s *shard) use() error {
	j := s.journal
	pool, err := pgxpool.ParseConfig(s.at)
	if err != nil {
		return fmt.Errorf("parse the connection string: %w", err)
	}
	pool.ConnConfig = s.config.Copy()
	pool.ConnConfig.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := s.prove(ctx, conn, ownLane)
		return err
	}
	pool.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		neverCancel(config)
		return nil
	}
	pool.BeforeClose = func(conn *pgx.Conn) {
		if conn.IsClosed() { // with something under way: nobody waits for a server that does not answer
			_ = conn.PgConn().Conn().Close()
		}
	}
	pool.MaxConns, pool.MinConns = int32(j.cfg.Readers), 1 //nolint:gosec // there are few
	pool.MaxConnLifetime, pool.MaxConnIdleTime = time.Hour, 10*time.Minute
	if s.pool, err = pgxpool.NewWithConfig(j.ctx, pool); err != nil {
		return fmt.Errorf("make the connections that read: %w", err)
	}
	s.down.Store(nil)
	return nil
}

// isDown says why the shard is not used yet; nil if it is.
func (s *shard) isDown() error {
	if why := s.down.Load(); why != nil {
		return s.unavailable(*why)
	}
	return nil
}

// configure says how connections are made.
func (s *shard) configure(at string) error {
	config, err := pgx.ParseConfig(at)
	if err != nil {
		return fmt.Errorf("parse the connection string: %w", err)
	}
	within := s.journal.cfg.AnswerWithin
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = min(within, s.connectWithin()/time.Duration(servers(config)))
	}
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := s.prove(ctx, conn, noLane)
		return err
	}
	config.StatementCacheCapacity = mostStatements
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
		"enable_seqscan":                   "off", // a plan is kept that was made while the tables were small
	})
	s.config = config
	return nil
}

// connectWithin is how long a lane tries to make a connection: so long that it comes to each server, if those before don't answer.
func (s *shard) connectWithin() time.Duration { return 2 * s.journal.cfg.AnswerWithin }

// servers counts those that a connection string names.
func servers(config *pgx.ConnConfig) int {
	n := 1
	for i, f := range config.Fallbacks { // a server that is tried without TLS too follows itself
		before := pgconn.FallbackConfig{Host: config.Host, Port: config.Port}
		if i > 0 {
			before = *config.Fallbacks[i-1]
		}
		if f.Host != before.Host || f.Port != before.Port {
			n++
		}
	}
	return n
}

// applicationPrefix and the last part of an incarnation are the name under which the server knows its sessions.
const applicationPrefix = "holdfast "

// neverCancel has nothing cancelled that a connection does: one that is closed in the middle of a statement leaves it to the server whether
// it is done. Nor does anybody wait then for a server to take note that does not answer.
func neverCancel(config *pgx.ConnConfig) {
	var made atomic.Bool
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if made.Load() {
			return nil, errCancel
		}
		return dial(ctx, network, addr)
	}
	config.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		made.Store(true)
		return nil
	}
}

// errCancel is why the driver can't cancel what a connection does.
var errCancel = errors.New("nothing that is under way is cancelled")

// connect makes a connection. Of several servers it takes the first which may be used, as the function tells.
func (s *shard) connect(ctx context.Context, may pgconn.ValidateConnectFunc, settings ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config := s.config.Copy()
	neverCancel(config)
	config.ValidateConnect = may
	for _, set := range settings {
		set(config)
	}
	return pgx.ConnectConfig(ctx, config) //nolint:wrapcheck // it says whereto
}

// connect makes a connection for the lane, unless none was got a moment ago: what waits then is refused at once, and does not wait for a
// server that does not answer, one batch after the other.
func (c *committer) connect() error {
	if err := c.shard.isDown(); err != nil {
		return err
	}
	if c.why != nil && time.Since(c.missed) < retryConnect {
		return c.why
	}
	c.trust = c.shard.distrusted.Load()
	ctx, cancel := context.WithTimeout(context.Background(), c.shard.connectWithin())
	defer cancel()
	conn, p, err := c.introduce(ctx)
	if err != nil {
		c.why, c.missed = c.shard.unavailable(err), time.Now()
		return c.why
	}
	if c.why != nil {
		c.shard.log.LogAttrs(ctx, slog.LevelInfo, "journal: the database answers again", slog.Int("lane", c.number))
	}
	c.conn, c.why, c.timeline = conn, nil, p.timeline
	c.locked, c.lockTried = false, time.Time{}
	c.confirmed.Store(p.last + 1)
	c.mark.see(p.generation, p.last)
	c.unresolved.Store(false)
	return nil
}

// introduce makes a connection, and bumps the number of the lane's batch: what was under way is made by now, or never will be.
func (c *committer) introduce(ctx context.Context) (conn *pgx.Conn, p proof, err error) {
	if conn, err = c.shard.connect(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		p, err = c.shard.prove(ctx, conn, c.number)
		return err
	}, c.waits); err != nil {
		return nil, p, err
	}
	return conn, p, nil
}

// acceptanceWaits is how long an acceptance without an epoch waits for another session that accepts the order, and has not ended.
const acceptanceWaits = 500 * time.Millisecond

// waits says how long the connection waits for what another session has locked: any time, if batches go through it that others depend on.
func (c *committer) waits(config *pgx.ConnConfig) {
	if c.accepts {
		config.RuntimeParams["lock_timeout"] = strconv.FormatInt(acceptanceWaits.Milliseconds(), 10)
	}
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
		c.why = c.shard.unavailable(err)
		c.shard.log.LogAttrs(ctx, slog.LevelWarn, "journal: a connection was given up", slog.Int("lane", c.number),
			slog.Bool("unknown_outcome", c.unresolved.Load()), slog.Any("error", err))
	}
}

// enter makes sure that what is read of the shard is acted on: not as long as the outcome of a batch is unknown.
func (s *shard) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read the journal: %w", context.Cause(ctx))
	}
	if s.journal.ctx.Err() != nil {
		return persistence.ErrClosed
	}
	if err := s.isDown(); err != nil {
		return err
	}
	for _, c := range s.all() {
		if c.unresolved.Load() {
			return s.unavailable(errUnresolved)
		}
	}
	return nil
}

// errUnresolved is why nothing is read now.
var errUnresolved = errors.New("it has not answered since a commit of unknown outcome")

// read calls a function with a connection, for as long as an answer may take.
func (s *shard) read(ctx context.Context, what string, do func(context.Context, *pgxpool.Conn) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, s.journal.cfg.AnswerWithin)
	defer cancel()
	conn, err := s.pool.Acquire(within)
	if err != nil {
		return s.answered(s.readError(ctx, what, err))
	}
	defer conn.Release()
	return s.answered(s.readError(ctx, what, do(within, conn)))
}

// answered notes whether a read was answered, and returns what came of it.
func (s *shard) answered(err error) error {
	switch {
	case errors.Is(err, persistence.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		s.failed.Store(time.Now().UnixNano())
	case !errors.Is(err, context.Canceled):
		s.failed.Store(0)
	}
	return err
}

// failedLately says that the shard has not answered a moment ago; nil if it has. Who can do without it does not wait for it then.
func (s *shard) failedLately() error {
	if time.Since(time.Unix(0, s.failed.Load())) < s.journal.cfg.AnswerWithin {
		return s.unavailable(errFailed)
	}
	return nil
}

// errFailed is why a shard is not asked.
var errFailed = errors.New("it did not answer a moment ago")
