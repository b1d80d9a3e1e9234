package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// shards are two servers of a journal of two shards, and its load.
type shards struct {
	t         *testing.T
	originals [2]*archived
	config    postgres.Config
	j         *postgres.Journal
	epochs    [messages.Partitions]messages.Epoch
}

func newShards(t *testing.T) *shards {
	t.Helper()
	s := &shards{t: t, config: postgres.Config{Logger: discard(), Lanes: 1, Readers: 2, AnswerWithin: unhurried}}
	for n := range s.originals {
		s.originals[n] = newArchived(t)
		s.config.Shards = append(s.config.Shards, s.originals[n].Address(database(t, s.originals[n].server)))
	}
	s.j, s.epochs = opened(t, s.config)
	return s
}

// loads are orders by the shards of their ids and those where they live.
type loads [2][2]*load

func (s *shards) load() (all loads) {
	s.t.Helper()
	for id := range all {
		for lives := range all[id] {
			all[id][lives] = startLoadOf(s.t, s.j, &s.epochs, 2, func() *persistence.Commit {
				c := inShard(messages.Partition(id), messages.Partition(lives))
				return keyed(c.ID, c.Partition)
			})
		}
	}
	all.await()
	return all
}

// keyed is an acceptance of an order that has a key of its own, and lives in a partition.
func keyed(id messages.OrderID, p messages.Partition) *persistence.Commit {
	c := journaltest.Acceptance(string(id))
	c.Partition, c.Handle, c.Row.Partition = p, messages.NewHandle(p, time.Now()), uint32(p)
	c.Row.OrderKey = string(id)
	return c
}

// await waits until each load has gone on.
func (all loads) await() {
	for _, of := range all {
		for _, l := range of {
			l.t.Helper()
			l.await(&l.confirmed, 20)
		}
	}
}

func (all loads) end() {
	for _, of := range all {
		for _, l := range of {
			l.t.Helper()
			l.end()
		}
	}
}

// replace ends the servers, and starts those that were restored in their places.
func (s *shards) replace(restored [2]*server) {
	s.t.Helper()
	for n, original := range s.originals {
		original.Stop()
		startRestored(s.t, restored[n])
		s.config.Shards[n] = restored[n].Address(databaseOf(postgres.Config{Shards: s.config.Shards[n:]}))
	}
}

// accepted has the losses of both shards accepted, one after the other, and opens the journal then. A shard where that was not done is
// refused, also when it was in the other one.
func (s *shards) accepted() (j *postgres.Journal, epochs [messages.Partitions]messages.Epoch) {
	s.t.Helper()
	d := newDesk(s.t, s.config, map[messages.Incarnation]messages.Watermarks{s.j.Incarnation(): s.j.Watermarks()})
	for n := range s.originals {
		s.config.Watermarks = &heard{known: d.all().To}
		refused, err := postgres.Open(s.t.Context(), s.config)
		if err == nil { // the other shard can be used
			_, err = refused.Find(s.t.Context(), inLane(messages.Partition(n)))
			err = errors.Join(err, refused.Close())
		}
		if away, ok := errors.AsType[*persistence.UnavailableError](err); !ok || away.Shard < n || !strings.Contains(err.Error(), "lost commits") {
			s.t.Errorf("what was lost in shard %d was not accepted: %v", n, err)
		}
		if g, err := d.accept(d.show()[n].GetConfirm()); err != nil || g != 1 {
			s.t.Fatalf("accepted for shard %d: generation %d, %v", n, g, err)
		}
	}
	s.config.Watermarks = &heard{known: d.all().To}
	return opened(s.t, s.config)
}

// submit has an order accepted by its owner.
func submit(j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch, c *persistence.Commit) error {
	c.Epoch = epochs[c.Partition]
	done := make(chan error, 1)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	return <-done
}

// Base backups of two shards are taken under load, one after the other, and restored: the second one knows more. Orders that live there,
// and whose ids had their entries in the first shard, are found by their keys, and by their ids only when they were submitted again. Ids whose
// orders are lost are those of the same orders, if they are submitted again, and of no others.
func TestShardsOfDifferentMoments(t *testing.T) {
	t.Parallel()
	s := newShards(t)
	all := s.load()
	kept := [2][2]map[messages.OrderID]int{}
	var restored [2]*server
	for n := range restored {
		for id := range all {
			kept[id][n] = all[id][n].kept()
		}
		restored[n] = s.originals[n].backup(t)
		all.await()
	}
	all.end()
	s.replace(restored)
	j, epochs := s.accepted()
	for id := range all {
		for lives, l := range all[id] {
			if orders, _ := l.restored(j, kept[id][lives]); orders == 0 {
				t.Errorf("of the orders of shard %d none is lost", lives)
			}
		}
	}
	s.wantFoundByKey(j, &epochs, all[0][1])
	s.wantRestored(j, &epochs, all[1][0])
}

// wantFoundByKey looks for orders whose entries are lost.
func (s *shards) wantFoundByKey(j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch, l *load) {
	s.t.Helper()
	count := 0
	for _, w := range l.orders {
		found, _, err := j.List(s.t.Context(), persistence.Query{OrderKey: string(w.id), Limit: 2, Scan: 10})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := j.Find(s.t.Context(), w.id); len(found) != 1 || !errors.Is(err, persistence.ErrNotFound) {
			continue
		}
		count++
		if found[0].Handle != w.handle {
			s.t.Errorf("by its key, order %s is %s, want %s", w.id, found[0].Handle, w.handle)
		}
		err = submit(j, epochs, keyed(w.id, w.handle.Partition()))
		if taken, ok := errors.AsType[*persistence.TakenError](err); !ok || taken.Entry.Handle != w.handle {
			s.t.Errorf("order %s is submitted again: %v", w.id, err)
		}
		if entry, err := j.Find(s.t.Context(), w.id); err != nil || entry.Handle != w.handle {
			s.t.Errorf("order %s, when it was submitted again: %v, %v; want %s", w.id, entry, err, w.handle)
		}
	}
	if count == 0 {
		s.t.Error("no order lives on whose entry is lost")
	}
	s.t.Logf("%d orders are found by their keys alone", count)
}

// wantRestored looks for orders that are lost, and whose entries are not.
func (s *shards) wantRestored(j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch, l *load) {
	s.t.Helper()
	count := 0
	for _, w := range l.orders {
		if _, err := j.Find(s.t.Context(), w.id); err == nil {
			continue
		}
		other := keyed(w.id, w.handle.Partition())
		other.ContentHash = []byte("another order")
		err := submit(j, epochs, other)
		if err == nil { // its entry is lost, too
			continue
		}
		count++
		if !errors.Is(err, persistence.ErrConflict) {
			s.t.Errorf("another order with the id of order %s: %v", w.id, err)
		}
		if _, err := j.Find(s.t.Context(), w.id); !errors.Is(err, persistence.ErrNotFound) {
			s.t.Errorf("order %s, which is lost: %v", w.id, err)
		}
		again := keyed(w.id, w.handle.Partition())
		if err := submit(j, epochs, again); err != nil {
			s.t.Errorf("order %s is submitted again: %v", w.id, err)
		}
		if entry, err := j.Find(s.t.Context(), w.id); err != nil || entry.Handle != again.Handle {
			s.t.Errorf("order %s, when it was submitted again: %v, %v; want %s", w.id, entry, err, again.Handle)
		}
	}
	if count == 0 {
		s.t.Error("no entry is left whose order is lost")
	}
	s.t.Logf("%d orders are lost whose entries are not", count)
}

// Base backups of two shards are taken under load, and recovered to a restore point that was made in both while nothing was committed: all
// that was confirmed before is there, by its id too, and nothing that came later.
func TestShardsOfOneMoment(t *testing.T) {
	t.Parallel()
	s := newShards(t)
	before := s.load()
	var restored [2]*server
	for n := range restored {
		restored[n] = s.originals[n].backup(t)
		before.await()
	}
	before.end()
	for _, original := range s.originals {
		admin(t, original.server, `SELECT pg_create_restore_point('together')`)
	}
	after := s.load()
	after.end()
	for n, original := range s.originals {
		original.Stop() // so that all its WAL is archived
		if err := restored[n].Recover(original.archive, "recovery_target_name=together"); err != nil {
			t.Fatal(err)
		}
	}
	s.replace(restored)
	j, _ := s.accepted()
	for id := range before {
		for lives, l := range before[id] {
			if orders, records := l.restored(j, l.kept()); orders+records != 0 {
				t.Errorf("of what was confirmed before, %d orders and %d records are lost", orders, records)
			}
			for _, w := range l.orders {
				if entry, err := j.Find(t.Context(), w.id); len(w.records) > 0 && (err != nil || entry.Handle != w.handle) {
					t.Errorf("order %s: %v, %v; want %s", w.id, entry, err, w.handle)
				}
			}
			for _, w := range after[id][lives].orders {
				if _, err := j.Find(t.Context(), w.id); !errors.Is(err, persistence.ErrNotFound) {
					t.Errorf("order %s, which came later: %v", w.id, err)
				}
			}
		}
	}
}
