package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/postgres"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// pair is a primary and its standby. The primary confirms nothing that the standby does not have, if that is synchronous.
type pair struct {
	primary, standby *server
	synchronous      bool
}

// newPair starts a primary and its standby, each a host of its own.
func newPair(t *testing.T, synchronous bool) *pair {
	t.Helper()
	bin := programs(t)
	dir := folder(t)
	p := &pair{synchronous: synchronous}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	hosts := []string{filepath.Join(dir, "primary"), filepath.Join(dir, "standby")}
	for _, host := range hosts {
		must(os.Mkdir(host, 0o755))
	}
	p.primary, err = pgserver.Make(t.Context(), bin, hosts[0])
	must(err)
	p.standby, err = p.primary.Standby(t.Context(), hosts[1])
	must(err)
	must(p.startPrimary())
	t.Cleanup(p.primary.Stop)
	must(p.standby.Start(small...))
	t.Cleanup(p.standby.Stop)
	return p
}

// small are settings of servers that have little to do.
var small = []string{"shared_buffers=32MB", "wal_keep_size=512MB", "wal_receiver_status_interval=1"} //nolint:gochecknoglobals // a constant

func (p *pair) startPrimary() error {
	if p.synchronous {
		return p.primary.Start(append([]string{"synchronous_standby_names=standby"}, small...)...)
	}
	return p.primary.Start(small...)
}

// config is how a test opens a journal in a database of the pair's: with both servers, in an order.
func (p *pair) config(t *testing.T, first, second *server) postgres.Config {
	t.Helper()
	name := database(t, p.primary)
	p.catchUp(t) // a server that does not have the database ends the search for another one
	return postgres.Config{
		Shards: []string{fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=%s sslmode=disable",
			first.Port, second.Port, name)},
		Logger: discard(), Lanes: 2, Readers: 2, AnswerWithin: unhurried,
	}
}

// promote makes the standby the primary.
func (p *pair) promote(t *testing.T) {
	t.Helper()
	admin(t, p.standby, "SELECT pg_promote(true, 30)")
}

// crash ends a server as the loss of its host would: nobody who is connected to it is told anything. First it answers nobody any more,
// so that there are batches under way; then meanwhile is called.
func crash(tb testing.TB, s *server, meanwhile func()) {
	tb.Helper()
	if err := s.Pause(); err != nil {
		tb.Fatal(err)
	}
	defer func() { // also if meanwhile has ended the test
		if err := s.Lose(); err != nil {
			tb.Error(err)
		}
	}()
	meanwhile()
}

// ask has a server answer a query with a number.
func ask(t *testing.T, s *server, database, sql string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Address(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// databaseOf is the database in a connection string.
func databaseOf(config postgres.Config) string {
	_, name, _ := strings.Cut(config.Shards[0], "dbname=")
	name, _, _ = strings.Cut(name, " ")
	return name
}

// sessions are those of journals at a server.
const sessions = ` FROM pg_stat_activity WHERE application_name LIKE 'holdfast %' AND datname = current_database()`

// endedFor ends sessions, and waits until they have; it counts them.
const endedFor = `SELECT count(pg_terminate_backend(pid, 30000))`

// The host of the primary is lost under load, and its standby, which was synchronous, takes over. Then the primary of before is back, takes
// writes, and is the first that a connection is tried to: nobody uses it.
func TestStandbyPromoted(t *testing.T) {
	t.Parallel()
	p := newPair(t, true)
	config := p.config(t, p.primary, p.standby)
	config.AnswerWithin = time.Second // a host that hangs is given up after that
	j, epochs := opened(t, config)
	l := startLoad(t, j, &epochs, 16)
	l.await(&l.confirmed, 200)
	crash(t, p.primary, func() {
		if hangs(t, j, &epochs)+l.unknown.Load() == 0 {
			t.Error("no commit was under way when the primary was lost")
		}
	})
	l.await(&l.unavailable, 1)
	p.promote(t)
	l.await(&l.confirmed, 200)

	if err := p.primary.Start(small...); err != nil {
		t.Fatal(err)
	}
	const batches = `SELECT sum(batch)::bigint FROM holdfast.lanes`
	name := databaseOf(config)
	before := ask(t, p.primary, name, batches)
	noticed := l.failures()
	if ended := ask(t, p.standby, name, `SELECT count(pg_terminate_backend(pid))`+sessions); ended == 0 {
		t.Error("the journal is not connected to the new primary")
	}
	awaitThat(t, func() bool { return l.failures() > noticed })
	l.await(&l.confirmed, 200)
	if now := ask(t, p.primary, name, batches); now != before {
		t.Errorf("the primary of before was written to: its batches have %d as their sum, and had %d", now, before)
	}

	crash(t, p.standby, func() { hangs(t, j, &epochs) })
	awaitRefusal(t, j, &epochs, "the server is not the primary any more")
	if err := p.standby.Start(small...); err != nil {
		t.Fatal(err)
	}
	l.await(&l.confirmed, 200)
	l.end()
}

// hangs commits to each lane of a server that does not answer any more, until that is given up, and counts the commits whose outcome is
// unknown. One that came behind a batch of others is told that the server is away: then the outcome of theirs is unknown.
func hangs(t *testing.T, j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch) (unknown int64) {
	t.Helper()
	for lane := range messages.Partition(2) {
		switch err := accept(j, epochs, inLane(lane)); {
		case errors.Is(err, persistence.ErrUnknown):
			unknown++
		case !errors.Is(err, persistence.ErrUnavailable):
			t.Errorf("nobody answers: %v", err)
		}
	}
	return unknown
}

// awaitRefusal waits until commits are refused for a reason. Neither they nor reads may do anything or find anything.
func awaitRefusal(t *testing.T, j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch, reason string) {
	t.Helper()
	acts := map[string]func() error{
		"an acceptance": func() error { return accept(j, new([messages.Partitions]messages.Epoch), messages.NewOrderID()) },
		"a read":        func() error { _, err := j.Find(t.Context(), messages.NewOrderID()); return err },
		"a look":        func() error { _, err := j.Owners(t.Context()); return err },
	}
	awaitThat(t, func() bool {
		for what, act := range acts {
			if err := act(); !errors.Is(err, persistence.ErrUnavailable) && !errors.Is(err, persistence.ErrUnknown) {
				t.Errorf("%s: %v", what, err)
			}
		}
		err := accept(j, epochs, messages.NewOrderID())
		return errors.Is(err, persistence.ErrUnavailable) && strings.Contains(err.Error(), reason)
	})
}

// A standby that lacks what was confirmed is made the primary: it is refused, by who reads first as by who commits first, and gets
// nothing. The journal goes on once the right one is back.
func TestStandbyLagged(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	config := p.config(t, p.primary, p.standby)
	j, epochs := opened(t, config)
	l := startLoad(t, j, &epochs, 8)
	l.await(&l.confirmed, 50)
	l.end()
	name := databaseOf(config)
	p.catchUp(t)
	admin(t, p.standby, `ALTER SYSTEM SET primary_conninfo = ''`, `SELECT pg_reload_conf()`)
	awaitThat(t, func() bool { return ask(t, p.standby, name, `SELECT count(*) FROM pg_stat_wal_receiver`) == 0 })

	id := inLane(1)
	if err := accept(j, &epochs, id); err != nil {
		t.Fatal(err)
	}
	crash(t, p.primary, func() {})
	p.promote(t)
	awaitThat(t, func() bool {
		_, err := j.Find(t.Context(), id)
		if !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("a read of what was confirmed: %v", err)
		}
		return err != nil && strings.Contains(err.Error(), "lost commits")
	})
	const batches = `SELECT sum(batch)::bigint FROM holdfast.lanes`
	before := ask(t, p.standby, name, batches)
	awaitRefusal(t, j, &epochs, fmt.Sprintf("lane 1 of %s has made batch ", j.Incarnation()))
	if now := ask(t, p.standby, name, batches); now != before {
		t.Errorf("the server that lacks something was written to: its batches have %d as their sum, and had %d", now, before)
	}

	// Who opens the journal only now has confirmed nothing, and can't know.
	other, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Find(t.Context(), id); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("the standby did not lack anything: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}

	p.standby.Stop()
	if err := p.startPrimary(); err != nil {
		t.Fatal(err)
	}
	if err := until(t, func() error { _, err := j.Find(t.Context(), id); return err }); err != nil {
		t.Errorf("what was confirmed, once the right server is back: %v", err)
	}
	for lane := range messages.Partition(2) {
		acceptAtLast(t, j, &epochs, inLane(lane))
	}
}

// acceptAtLast has an order accepted, whatever becomes of the connections that there were.
func acceptAtLast(t *testing.T, j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch, id messages.OrderID) {
	t.Helper()
	err := untilKnown(t, func() error { return accept(j, epochs, id) })
	if err != nil && !errors.Is(err, persistence.ErrConflict) { // it was made when its outcome was unknown
		t.Fatal(err)
	}
}

// A standby is made the primary while the one before lives, and takes writes. As soon as one connection is to the new one, all are.
func TestAllConnectionsFollow(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	config := p.config(t, p.standby, p.primary)
	j, epochs := opened(t, config)
	try := func(lane messages.Partition) messages.OrderID {
		id := inLane(lane)
		acceptAtLast(t, j, &epochs, id)
		return id
	}
	idle, moved := try(1), try(0)
	for _, id := range []messages.OrderID{idle, moved} {
		if _, err := j.Find(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	name := databaseOf(config)
	p.catchUp(t)
	p.promote(t)
	const last = ` AND query_start = (SELECT max(query_start)` + sessions + ` AND query LIKE 'WITH lane AS%')`
	if n := ask(t, p.primary, name, endedFor+sessions+last); n != 1 {
		t.Fatalf("%d sessions were ended, and not that of a lane", n)
	}
	try(0)
	found := try(1)
	if err := until(t, func() error { _, err := j.Find(t.Context(), found); return err }); err != nil {
		t.Errorf("a read after the lanes have moved: %v", err)
	}
	for s, want := range map[*server]int64{p.primary: 2, p.standby: 4} {
		if n := ask(t, s, name, `SELECT count(*) FROM holdfast.orders`); n != want {
			t.Errorf("the server at port %d has %d orders, want %d", s.Port, n, want)
		}
	}
}

// inLane is the id of an order that has none, and whose commits go through one of two lanes.
func inLane(lane messages.Partition) (id messages.OrderID) {
	for id == "" || messages.PartitionOf(id, "")%2 != lane {
		id = messages.NewOrderID()
	}
	return id
}

// catchUp waits until the standby has what the primary has.
func (p *pair) catchUp(t *testing.T) {
	t.Helper()
	awaitThat(t, func() bool {
		return ask(t, p.primary, "postgres", `SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()`) == 1
	})
}
