package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			journaltest.Run(t, backend{server: s, shards: shards})
		})
	}
}

type backend struct {
	server *server
	shards int
}

// databases counts the databases of all tests.
var databases atomic.Int64 //nolint:gochecknoglobals // so that no two have the same name

func (b backend) NewStore(tb testing.TB) journaltest.Store {
	tb.Helper()
	config := postgres.Config{Logger: discard(), Lanes: 2, Readers: 3, AnswerWithin: unhurried}
	for range b.shards {
		name := database(tb, b.server)
		tb.Cleanup(func() { admin(tb, b.server, "DROP DATABASE "+name+" WITH (FORCE)") })
		config.Shards = append(config.Shards, b.server.Address(name))
	}
	return journaltest.Shared(func(tb testing.TB) persistence.Journal {
		tb.Helper()
		j, err := postgres.Open(tb.Context(), config)
		if err != nil {
			tb.Fatal(err)
		}
		return j
	})
}

// database makes an empty database, and returns its name.
func database(tb testing.TB, s *server) string {
	tb.Helper()
	name := fmt.Sprint("shard", databases.Add(1))
	admin(tb, s, "CREATE DATABASE "+name)
	return name
}

// admin has a server execute statements, in one session.
func admin(tb testing.TB, s *server, statements ...string) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.Address("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			tb.Error(err)
		}
	}
	if err := conn.Close(ctx); err != nil {
		tb.Error(err)
	}
}

// The server takes each variant of the statement that makes a batch.
func TestStatements(t *testing.T) {
	t.Parallel()
	config := configured(t, sharedServer(t), sharedServer(t).Address)
	opened(t, config)
	conn, err := pgx.Connect(t.Context(), config.Shards[0]+" options=-csearch_path=holdfast")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test
	for _, sql := range postgres.Statements() {
		if _, err := conn.Prepare(t.Context(), "", sql); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
}
