package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// inShard accepts an order of which the id and the order itself live in shards of two.
func inShard(id, lives messages.Partition) *persistence.Commit {
	for {
		c := journaltest.Acceptance(string(messages.NewOrderID()))
		if c.Partition%2 != id {
			continue
		}
		if id != lives { // as an order does that has a key
			c.Partition ^= 1
			c.Handle, c.Row.Partition = messages.NewHandle(c.Partition, time.Now()), uint32(c.Partition)
		}
		return c
	}
}

// acceptIn has an order accepted that lives in a shard.
func acceptIn(j persistence.Committer, epochs *[messages.Partitions]messages.Epoch, shard messages.Partition) error {
	c := inShard(shard, shard)
	c.Epoch = epochs[c.Partition]
	done := make(chan error, 1)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	return <-done
}

// isAway makes sure that an error says that the second shard is away.
func isAway(t *testing.T, what string, err error) {
	t.Helper()
	if away, ok := errors.AsType[*persistence.UnavailableError](err); !ok || away.Shard != 1 || !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("%s: %v, want that shard 1 is away", what, err)
	}
}

// inTime calls a function until what comes of it is not that the first shard is away: it is there, and may be slow.
func inTime(t *testing.T, do func() error) (err error) {
	t.Helper()
	awaitThat(t, func() bool {
		err = do()
		away, ok := errors.AsType[*persistence.UnavailableError](err)
		return !ok || away.Shard != 0
	})
	return err
}

// unread counts the partitions whose owners are not known, by shard, as soon as those of the first one are.
func unread(t *testing.T, j persistence.Journal) (count [2]int) {
	t.Helper()
	awaitThat(t, func() bool {
		count = [2]int{}
		owners, err := j.Owners(t.Context())
		if err != nil && !errors.Is(err, persistence.ErrUnavailable) {
			t.Fatal(err)
		}
		for p, owner := range owners {
			if owner.Unread {
				count[p%2]++
			}
		}
		return err == nil && count[0] == 0
	})
	return count
}

// isSecond is what unread counts when the second shard is away.
var isSecond = [2]int{0, messages.Partitions / 2} //nolint:gochecknoglobals // a constant

// claim claims all partitions that are free and known, and notes their epochs.
func claim(t *testing.T, j persistence.Journal, epochs *[messages.Partitions]messages.Epoch) (claimed int, err error) {
	t.Helper()
	owners, err := j.Owners(t.Context())
	if err != nil {
		return 0, err
	}
	var seen []persistence.Holding
	for p, owner := range owners {
		seen = append(seen, persistence.Holding{Partition: messages.Partition(p), Epoch: owner.Epoch})
	}
	got, err := j.Claim(t.Context(), seen)
	for _, h := range got {
		epochs[h.Partition] = h.Epoch
	}
	return len(got), err
}

// twoServers are servers of a journal of two shards, which is not made yet. Answers are waited for unhurriedly.
func twoServers(t *testing.T) (servers [2]*server, config postgres.Config) {
	t.Helper()
	config = postgres.Config{Logger: discard(), Lanes: 1, Readers: 2, AnswerWithin: unhurried}
	for n := range servers {
		servers[n] = ownServer(t, small...)
		config.Shards = append(config.Shards, servers[n].Address(database(t, servers[n])))
	}
	return servers, config
}

// The server of one shard of two hangs under load, crashes, and is back: what lives in the other shard goes on meanwhile; what needs this
// one waits, and completes.
func TestShardAway(t *testing.T) {
	t.Parallel()
	servers, config := twoServers(t)
	config.AnswerWithin = time.Second // a server that hangs is given up after that
	j, epochs := opened(t, config)
	here := startLoadOf(t, j, &epochs, 4, func() *persistence.Commit { return inShard(0, 0) })
	away := startLoadOf(t, j, &epochs, 4, func() *persistence.Commit { return inShard(1, 1) })
	keyed := startLoadOf(t, j, &epochs, 4, func() *persistence.Commit { return inShard(1, 0) })
	loads := []*load{here, away, keyed}
	for _, l := range loads {
		l.await(&l.confirmed, 50)
	}
	crash(t, servers[1], func() {
		away.awaitHeldUp()
		keyed.awaitHeldUp()
		before := [2]int64{away.confirmed.Load(), keyed.confirmed.Load()}
		here.await(&here.confirmed, 200)
		if now := [2]int64{away.confirmed.Load(), keyed.confirmed.Load()}; now != before {
			t.Errorf("without the shard of their ids, %v commits were confirmed, and then %v", before, now)
		}
		if got := unread(t, j); got != isSecond {
			t.Errorf("by shard, the owners of %v partitions are not known", got)
		}
		awaitThat(t, func() bool { // who waits for the other shard never has an answer sooner than it is given up
			began := time.Now()
			_ = unread(t, j)
			return time.Since(began) < config.AnswerWithin
		})
		isAway(t, "a list", inTime(t, func() error {
			_, _, err := j.List(t.Context(), persistence.Query{Limit: 10, Scan: 10})
			return err
		}))
		isAway(t, "a count", inTime(t, func() error { _, err := j.Fallout(t.Context()); return err }))
		if err := inTime(t, func() error { _, err := j.CatalogVersion(t.Context()); return err }); err != nil {
			t.Errorf("the catalogue, which is in the first shard: %v", err)
		}
	})
	here.await(&here.confirmed, 200)
	if err := servers[1].Start(small...); err != nil {
		t.Fatal(err)
	}
	for _, l := range loads {
		l.await(&l.confirmed, 200)
	}
	for _, l := range loads {
		l.end()
	}
	awaitThat(t, func() bool { return unread(t, j) == [2]int{} })
}

// A journal is opened while one shard of two is away: what lives in the other one is taken over, and can be used. The one that was away
// follows by itself.
func TestShardAwayAtOpen(t *testing.T) {
	t.Parallel()
	for name, alone := range map[string]bool{"shared": false, "alone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers, config := twoServers(t)
			config.Alone = alone
			servers[1].Stop()
			if j, err := postgres.Open(t.Context(), config); !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), errNew) {
				t.Fatalf("a journal is made while a database of it is away: %v, %v", j, err)
			}
			startAgain(t, servers[1])
			before, _ := opened(t, config)
			if alone {
				if err := before.Close(); err != nil {
					t.Fatal(err)
				}
			}
			servers[1].Stop()
			j, err := postgres.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close() //nolint:errcheck // it has no error
			if !alone {     // else the journal does it
				isAway(t, "a fence", j.Fence(t.Context(), before.Incarnation()))
			}
			var epochs [messages.Partitions]messages.Epoch
			if got := unread(t, j); got != isSecond {
				t.Errorf("by shard, the owners of %v partitions are not known", got)
			}
			claimed, err := claim(t, j, &epochs)
			isAway(t, "a claim", err)
			if claimed != messages.Partitions/2 {
				t.Errorf("%d partitions were claimed", claimed)
			}
			if err := acceptIn(j, &epochs, 0); err != nil {
				t.Errorf("an order of the shard that answers: %v", err)
			}
			isAway(t, "an order of the other one", acceptIn(j, &epochs, 1))

			startAgain(t, servers[1])
			if !alone {
				if err := until(t, func() error { return j.Fence(t.Context(), before.Incarnation()) }); err != nil {
					t.Fatal(err)
				}
			}
			awaitThat(t, func() bool { n, err := claim(t, j, &epochs); return err == nil && n == messages.Partitions })
			for shard := range messages.Partition(2) {
				if err := until(t, func() error { return acceptIn(j, &epochs, shard) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// startAgain starts a server that was stopped.
func startAgain(t *testing.T, s *server) {
	t.Helper()
	if err := s.Start(small...); err != nil {
		t.Fatal(err)
	}
}

// errNew is how it is told that a journal is not made yet.
const errNew = "one is made when all its databases answer"

// Whoever fences an incarnation in a shard that it has not come to yet ends its right to commit there, too.
func TestFencedWhereItIsAway(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	p := newProxy(t, s)
	config := configured(t, s, s.Address)
	second := database(t, s)
	config.Shards = append(config.Shards, s.Address(second))
	heir, _ := opened(t, config)
	config.Shards = []string{config.Shards[0], p.address(second)}
	p.hold(false, false, true)
	j, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // it has no error
	if got := unread(t, j); got != isSecond {
		t.Fatalf("by shard, the owners of %v partitions are not known", got)
	}
	if err := heir.Fence(t.Context(), j.Incarnation()); err != nil {
		t.Fatal(err)
	}
	p.release()
	seen := []persistence.Holding{{Partition: 1, Epoch: 1}}
	if err := until(t, func() error { _, err := j.Claim(t.Context(), seen); return err }); !errors.Is(err, persistence.ErrIncarnationFenced) {
		t.Errorf("it claims partitions: %v", err)
	}
	const lanes = `SELECT count(*) FROM holdfast.lanes WHERE incarnation = '%s' AND fenced = %t`
	for fenced, want := range map[bool]int64{true: 3, false: 0} {
		if got := ask(t, s, second, fmt.Sprintf(lanes, j.Incarnation(), fenced)); got != want {
			t.Errorf("of its lanes, that of acceptances included, and its own row, %d have fenced = %t, want %d", got, fenced, want)
		}
	}
}

// A database that is empty though the journal had all its shards has lost one, and is refused: whichever it is, and also where it was
// away when the journal was opened.
func TestShardLost(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	config.Shards = append(config.Shards, s.Address(database(t, s)))
	opened(t, config)
	for n := range config.Shards {
		lost := config
		lost.Shards = []string{config.Shards[0], config.Shards[1]}
		lost.Shards[n] = s.Address(database(t, s))
		j, err := postgres.Open(t.Context(), lost)
		if err == nil {
			_ = j.Close()
		}
		if err == nil || errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "is empty, and had a shard") {
			t.Errorf("shard %d is empty: %v", n, err)
		}
	}
}
