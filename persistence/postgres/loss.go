package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Losses looks at what the servers of a journal lack of what was confirmed, whether or not the journal is open, and has nodes go on with
// one that lacks something:
//
//	looked at, and named by a word ──► that word is confirmed ──► nobody writes there, and it is as it was looked at
//	      ──► others are told which generation begins ──► it begins: nobody owns anything, and all incarnations are fenced
//
// Each generation is accepted for one server, as it is then, by an incarnation of its own (acceptanceOf), whose watermark binds all others:
// it is told before the generation begins, and so a server where it never began is used by nobody.
type Losses struct{ cfg Config }

// NewLosses makes it, with the settings of the journal.
func NewLosses(cfg Config) (*Losses, error) {
	cfg, err := cfg.withDefaults()
	return &Losses{cfg: cfg}, err
}

// Confirmed is what is known to have been confirmed.
type Confirmed struct {
	// To has it by incarnation.
	To map[messages.Incarnation]messages.Watermarks
	// Unreadable are the keys of more that is stored and can't be read.
	Unreadable []string
}

// LossError says why a loss is not accepted.
type LossError struct{ reason, text string }

// Error implements error.
func (e *LossError) Error() string { return e.text }

// Reason is why, in a word that programs know.
func (e *LossError) Reason() string { return e.reason }

// Field is the field of the request that is at fault.
func (e *LossError) Field() string { return "confirm" }

// site is a server that a connection string names.
type site struct {
	shard  int
	config *pgx.ConnConfig
}

// sites are the servers of all shards, in the order in which nodes try them.
func (l *Losses) sites() (all []*site, err error) {
	for n, at := range l.cfg.Shards {
		config, err := pgx.ParseConfig(at)
		if err != nil {
			return nil, fmt.Errorf("parse the connection string of shard %d: %w", n, err)
		}
		first := &pgconn.FallbackConfig{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}
		for _, f := range append([]*pgconn.FallbackConfig{first}, config.Fallbacks...) {
			if len(all) > 0 {
				// A server that is tried without TLS too follows itself.
				if last := all[len(all)-1]; last.shard == n && last.config.Host == f.Host && last.config.Port == f.Port {
					last.config.Fallbacks = append(last.config.Fallbacks, f)
					continue
				}
			}
			c := config.Copy()
			c.Host, c.Port, c.TLSConfig, c.Fallbacks, c.ValidateConnect = f.Host, f.Port, f.TLSConfig, nil, nil
			c.ConnectTimeout = l.cfg.AnswerWithin
			c.RuntimeParams["search_path"] = pgx.Identifier{l.cfg.Schema}.Sanitize()
			c.RuntimeParams["application_name"] = applicationPrefix + acceptanceNode
			// Nobody may write while a loss is accepted. If who does that does not go on, the server ends it by itself.
			c.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt((acceptAnswers * l.cfg.AnswerWithin).Milliseconds(), 10)
			all = append(all, &site{shard: n, config: c})
		}
	}
	return all, nil
}

// connect makes a connection to the server. What it does is not cancelled.
func (s *site) connect(ctx context.Context) (*pgx.Conn, error) {
	config := s.config.Copy()
	neverCancel(config)
	return pgx.ConnectConfig(ctx, config) //nolint:wrapcheck // it says whereto
}

// Show tells what each server lacks of what is known to have been confirmed. It changes nothing.
func (l *Losses) Show(ctx context.Context, known Confirmed) ([]*adminv1.JournalServer, error) {
	_, found, err := l.survey(ctx, known)
	if err != nil {
		return nil, err
	}
	shown := make([]*adminv1.JournalServer, 0, len(found))
	for _, f := range found {
		shown = append(shown, f.server)
	}
	return shown, nil
}

// survey looks at all servers at once.
func (l *Losses) survey(
	ctx context.Context, known Confirmed,
) (sites []*site, found []look, err error) {
	if sites, err = l.sites(); err != nil {
		return nil, nil, err
	}
	found = make([]look, len(sites))
	var all sync.WaitGroup
	for i, s := range sites {
		all.Go(func() { found[i] = l.visit(ctx, s, known) })
	}
	all.Wait()
	for i, f := range found { // where one has everything, nodes use that
		for _, other := range found {
			if o := other.server; f.server.GetConfirm() != "" && o.GetShard() == f.server.GetShard() && other.isWhole() {
				found[i].refuse(fmt.Sprintf("the server %s has everything, and takes writes: nodes use that", o.GetAddress()))
			}
		}
	}
	return sites, found, nil
}

// visit looks at one server.
func (l *Losses) visit(ctx context.Context, s *site, known Confirmed) look {
	within, cancel := context.WithTimeout(ctx, 2*l.cfg.AnswerWithin)
	defer cancel()
	conn, err := s.connect(within)
	if err == nil {
		defer conn.Close(within) //nolint:errcheck // nothing is under way
		var found look
		// What is asked is of one moment: else a generation that begins in between would look like another server that lacks nothing.
		err = pgx.BeginTxFunc(within, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
			found, err = l.look(within, tx, s, known)
			return err
		})
		if err == nil {
			return found
		}
	}
	return look{server: &adminv1.JournalServer{
		Shard: uint32(s.shard), Address: s.address(), Unreachable: err.Error(), //nolint:gosec // it is not negative
	}}
}

func (s *site) address() string {
	return net.JoinHostPort(s.config.Host, strconv.Itoa(int(s.config.Port))) + "/" + s.config.Database
}

// look is what a server shows.
type look struct {
	server *adminv1.JournalServer
	// acceptance is the incarnation that accepts the loss of what it lacks now, accepted are those that have accepted losses there.
	acceptance messages.Incarnation
	accepted   []messages.Incarnation
}

// isWhole tells whether nodes may use the server.
func (f *look) isWhole() bool {
	s := f.server
	return s.GetUnreachable() == "" && !s.GetStandby() && s.GetJournal() != "" && len(s.GetLost()) == 0
}

// refuse says why the loss of what the server lacks can't be accepted.
func (f *look) refuse(why string) { f.server.Unacceptable, f.server.Confirm = why, "" }

const (
	standSQL = `SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id::bigint FROM pg_control_checkpoint())
			ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint END,
		(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, to_regclass('meta') IS NOT NULL`
	journalSQL = `SELECT generation, journal::text, shard, shards,
		ARRAY (SELECT incarnation FROM lanes WHERE starts_with(incarnation, $1)) FROM meta`
)

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
}

// look looks at a server by a connection.
func (l *Losses) look(
	ctx context.Context, q querier, s *site, known Confirmed,
) (f look, err error) {
	x := &adminv1.JournalServer{Shard: uint32(s.shard), Address: s.address()} //nolint:gosec // it is not negative
	f.server = x
	var started int64
	var there bool
	if err := q.QueryRow(ctx, standSQL).Scan(&x.Standby, &x.Timeline, &started, &there); err != nil {
		return f, fmt.Errorf("ask the server how it stands: %w", err)
	}
	if !there {
		f.refuse("the server has no journal in the schema " + l.cfg.Schema)
		return f, nil
	}
	var shard, shards int
	if err := q.QueryRow(ctx, journalSQL, acceptanceNode+"/").Scan(&x.Generation, &x.Journal, &shard, &shards, &f.accepted); err != nil {
		return f, fmt.Errorf("ask the server of which journal it is: %w", err)
	}
	var bounds []bound
	for who, w := range known.To {
		bounds = append(bounds, boundsBy(who, w.Of(s.shard))...)
	}
	if x.Lost, err = lostOf(ctx, q, bounds); err != nil {
		return f, err
	}
	x.Unreadable = known.Unreadable
	f.name(started)
	switch other := foreign(x, known); {
	case len(x.GetLost()) == 0:
		x.Confirm = ""
	case x.GetStandby():
		f.refuse("it follows another server, and takes no writes: make it the primary before")
	case shard != s.shard || shards != len(l.cfg.Shards):
		f.refuse(fmt.Sprintf("it has shard %d of %d, and is configured as shard %d of %d", shard, shards, s.shard, len(l.cfg.Shards)))
	case other != "":
		f.refuse(fmt.Sprintf("it has the journal %s, and nodes have committed to the journal %s", x.GetJournal(), other))
	}
	return f, nil
}

// lostOf asks which bounds a database does not hold.
func lostOf(ctx context.Context, q querier, bounds []bound) (lost []*adminv1.LostBatches, err error) {
	incarnations, lanes, batches, generations := columnsOf(bounds)
	rows, err := q.Query(ctx, lostSQL+" ORDER BY incarnation, lane", incarnations, lanes, batches, generations, int64(whole))
	if err != nil {
		return nil, fmt.Errorf("ask the server what it lacks: %w", err)
	}
	lost, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*adminv1.LostBatches, error) {
		var b adminv1.LostBatches
		var has *int64
		err := row.Scan(&b.Incarnation, &b.Lane, &b.Confirmed, &b.Generation, &has)
		if has != nil {
			b.Has = *has
		}
		return &b, err //nolint:wrapcheck // said below
	})
	if err != nil {
		return nil, fmt.Errorf("ask the server what it lacks: %w", err)
	}
	return lost, nil
}

// foreign names another journal to which was committed what a server lacks; empty: there is none.
func foreign(x *adminv1.JournalServer, known Confirmed) string {
	for _, b := range x.GetLost() {
		if name := known.To[messages.Incarnation(b.GetIncarnation())].Journal; name != "" && name != x.GetJournal() {
			return name
		}
	}
	return ""
}

// acceptanceNode stands for the node in the incarnations that accept losses.
const acceptanceNode = "accepted-loss"

// name gives the word by which what a server lacks is confirmed, and names who accepts it. The name begins with what tells the server as it
// is, until it is started again or a generation begins, from all others: copies of one server have the same rows. The word is of what it
// lacks, and of what can't be read, but not of an acceptance for that very server that was interrupted: the same word completes it.
func (f *look) name(started int64) {
	x := f.server
	server := digest(x.GetJournal(), x.GetShard(), x.GetTimeline(), x.GetGeneration(), started)
	own := acceptanceNode + "/" + server + "-"
	words := []any{server}
	for _, b := range x.GetLost() {
		if !strings.HasPrefix(b.GetIncarnation(), own) {
			words = append(words, b.GetIncarnation(), b.GetLane(), b.GetGeneration(), b.GetConfirmed(), b.GetHas())
		}
	}
	for _, key := range x.GetUnreadable() {
		words = append(words, key)
	}
	x.Confirm = digest(words...)
	f.acceptance = messages.Incarnation(own + x.GetConfirm())
}

// digest is a word that stands for others.
func digest(words ...any) string {
	sum := sha256.Sum256([]byte(strings.Join(strings.Fields(fmt.Sprintln(words...)), " ")))
	return hex.EncodeToString(sum[:6])
}

// hasAccepted tells whether what is confirmed by a word was accepted there.
func (f *look) hasAccepted(confirm string) bool {
	for _, who := range f.accepted {
		if strings.HasSuffix(string(who), "-"+confirm) {
			return true
		}
	}
	return false
}
