package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// isNear makes sure that the time of a journal is that of its first server's clock, which is this system's.
func isNear(t *testing.T, j *postgres.Journal, ahead time.Duration) {
	t.Helper()
	const late = 2 * time.Second // on a busy machine
	last := time.Time{}
	for range 100 {
		before := time.Now().Add(ahead)
		now := j.Now()
		after := time.Now().Add(ahead)
		if now.Before(before.Add(-late)) || now.After(after) || now.Before(last) {
			t.Fatalf("between %v and %v the time of the journal is %v, after %v", before, after, now, last)
		}
		last = now
	}
	if offset := j.Offset(); offset > ahead || offset < ahead-late {
		t.Errorf("the time of the journal is ahead by %v, not %v", offset, ahead)
	}
}

// noted is what a shard says of its clock.
func noted(t *testing.T, config postgres.Config, shard int) (ahead *int64) {
	t.Helper()
	inShardOf(t, config, shard, func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), `SELECT clock_ahead FROM holdfast.meta`).Scan(&ahead)
	})
	return ahead
}

func inShardOf(t *testing.T, config postgres.Config, shard int, do func(*pgx.Conn) error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), config.Shards[shard])
	if err == nil {
		err = errors.Join(do(conn), conn.Close(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The time of a journal is that of its first shard, also of one that is opened while that is away, as the others note by how much their
// clocks are ahead. If none has, the journal can't be opened.
func TestTime(t *testing.T) {
	t.Parallel()
	servers, config := twoServers(t)
	j, _ := opened(t, config)
	isNear(t, j, 0)
	if noted(t, config, 0) != nil {
		t.Error("the first shard notes by how much its clock is ahead of itself")
	}
	if is := noted(t, config, 1); is == nil || time.Duration(*is).Abs() > time.Second {
		t.Fatalf("of two clocks that are the same one is noted to be ahead by %v", is)
	}
	// What is noted and is not so is corrected by whoever knows better.
	note := func(ahead any) {
		inShardOf(t, config, 1, func(conn *pgx.Conn) error {
			_, err := conn.Exec(t.Context(), `UPDATE holdfast.meta SET clock_ahead = $1`, ahead)
			return err
		})
	}
	for _, wrong := range []time.Duration{time.Hour, -time.Hour} {
		note(wrong.Nanoseconds())
		if err := until(t, func() error {
			if is := noted(t, config, 1); time.Duration(*is).Abs() > time.Second {
				return fmt.Errorf("%w: it is noted to be ahead by %v", persistence.ErrUnavailable, time.Duration(*is))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	servers[0].Stop()
	second, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	isNear(t, second, 0)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	const hour = time.Hour
	note(hour.Nanoseconds())
	if second, err = postgres.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	isNear(t, second, -hour)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	note(nil)
	if _, err = postgres.Open(t.Context(), config); !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "time") {
		t.Errorf("without a known time the journal was opened: %v", err)
	}
}
