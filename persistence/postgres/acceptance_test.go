package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Another session accepts an order, and does not end: who accepts it without an epoch waits for that, for a while, and is told. Meanwhile the
// lanes go on, and so do other acceptances. Once the other session has given up, the order is accepted.
func TestAcceptancesDoNotHoldUpLanes(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	j, epochs := opened(t, config)
	blocker, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close(context.Background()) //nolint:errcheck // a test
	tx, err := blocker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := messages.NewOrderID()
	if _, err := tx.Exec(t.Context(), `INSERT INTO holdfast.orders (handle, id, partition, content_hash, intake, in_doubt)
		VALUES (gen_random_uuid(), $1, 0, '', false, false)`, []byte(id)); err != nil {
		t.Fatal(err)
	}
	onlooker, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer onlooker.Close(context.Background()) //nolint:errcheck // a test
	var waiting sync.WaitGroup
	seen := make(chan struct{})
	waiting.Go(func() { // it waits again and again, until that was seen and the lanes have gone on
		for {
			err := accept(j, &nothing, id)
			if !errors.Is(err, persistence.ErrConflict) || !strings.Contains(err.Error(), "another session accepts the order") {
				t.Errorf("an order that another session accepts: %v", err)
				return
			}
			select {
			case <-seen:
				return
			default:
			}
		}
	})
	waitFor(t, onlooker, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH lane AS%'
		AND datname = current_database())`)
	for range 20 {
		if err := accept(j, &epochs, messages.NewOrderID()); err != nil {
			t.Errorf("an acceptance of the owner: %v", err)
		}
	}
	if err := accept(j, &nothing, messages.NewOrderID()); err != nil {
		t.Errorf("another acceptance without an epoch: %v", err)
	}
	close(seen)
	waiting.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := accept(j, &nothing, id); err != nil {
		t.Errorf("the other session has given up: %v", err)
	}
	if n := ask(t, s, databaseOf(config), `SELECT count(*) FROM holdfast.orders`); n != 22 {
		t.Errorf("the database has %d orders", n)
	}
}

// Another session accepts many orders, and does not end: those who accept the same ones are told before the lane counts as stuck.
func TestManyAcceptancesAreNotWaitedForOneByOne(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	var longest, turned atomic.Int64
	config.Loop = func(name string) func() {
		if !strings.HasSuffix(name, "acceptances") {
			return func() {}
		}
		return func() {
			now := time.Now().UnixNano()
			if before := turned.Swap(now); before != 0 {
				longest.Store(max(longest.Load(), now-before))
			}
		}
	}
	j, _ := opened(t, config)
	blocker, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close(context.Background()) //nolint:errcheck // a test
	tx, err := blocker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 40 {
		id := messages.NewOrderID()
		if _, err := tx.Exec(t.Context(), `INSERT INTO holdfast.orders (handle, id, partition, content_hash, intake, in_doubt)
			VALUES (gen_random_uuid(), $1, 0, '', false, false)`, []byte(id)); err != nil {
			t.Fatal(err)
		}
		waiting.Go(func() {
			if err := accept(j, &nothing, id); !errors.Is(err, persistence.ErrConflict) && !errors.Is(err, persistence.ErrBusy) {
				t.Errorf("an order that another session accepts: %v", err)
			}
		})
	}
	waiting.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := accept(j, &nothing, messages.NewOrderID()); err != nil {
		t.Error(err)
	}
	if took := time.Duration(longest.Load()); took > 8*time.Second {
		t.Errorf("the lane did not turn for %v", took)
	}
}
