package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
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

// schemas counts the schemas of all tests.
var schemas atomic.Int64 //nolint:gochecknoglobals // so that no two have the same name

func (b backend) NewStore(tb testing.TB) journaltest.Store {
	tb.Helper()
	s := &store{config: postgres.Config{Schema: fmt.Sprint("test", schemas.Add(1)), Logger: discard(), Lanes: 2, Readers: 3}}
	for range b.shards {
		name := fmt.Sprint("shard", schemas.Add(1))
		admin(tb, b.server, "CREATE DATABASE "+name)
		tb.Cleanup(func() { admin(tb, b.server, "DROP DATABASE "+name+" WITH (FORCE)") })
		s.config.Shards = append(s.config.Shards, b.server.address(name))
	}
	return s
}

// admin has a server execute statements, in one session.
func admin(tb testing.TB, s *server, statements ...string) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.address("postgres"))
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

// store is opened anew as a node would do it that takes over: who closed it is fenced.
type store struct {
	config postgres.Config
	closed []messages.Incarnation
}

func (s *store) Shared() {}

func (s *store) Open(tb testing.TB) persistence.Journal {
	tb.Helper()
	j, err := postgres.Open(tb.Context(), s.config)
	if err != nil {
		tb.Fatal(err)
	}
	for _, who := range s.closed {
		if err := j.Fence(tb.Context(), who); err != nil {
			tb.Fatal(err)
		}
	}
	s.closed = nil
	return &closing{j, s}
}

// closing notes that a journal was closed.
type closing struct {
	*postgres.Journal

	store *store
}

func (c *closing) Close() error {
	c.store.closed = append(c.store.closed, c.Incarnation())
	return c.Journal.Close()
}
