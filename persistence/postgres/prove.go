package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast-run/holdfast/messages"
)

//go:embed lost.sql
var lostSQL string

//go:embed prove.sql
var proveText string

// proveSQL is the statement by which a connection proves itself. lostSQL is the part of it that tells what a database lacks.
var proveSQL = strings.Replace(proveText, "@lost", lostSQL, 1) //nolint:gochecknoglobals // a constant

// proof is what a server answered that may be used.
type proof struct {
	// last is the number that the row had before: that of its lane's last batch.
	last int64
	// timeline is the server's. It rises each time that a standby is made the primary, and when a backup goes on with an archive.
	timeline int64
	// generation is that of the shard.
	generation messages.Generation
	// shows are the watermarks of others that the server was found to show.
	shows map[messages.Incarnation]messages.Watermarks
}

// whole is the number of the batch of an incarnation whose rows were removed: the database had all that it had committed.
const whole = math.MaxInt64

// prove makes sure that the server of a new connection may be used: that it takes writes, is no primary of before, as far as this
// incarnation has seen a later one, and has all that is known to have been confirmed. So it bumps the number in a row of the
// incarnation, that of a lane or ownLane; a server that must not be used is left as it is, and with noLane any is.
func (s *shard) prove(ctx context.Context, conn *pgconn.PgConn, lane int) (p proof, err error) {
	if err := pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn); err != nil {
		return p, err //nolint:wrapcheck // said by connect
	}
	if err := s.askAround(ctx, conn); err != nil {
		return p, err
	}
	bounds, known := s.bounds()
	newest := s.timeline.Load()
	a, err := s.inspect(ctx, conn, lane, bounds, newest)
	if err != nil {
		return p, err
	}
	p = proof{last: a.last, timeline: a.timeline, generation: a.generation, shows: known}
	switch {
	case p.timeline < newest && (lane == noLane || !s.isLater(a.generation)):
		err = refusal{fmt.Errorf("%w: it has the timeline %d, and a server with %d was used since: a standby was made the primary",
			errSuperseded, p.timeline, newest)}
	case a.lost != nil:
		err = refusal{s.lacks(a, known)}
	case !a.isWritten && lane != noLane:
		if int64(a.generation) > s.seen() { // it lacks that this incarnation has begun, or what came later, and that loss was accepted
			s.fenced()
		}
		return p, fmt.Errorf("%w: that is %s, which was fenced and forgotten, or the database is another one", errStranger, s.journal.self)
	case lane != noLane:
		s.follow(p.timeline)
		s.uses(a.generation)
		if a.isFenced {
			s.fenced()
		}
	}
	s.told(ctx, conn, err)
	return p, err
}

// fenced notes that this incarnation was fenced.
func (s *shard) fenced() {
	s.journal.held.fence()
	s.journal.cfg.Fenced()
}

// told has the log tell that a server is refused, once, until it is not refused any more.
func (s *shard) told(ctx context.Context, conn *pgconn.PgConn, err error) {
	at := conn.Conn().RemoteAddr().String()
	if err == nil {
		s.refused.Delete(at)
		return
	}
	if _, told := s.refused.LoadOrStore(at, err); !told {
		s.log.LogAttrs(ctx, slog.LevelError, "journal: a server is not used", slog.String("server", at), slog.Any("error", err))
	}
}

// lacks says what the database lacks.
func (s *shard) lacks(a inspected, known map[messages.Incarnation]messages.Watermarks) error {
	const remedy = "a standby that had not everything was made the primary, or a backup was restored: bring the right one back, " +
		"or accept the loss: holdfast cluster accept-loss"
	who, has := a.lost.incarnation, "has batch "+a.has
	if named := known[who].Journal; named != "" && named != a.journal {
		return fmt.Errorf("%w: it has the journal %s, and %s has committed to %s: give the right database, or forget the other journal's "+
			"watermarks", errLost, journalCalled(a.journal), who, named)
	}
	switch {
	case a.lost.generation > a.generation:
		return fmt.Errorf("%w: it has generation %d, and generation %d has begun since: the loss of commits was accepted, or the journal "+
			"restored; use the server where that was done, or accept the loss: holdfast cluster accept-loss",
			errLost, a.generation, a.lost.generation)
	case a.has == "":
		has = "does not know it"
	}
	return fmt.Errorf("%w: lane %d of %s has made batch %d, and the database %s; %s", errLost, a.lost.lane, who, a.lost.batch, has, remedy)
}

// journalCalled names a journal in a sentence.
func journalCalled(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// refusal is why a server is not used that takes writes. It is as if it were not there: another one may be fit, or this one may be put
// right.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// What a refusal says, and who does not prove anything.
var (
	errSuperseded = errors.New("the server is not the primary any more, and does not know it")
	errLost       = errors.New("the database has lost commits that it had confirmed")
	errStranger   = errors.New("the database does not know who asks")
)

// inspected is what the statement tells.
type inspected struct {
	timeline   int64
	generation messages.Generation
	journal    string
	// lost is a bound that does not hold, and has what the database has instead; empty: nothing.
	lost *bound
	has  string
	// last is the number that the row had, if isWritten. isFenced: the incarnation was fenced.
	last                int64
	isWritten, isFenced bool
}

// inspect asks a server how it stands, and bumps the number in a row, unless the server must not be used. One without a journal has lost
// whatever there is a bound for.
func (s *shard) inspect(ctx context.Context, conn *pgconn.PgConn, lane int, bounds []bound, newest int64) (a inspected, err error) {
	parameters, err := parametersOf(bounds)
	if err != nil {
		return a, err
	}
	var row []byte
	if lane != noLane {
		row = strconv.AppendInt(nil, int64(lane), 10)
	}
	r := conn.ExecParams(ctx, proveSQL, append(parameters, strconv.AppendInt(nil, whole, 10), []byte(s.journal.self), row,
		strconv.AppendInt(nil, newest, 10)), nil, nil, nil).Read()
	switch {
	case stateOf(r.Err) == undefinedTable && lane == noLane:
		a.timeline = newest
		if len(bounds) > 0 {
			a.lost = &bounds[0]
		}
		return a, nil
	case r.Err != nil:
		return a, r.Err
	case len(r.Rows) == 0:
		return a, fmt.Errorf("prove the server: %w", errNoJournal)
	}
	text := r.Rows[0]
	numbers := [...]struct {
		at   int
		into *int64
	}{{0, &a.timeline}, {8, &a.last}}
	for _, n := range numbers {
		if text[n.at] == nil {
			continue
		}
		if *n.into, err = strconv.ParseInt(string(text[n.at]), 10, 64); err != nil {
			return a, fmt.Errorf("prove the server: %w", err)
		}
	}
	generation, err := strconv.ParseUint(string(text[1]), 10, 32)
	if err != nil {
		return a, fmt.Errorf("prove the server: %w", err)
	}
	a.generation, a.journal = messages.Generation(generation), string(text[2])
	a.isWritten, a.isFenced = text[8] != nil, string(text[9]) == "t"
	if text[3] != nil {
		a.has = string(text[7])
		a.lost, err = boundOf(string(text[3]), string(text[4]), string(text[5]), string(text[6]))
	}
	return a, err
}

// errNoJournal is why nothing can be told of a database.
var errNoJournal = errors.New("the database has the tables of a journal, and does not say of which")

// uses notes the generation of a server that is used.
func (s *shard) uses(g messages.Generation) {
	for used := s.used.Load(); used <= int64(g); used = s.used.Load() {
		if s.used.CompareAndSwap(used, int64(g)+1) {
			return
		}
	}
}

// isLater tells whether a generation is later than that of any server that was used, and any was. Where it has begun, an earlier timeline
// says nothing: a loss was accepted there, and whoever had the journal before is fenced.
func (s *shard) isLater(g messages.Generation) bool {
	used := s.used.Load()
	return used > 0 && int64(g) >= used
}

// follow has no connection to a server of an earlier timeline used any more.
func (s *shard) follow(timeline int64) {
	for {
		newest := s.timeline.Load()
		if newest >= timeline {
			return
		}
		if s.timeline.CompareAndSwap(newest, timeline) {
			if newest > 0 {
				s.pool.Reset() // those that read; a lane looks before each batch
			}
			return
		}
	}
}
