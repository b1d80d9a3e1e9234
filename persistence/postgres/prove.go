package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed prove.sql
var proveSQL string

// proof is what a server answered that may be used.
type proof struct {
	// last is the number that the row had before: that of its lane's last batch.
	last int64
	// timeline is the server's. It rises each time that a standby is made the primary, and when a backup is restored.
	timeline int64
}

// prove makes sure that the server of a new connection may be used: that it takes writes, is no primary of before, as far as this
// incarnation has seen a later one, and has all that was confirmed to this incarnation. So it bumps the number in a row of the
// incarnation, that of a lane or ownLane; a server that must not be used is left as it is.
func (s *shard) prove(ctx context.Context, conn *pgconn.PgConn, lane int) (p proof, err error) {
	if err := pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn); err != nil {
		return p, err //nolint:wrapcheck // said by connect
	}
	self, newest := s.journal.self, s.timeline.Load()
	var lanes, confirmed []string
	for _, c := range s.committers {
		lanes, confirmed = append(lanes, strconv.Itoa(c.number)), append(confirmed, strconv.FormatInt(c.confirmed.Load(), 10))
	}
	array := func(elements []string) []byte { return []byte("{" + strings.Join(elements, ",") + "}") }
	r := conn.ExecParams(ctx, proveSQL, [][]byte{
		[]byte(self), strconv.AppendInt(nil, int64(lane), 10), array(lanes), array(confirmed), strconv.AppendInt(nil, newest, 10),
	}, nil, nil, nil).Read()
	if r.Err != nil {
		return p, r.Err
	}
	var answer [5]int64
	for i, text := range r.Rows[0] {
		if text == nil {
			continue
		}
		if answer[i], err = strconv.ParseInt(string(text), 10, 64); err != nil {
			return p, fmt.Errorf("prove the server: %w", err)
		}
	}
	p.timeline, p.last = answer[0], answer[4]
	at := conn.Conn().RemoteAddr().String()
	isLost, isWritten := r.Rows[0][1] != nil, r.Rows[0][4] != nil
	switch {
	case p.timeline < newest:
		err = fmt.Errorf("%w: it has the timeline %d, and a server with %d was used since: a standby was made the primary",
			errSuperseded, p.timeline, newest)
	case isLost:
		err = fmt.Errorf("%w: lane %d of %s has made batch %d, and the database has batch %d; "+
			"a standby that had not everything was made the primary, or a backup was restored: bring the right one back, "+
			"or restore the journal with a new generation", errLost, answer[1], self, answer[2], answer[3])
	case !isWritten:
		return p, fmt.Errorf("%w: that is %s, which was fenced and forgotten, or the database is another one", errStranger, self)
	default:
		s.refused.Delete(at)
		s.follow(p.timeline)
		return p, nil
	}
	if _, told := s.refused.LoadOrStore(at, err); !told {
		s.log.LogAttrs(ctx, slog.LevelError, "journal: a server is not used", slog.String("server", at), slog.Any("error", err))
	}
	return p, err
}

// Why a server is not used. It is as if it were not there: another one may be fit, or this one may be put right.
var (
	errSuperseded = errors.New("the server is not the primary any more, and does not know it")
	errLost       = errors.New("the database has lost commits that it had confirmed")
	errStranger   = errors.New("the database does not know who asks")
)

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
