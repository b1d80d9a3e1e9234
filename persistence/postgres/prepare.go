package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Locks that nodes hold while they change the schema, by number; the first half is this product's.
const (
	lockMigrate = 0x686f6c64<<32 + iota
	lockMonths
)

// lockNode is the first number of the lock that a node in no cluster holds; the second one is the schema's.
const lockNode = 0x686f6c64

// prepareWithin bounds what is done before a database is used.
const prepareWithin = 30 * time.Second

// look looks whether a database may be a shard, and of which journal it is one, or says why it may not.
func (s *shard) look(ctx context.Context) error {
	return s.steps(ctx, s.checkServer, s.checkSession, s.meet)
}

// prepare makes a database that was looked at fit to be used.
func (s *shard) prepare(ctx context.Context) error {
	if err := s.steps(ctx, s.migrate, s.checkImport, s.takeOver, s.register, s.makeMonths, s.learnTime); err != nil {
		return err
	}
	return s.use()
}

// steps does some things with a connection, one after the other.
func (s *shard) steps(ctx context.Context, steps ...func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	conn, err := s.connect(ctx, s.config.ValidateConnect)
	if err != nil {
		return s.unavailable(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	for _, step := range steps {
		if err := step(ctx, conn); err != nil {
			if !isUnfit(err) {
				err = s.unavailable(err)
			}
			return err
		}
	}
	return nil
}

// unfit is why a database is not used: it stays so however often it is tried.
type unfit struct{ error }

func (u unfit) Unwrap() error { return u.error }

func isUnfit(err error) bool {
	_, ok := errors.AsType[unfit](err)
	return ok
}

func unfitf(format string, args ...any) error { return unfit{fmt.Errorf(format, args...)} } //nolint:err113 // for people

// oldestServer is the oldest version of the server that will do: 15.
const oldestServer = 150000

// checkServer makes sure that the server does what it confirms.
func (s *shard) checkServer(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var fsync, pages, commit, standbys string
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int,
		current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
		current_setting('synchronous_standby_names')`).
		Scan(&version, &fsync, &pages, &commit, &standbys); err != nil {
		return fmt.Errorf("read the settings of the server: %w", err)
	}
	switch {
	case version < oldestServer:
		return unfitf("the server has version %d: it must be at least %d", version, oldestServer)
	case fsync != "on":
		return unfitf("the server has fsync = %s: a crash would lose orders that were confirmed; set it to on", fsync)
	case pages != "on":
		return unfitf("the server has full_page_writes = %s: a crash could damage the journal; set it to on", pages)
	case commit == "off":
		return unfitf("the session has synchronous_commit = off: a crash would lose orders that were confirmed; set it to on")
	case standbys != "" && (commit == "local" || commit == "remote_write"):
		return unfitf("the session has synchronous_commit = %s, and the server has the synchronous standbys %s: when one takes over, "+
			"orders that were confirmed could be lost; set it to on", commit, standbys)
	case standbys == "":
		s.warned.Do(func() {
			s.log.LogAttrs(ctx, slog.LevelWarn,
				"journal: the database has no synchronous standby: whoever loses its disk loses orders")
		})
	}
	return nil
}

// checkSession makes sure that this connection is one session of the server, and no other has it: some poolers share them.
func (s *shard) checkSession(ctx context.Context, conn *pgx.Conn) error {
	other, err := s.connect(ctx, s.config.ValidateConnect)
	if err != nil {
		return err
	}
	defer other.Close(ctx) //nolint:errcheck // nothing is under way
	var first, second int
	mark := uuid.NewString()
	var seen, seenByOther string
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid() FROM set_config('holdfast.session', $1, false)`, mark).Scan(&first); err != nil {
		return fmt.Errorf("mark the session: %w", err)
	}
	if err := other.QueryRow(ctx, `SELECT COALESCE(current_setting('holdfast.session', true), '')`).Scan(&seenByOther); err != nil {
		return fmt.Errorf("look at another session: %w", err)
	}
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid(), COALESCE(current_setting('holdfast.session', true), '')`).
		Scan(&second, &seen); err != nil {
		return fmt.Errorf("look at the session: %w", err)
	}
	if first != second || seen != mark || seenByOther == mark {
		return unfitf("the connection shares sessions of the server with others, as a pooler does between transactions: " +
			"connect to the server itself, or have the pooler keep a session for each connection")
	}
	return nil
}

// migrate brings the schema to the state that this version knows. A newer version's schema is fine: it only ever adds.
func (s *shard) migrate(ctx context.Context, conn *pgx.Conn) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list the migrations: %w", err)
	}
	slices.Sort(files)
	schema := pgx.Identifier{s.journal.cfg.Schema}.Sanitize()
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockMigrate)); err != nil {
			return err //nolint:wrapcheck // said below
		}
		if _, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
			return err //nolint:wrapcheck // said below
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS migrations
			(number int PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err //nolint:wrapcheck // said below
		}
		var done int
		if err := tx.QueryRow(ctx, `SELECT COALESCE(max(number), 0) FROM migrations`).Scan(&done); err != nil {
			return err //nolint:wrapcheck // said below
		}
		for number := done + 1; number <= len(files); number++ {
			text, err := migrations.ReadFile(files[number-1])
			if err != nil {
				return err //nolint:wrapcheck // said below
			}
			if _, err := tx.Exec(ctx, string(text)); err != nil {
				return fmt.Errorf("%s: %w", files[number-1], err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO migrations (number) VALUES ($1)`, number); err != nil {
				return err //nolint:wrapcheck // said below
			}
		}
		if done == 0 {
			if err := s.found(ctx, tx); err != nil {
				return err
			}
		}
		return s.checkShard(ctx, tx)
	}); err != nil {
		return fmt.Errorf("prepare the schema %s: %w", schema, err)
	}
	return nil
}

// found makes what a new shard begins with.
func (s *shard) found(ctx context.Context, tx pgx.Tx) error {
	name, err := s.journal.identity.ofNew(s.number)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO meta (journal, shard, shards, feature_level) VALUES ($1, $2, $3, $4)`,
		name, s.number, len(s.journal.cfg.Shards), persistence.NewestLevel); err != nil {
		return fmt.Errorf("name the journal: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO partitions (partition) SELECT p FROM generate_series(0, $1 - 1) p WHERE p % $2 = $3`,
		messages.Partitions, len(s.journal.cfg.Shards), s.number); err != nil {
		return fmt.Errorf("make the partitions: %w", err)
	}
	return s.beginImport(ctx, tx)
}

// meet learns of which journal the database is a shard, if it is one.
func (s *shard) meet(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, pgx.Identifier{s.journal.cfg.Schema, "meta"}.Sanitize()).
		Scan(&there); err != nil {
		return fmt.Errorf("look whether there is a journal: %w", err)
	}
	if !there {
		return nil
	}
	return s.checkShard(ctx, conn)
}

// checkShard makes sure that the database is the shard that it is said to be.
func (s *shard) checkShard(ctx context.Context, tx interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) error {
	var name uuid.UUID
	var whole bool
	var number, of, level int
	if err := tx.QueryRow(ctx, `SELECT journal, whole, shard, shards, feature_level FROM meta`).
		Scan(&name, &whole, &number, &of, &level); err != nil {
		return fmt.Errorf("read which shard it is: %w", err)
	}
	if number != s.number || of != len(s.journal.cfg.Shards) {
		return unfitf("the database has shard %d of %d, and is configured as shard %d of %d: "+
			"give all databases of the journal, in the order in which it was made",
			number, of, s.number, len(s.journal.cfg.Shards))
	}
	if level > persistence.NewestLevel {
		return unfit{fmt.Errorf("%w: the journal has level %d, this version knows %d",
			persistence.ErrFeatureLevel, level, persistence.NewestLevel)}
	}
	return s.journal.identity.is(name, whole)
}

// register makes the incarnation known, with a row for each lane, unless it is. If another one has fenced it there meanwhile, its lanes
// are fenced from the beginning.
func (s *shard) register(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `WITH own AS (
			INSERT INTO lanes (incarnation, lane) VALUES ($1, $2)
			ON CONFLICT (incarnation, lane) DO UPDATE SET batch = lanes.batch RETURNING fenced
		) INSERT INTO lanes (incarnation, lane, fenced) SELECT $1, n, own.fenced FROM own, generate_series(0, $3::int - 1) n
		ON CONFLICT (incarnation, lane) DO NOTHING`,
		string(s.journal.self), ownLane, len(s.all())); err != nil {
		return fmt.Errorf("make the incarnation known: %w", err)
	}
	return nil
}

// monthsAhead is for how many months after this one tables are made.
const monthsAhead = 2

// makeMonths makes the tables for the histories of orders that are accepted this month, and in those to come.
func (s *shard) makeMonths(ctx context.Context, conn *pgx.Conn) error {
	now := time.Now().UTC()
	for ahead := range monthsAhead + 1 {
		from := time.Date(now.Year(), now.Month()+time.Month(ahead), 1, 0, 0, 0, 0, time.UTC)
		if err := makeMonth(ctx, conn, from); err != nil {
			return fmt.Errorf("make the table of %s: %w", from.Format("2006-01"), err)
		}
	}
	return nil
}

func makeMonth(ctx context.Context, conn *pgx.Conn, from time.Time) error {
	table := "events_" + from.Format("2006_01")
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { //nolint:wrapcheck // said by the caller
		var there bool
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockMonths)); err != nil {
			return err //nolint:wrapcheck // said by the caller
		}
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&there); err != nil || there {
			return err //nolint:wrapcheck // said by the caller
		}
		// To attach a table does not hold up those that commit, as to make it in its place would.
		if _, err := tx.Exec(ctx, `CREATE TABLE `+table+` (LIKE events INCLUDING ALL)`); err != nil {
			return err //nolint:wrapcheck // said by the caller
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE events ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
			table, uuid.UUID(messages.HandleAt(from)), uuid.UUID(messages.HandleAt(from.AddDate(0, 1, 0)))))
		return err //nolint:wrapcheck // said by the caller
	})
}
