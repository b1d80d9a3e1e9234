package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// lockers are the sessions that have the lock of a node that is alone.
const lockers = ` FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND
	database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// refused opens a journal that another node has, and makes sure that the reason says so. It does not wait long for the lock.
func refused(t *testing.T, config postgres.Config, has persistence.Journal) {
	t.Helper()
	config.AnswerWithin = 500 * time.Millisecond
	err := until(t, func() error {
		j, err := postgres.Open(t.Context(), config)
		if err == nil {
			_ = j.Close()
		}
		return err
	})
	if err == nil || !strings.Contains(err.Error(), string(has.Incarnation())+", connected from") {
		t.Errorf("another node has the journal, and this is %v", err)
	}
}

// Two nodes in no cluster refuse each other. One that comes after the other takes over from it, in each shard.
func TestAlone(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	config.Shards = append(config.Shards, s.Address(database(t, s)))
	config.Alone = true
	first, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	var epochs [messages.Partitions]messages.Epoch
	if n, err := claim(t, first, &epochs); err != nil || n != messages.Partitions {
		t.Fatalf("%d partitions were claimed, %v", n, err)
	}
	refused(t, config, first)
	for shard := range messages.Partition(2) {
		if err := acceptIn(first, &epochs, shard); err != nil {
			t.Errorf("after another node has tried to open the journal: %v", err)
		}
	}

	name := databaseOf(config)
	pid := ask(t, s, name, `SELECT pid`+lockers)
	ask(t, s, name, `SELECT count(pg_terminate_backend(pid))`+lockers)
	awaitThat(t, func() bool {
		return ask(t, s, name, `SELECT count(*)`+lockers) == 1 && ask(t, s, name, `SELECT pid`+lockers) != pid
	})
	refused(t, config, first)
	awaitThat(t, func() bool { _, err := claim(t, first, &epochs); return err == nil }) // the server has the lock noted before the node has

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, epochs := opened(t, config)
	for shard := range messages.Partition(2) {
		if err := acceptIn(second, &epochs, shard); err != nil {
			t.Errorf("the next node: %v", err)
		}
	}
}

// A node in no cluster is refused while one of a cluster has the journal, also after the sessions of that were lost; and the other way
// round.
func TestAloneAmongMembers(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	config.AnswerWithin = 300 * time.Millisecond
	member, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	joined(t, config)
	var epochs [messages.Partitions]messages.Epoch
	if err := until(t, func() error { _, err := claim(t, member, &epochs); return err }); err != nil {
		t.Fatal(err)
	}
	alone := config
	alone.Alone = true
	name := databaseOf(config)
	refusedBy := func() {
		t.Helper()
		j, err := postgres.Open(t.Context(), alone)
		if err == nil {
			_ = j.Close()
		}
		if err == nil || errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "nodes of a cluster have the journal open") {
			t.Errorf("nodes of a cluster have the journal, and this is %v", err)
		}
	}
	refusedBy()
	if n := ask(t, s, name, `SELECT count(*) FROM holdfast.lanes WHERE fenced`); n != 0 {
		t.Errorf("%d rows were fenced", n)
	}
	ask(t, s, name, `SELECT count(pg_terminate_backend(pid))`+lockers)
	awaitThat(t, func() bool {
		_ = accept(member, &epochs, messages.NewOrderID()) // else it has no need to look
		return ask(t, s, name, `SELECT count(*)`+lockers) > 0
	})
	refusedBy()
	if err := member.Close(); err != nil {
		t.Fatal(err)
	}
}

// Nodes of a cluster are refused while one has the journal that is in none.
func TestMembersBesideAlone(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	alone := config
	alone.Alone = true
	j, _ := opened(t, alone)
	refused(t, config, j)
	if n := ask(t, s, databaseOf(config), `SELECT count(DISTINCT incarnation) FROM holdfast.lanes`); n != 1 {
		t.Errorf("%d nodes are known: one that is refused must not be", n)
	}
}

// A node that has lost the lock to somebody else claims nothing, and says why; it goes on when it has the lock again.
func TestAloneNoMore(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	config.Alone = true
	j, epochs := opened(t, config)
	other, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background()) //nolint:errcheck // a test
	waits := make(chan error, 1)
	go func() { // whoever waits has the lock before anybody else gets it
		_, err := other.Exec(context.Background(), `SELECT pg_advisory_lock(k.classid::bigint::int, hashtext('holdfast'))`+
			strings.Replace(lockers, `pg_locks`, `pg_locks k`, 1))
		waits <- err
	}()
	name := databaseOf(config)
	awaitThat(t, func() bool {
		return ask(t, s, name, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
			(SELECT oid FROM pg_database WHERE datname = current_database())`) == 1
	})
	ask(t, s, name, `SELECT count(pg_terminate_backend(pid))`+lockers)
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
	awaitThat(t, func() bool {
		_, err := claim(t, j, &epochs)
		return err != nil && !errors.Is(err, persistence.ErrUnavailable) && strings.Contains(err.Error(), "has lost the lock")
	})
	if err := accept(j, &epochs, messages.NewOrderID()); err != nil {
		t.Errorf("what it owns it goes on to own: %v", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitThat(t, func() bool { n, err := claim(t, j, &epochs); return err == nil && n == messages.Partitions })
}
