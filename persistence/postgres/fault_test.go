package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// opened opens a journal until the end of the test, and owns all partitions.
func opened(t *testing.T, config postgres.Config) (j *postgres.Journal, epochs [messages.Partitions]messages.Epoch) {
	t.Helper()
	if err := until(t, func() (err error) { j, err = postgres.Open(t.Context(), config); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	for claimed := 0; claimed < messages.Partitions; { // what a claim found may be changed by one before it that was not answered in time
		if err := until(t, func() (err error) { claimed, err = claim(t, j, &epochs); return err }); err != nil {
			t.Fatal(err)
		}
	}
	return j, epochs
}

// proxied opens a journal behind a proxy, which waits so long for answers.
func proxied(t *testing.T, within time.Duration) (p *proxy, j *postgres.Journal, epochs [messages.Partitions]messages.Epoch) {
	t.Helper()
	s := sharedServer(t)
	p = newProxy(t, s)
	config := configured(t, s, p.address)
	config.AnswerWithin = within
	j, epochs = opened(t, config)
	acceptAny(t, j, &epochs) // the lane has a connection
	return p, j, epochs
}

// accept has an order accepted by the owner of its partition.
func accept(j persistence.Committer, epochs *[messages.Partitions]messages.Epoch, id messages.OrderID) error {
	c := journaltest.Acceptance(string(id))
	c.Epoch = epochs[c.Partition]
	done := make(chan error, 1)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	return <-done
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// acceptAny has an order accepted. One whose outcome is unknown, as an answer took too long, is left alone, and another one is accepted.
func acceptAny(t *testing.T, j persistence.Committer, epochs *[messages.Partitions]messages.Epoch) {
	t.Helper()
	if err := untilKnown(t, func() error { return accept(j, epochs, messages.NewOrderID()) }); err != nil {
		t.Fatal(err)
	}
}

// until calls a function until it is not unavailable any more.
func until(tb testing.TB, do func() error) error {
	tb.Helper()
	return again(tb, do, persistence.ErrUnavailable, persistence.ErrBusy)
}

// untilKnown calls a function until it is not unavailable any more, and its outcome is known.
func untilKnown(tb testing.TB, do func() error) error {
	tb.Helper()
	return again(tb, do, persistence.ErrUnavailable, persistence.ErrBusy, persistence.ErrUnknown)
}

// again calls a function until what comes of it is none of these errors.
func again(tb testing.TB, do func() error, after ...error) error {
	tb.Helper()
	for deadline, tick := time.Now().Add(patience), time.NewTicker(pollEvery); ; <-tick.C {
		err := do()
		if !slices.ContainsFunc(after, func(target error) bool { return errors.Is(err, target) }) {
			return err
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

// The answer to a batch gets lost: nobody reads anything until it is known what came of it.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	p, j, epochs := proxied(t, unhurried)
	p.cut(false, true, true)
	id := messages.NewOrderID()
	if err := accept(j, &epochs, id); !errors.Is(err, persistence.ErrUnknown) {
		t.Fatalf("the answer got lost: %v", err)
	}
	if _, err := j.Find(t.Context(), id); !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("a read before the outcome is known: %v", err)
	}
	if err := accept(j, &epochs, messages.NewOrderID()); !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("a commit without a connection: %v", err)
	}
	p.release()
	if err := until(t, func() error { _, err := j.Find(t.Context(), id); return err }); err != nil {
		t.Errorf("the commit was made, and is not there: %v", err)
	}
	if err := until(t, func() error { return accept(j, &epochs, messages.NewOrderID()) }); err != nil {
		t.Error(err)
	}
}

// The server hangs while many batches wait: no connection is tried for each of them, one after the other.
func TestBatchesWaitForNoConnection(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	p := newProxy(t, s)
	config := configured(t, s, p.address)
	config.AnswerWithin, config.BatchCommits = time.Second, 1
	j, epochs := opened(t, config)
	acceptAny(t, j, &epochs)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	defer s.Resume() //nolint:errcheck // it is ended in any case
	before := p.connections()
	const batches = 20
	var writers sync.WaitGroup
	for range batches {
		writers.Go(func() {
			err := accept(j, &epochs, messages.NewOrderID())
			if !errors.Is(err, persistence.ErrUnavailable) && !errors.Is(err, persistence.ErrUnknown) {
				t.Errorf("nobody answers: %v", err)
			}
		})
	}
	writers.Wait()
	if tried := p.connections() - before; tried >= batches/2 {
		t.Errorf("%d connections were tried for %d batches", tried, batches)
	}
}

// A batch reaches the server only after its lane has made itself known again: it is not made any more.
func TestBatchLate(t *testing.T) {
	t.Parallel()
	p, j, epochs := proxied(t, unhurried)
	p.cut(true, false, false)
	id := messages.NewOrderID()
	if err := accept(j, &epochs, id); !errors.Is(err, persistence.ErrUnknown) {
		t.Fatalf("the batch was held back: %v", err)
	}
	if err := until(t, func() error { _, err := j.Find(t.Context(), id); return err }); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("a batch that was not made: %v", err)
	}
	for _, x := range p.release() {
		if x.held { // the server has done what came late, and ended the session
			x.over.Wait()
		}
	}
	if _, err := j.Find(t.Context(), id); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("a batch was made late: %v", err)
	}
	if err := until(t, func() error { return accept(j, &epochs, id) }); err != nil {
		t.Error(err)
	}
}

// The row of a lane comes to another place than its last batch has left it at: it is found there.
func TestLaneMoved(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	j, epochs := opened(t, config)
	conn, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test
	for _, move := range []string{`SELECT`, `UPDATE holdfast.lanes SET fenced = fenced`, `VACUUM FULL holdfast.lanes`} {
		if _, err := conn.Exec(t.Context(), move); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := accept(j, &epochs, messages.NewOrderID()); err != nil {
				t.Errorf("after %s: %v", move, err)
			}
		}
	}
	if _, err := conn.Exec(t.Context(), `UPDATE holdfast.lanes SET batch = batch + 1`); err != nil { // somebody else has made a batch
		t.Fatal(err)
	}
	if err := accept(j, &epochs, messages.NewOrderID()); !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("a lane whose number is another: %v", err)
	}
}

// The server is killed under load, again and again: what was confirmed is there.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	config := configured(t, s, s.Address)
	j, epochs := opened(t, config)
	for range 3 {
		var mu sync.Mutex
		var confirmed, unknown []messages.OrderID
		var crashed atomic.Bool
		progress := make(chan struct{}, 1000)
		var writers sync.WaitGroup
		for range 16 {
			writers.Go(func() {
				for {
					id := messages.NewOrderID()
					err := accept(j, &epochs, id)
					mu.Lock()
					switch {
					case err == nil:
						confirmed = append(confirmed, id)
					case errors.Is(err, persistence.ErrUnknown):
						unknown = append(unknown, id)
					case !errors.Is(err, persistence.ErrUnavailable) || !crashed.Load():
						t.Error(err)
					}
					mu.Unlock()
					if err != nil {
						return
					}
					select {
					case progress <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 200 {
			<-progress
		}
		crashed.Store(true)
		s.Kill()
		writers.Wait()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		for _, id := range confirmed {
			if err := until(t, func() error { _, err := j.Find(t.Context(), id); return err }); err != nil {
				t.Errorf("a confirmed order: %v", err)
			}
		}
		for _, id := range unknown {
			err := until(t, func() error { _, err := j.Find(t.Context(), id); return err })
			again := until(t, func() error { return accept(j, &epochs, id) })
			if (err == nil) != errors.Is(again, persistence.ErrConflict) {
				t.Errorf("an order of unknown outcome: %v, then %v", err, again)
			}
		}
		t.Logf("%d confirmed, %d unknown", len(confirmed), len(unknown))
	}
}

// Whoever takes over ends a session of the one before that hangs in the middle of a batch.
func TestFenceEndsABatchThatHangs(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	j, epochs := opened(t, config)
	config.AnswerWithin = 5 * time.Second // it ends the session after a quarter of that
	var heir *postgres.Journal
	if err := until(t, func() (err error) { heir, err = postgres.Open(t.Context(), config); return err }); err != nil {
		t.Fatal(err)
	}
	defer heir.Close() //nolint:errcheck // it has no error
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
		VALUES (gen_random_uuid(), $1, 0, '', false, false)`, []byte(id)); err != nil { // the batch finds that when it has its lane's row
		t.Fatal(err)
	}
	onlooker, err := pgx.Connect(t.Context(), config.Shards[0]) // in a transaction, the sessions stay as they were seen first
	if err != nil {
		t.Fatal(err)
	}
	defer onlooker.Close(context.Background()) //nolint:errcheck // a test
	result := make(chan error, 1)
	go func() { result <- accept(j, &epochs, id) }()
	waitFor(t, onlooker, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH lane AS%' AND datname = current_database())`)
	if err := until(t, func() error { return heir.Fence(t.Context(), j.Incarnation()) }); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, persistence.ErrUnknown) {
		t.Errorf("the batch whose session was ended: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := until(t, func() error { _, err := heir.Find(t.Context(), id); return err }); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("the batch was made after the fence: %v", err)
	}
	if err := until(t, func() error { return accept(j, &epochs, id) }); !errors.Is(err, persistence.ErrIncarnationFenced) {
		t.Errorf("who is fenced commits: %v", err)
	}
	if err := until(t, func() error { _, err := journaltest.Own(t.Context(), heir); return err }); err != nil {
		t.Error(err)
	}
}

// waitFor waits until a query says true.
func waitFor(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	awaitThat(t, func() (yes bool) {
		if err := conn.QueryRow(t.Context(), sql).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	})
}

// A server that does not do what it confirms is refused, with the reason.
func TestRefusedServers(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	config := configured(t, s, s.Address)
	for _, test := range []struct{ setting, value, options, want string }{
		{"fsync", "off", "", "fsync = off"},
		{"full_page_writes", "off", "", "full_page_writes = off"},
		{"fsync", "on", "-csynchronous_commit=off", "synchronous_commit = off"},
		{"synchronous_standby_names", "'a'", "-csynchronous_commit=local", "synchronous_commit = local"},
		{"synchronous_standby_names", "'a'", "-csynchronous_commit=remote_write", "synchronous_commit = remote_write"},
	} {
		admin(t, s, fmt.Sprintf("ALTER SYSTEM SET %s = %s", test.setting, test.value))
		reload(t, s, test.setting, strings.Trim(test.value, "'"))
		c := config
		c.Shards = []string{config.Shards[0] + " options='" + test.options + "'"}
		j, err := postgres.Open(t.Context(), c)
		if err == nil {
			_ = j.Close()
		}
		if err == nil || errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s = %s %s: %v", test.setting, test.value, test.options, err)
		}
		// A server that waits for a standby which is not there would not confirm this.
		admin(t, s, "SET synchronous_commit = off", "ALTER SYSTEM RESET "+test.setting)
		reload(t, s, test.setting, "")
	}
	if j, err := postgres.Open(t.Context(), config); err != nil {
		t.Error(err)
	} else if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// reload has the server read its settings again, and waits until one has a value; empty: until it is none of the test's.
func reload(t *testing.T, s *server, setting, value string) {
	t.Helper()
	admin(t, s, "SELECT pg_reload_conf()")
	awaitThat(t, func() bool {
		conn, err := pgx.Connect(t.Context(), s.Address("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		var now string
		err = conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&now)
		_ = conn.Close(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now == value || value == "" && now != "off" && now != "a"
	})
}
