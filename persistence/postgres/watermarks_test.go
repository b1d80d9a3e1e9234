package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// heard is what a node has heard of others, as a test tells it.
type heard struct {
	mu      sync.Mutex
	known   map[messages.Incarnation]messages.Watermarks
	cover   bool
	asked   int
	covered map[messages.Incarnation]messages.Watermarks
	// answers is what is heard when others are asked.
	answers map[messages.Incarnation]messages.Watermarks
}

func (h *heard) Known() (known map[messages.Incarnation]messages.Watermarks, cover bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.known), h.cover
}

func (h *heard) Ask(context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	h.hear(h.answers)
}

func (h *heard) Covered(_ int, shown map[messages.Incarnation]messages.Watermarks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.covered = shown
}

func (h *heard) hear(more map[messages.Incarnation]messages.Watermarks) {
	if h.known == nil {
		h.known = map[messages.Incarnation]messages.Watermarks{}
	}
	maps.Copy(h.known, more)
}

func (h *heard) tell(who messages.Incarnation, w messages.Watermarks, cover bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hear(map[messages.Incarnation]messages.Watermarks{who: w})
	h.cover, h.covered = cover, nil
}

// lacking stops a standby from hearing more, has an order accepted, and makes the standby the primary: it lacks the order.
func (p *pair) lacking(t *testing.T, j *postgres.Journal, epochs *[messages.Partitions]messages.Epoch, name string) messages.OrderID {
	t.Helper()
	p.catchUp(t)
	admin(t, p.standby, `ALTER SYSTEM SET primary_conninfo = ''`, `SELECT pg_reload_conf()`)
	awaitThat(t, func() bool { return ask(t, p.standby, name, `SELECT count(*) FROM pg_stat_wal_receiver`) == 0 })
	id := inLane(1)
	if err := accept(j, epochs, id); err != nil {
		t.Fatal(err)
	}
	crash(t, p.primary, func() {})
	p.promote(t)
	return id
}

// joined opens a journal that another incarnation has, until the end of the test. It owns nothing.
func joined(t *testing.T, config postgres.Config) (j *postgres.Journal) {
	t.Helper()
	if err := until(t, func() (err error) { j, err = postgres.Open(t.Context(), config); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// nothing is what an incarnation owns that has joined.
var nothing [messages.Partitions]messages.Epoch //nolint:gochecknoglobals // a constant

// writings sums up what journals have written to a server.
const writings = `SELECT (SELECT count(*) FROM holdfast.orders) * 1000000 + (SELECT sum(batch)::bigint FROM holdfast.lanes)`

// A standby that lacks what was confirmed to another incarnation, which is no more, is refused by one that opens the journal only then, and
// that has to ask to know. The right server is taken as soon as it is back.
func TestOpenAsksWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	config := p.config(t, p.primary, p.standby)
	j, epochs := opened(t, config)
	name := databaseOf(config)
	id := p.lacking(t, j, &epochs, name)
	before := j.Incarnation()
	h := &heard{answers: map[messages.Incarnation]messages.Watermarks{before: j.Watermarks()}}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	was := ask(t, p.standby, name, writings)

	config.Watermarks = h
	_, err := postgres.Open(t.Context(), config)
	want := fmt.Sprintf("lane 1 of %s has made batch %d, and the database has batch ", before, j.Watermarks().Shards[0].Batches[2])
	if !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("a server that lacks something: %v; want %s", err, want)
	}
	if h.asked == 0 {
		t.Error("nobody was asked")
	}
	if now := ask(t, p.standby, name, writings); now != was {
		t.Errorf("the server that lacks something was written to: %d, and was %d", now, was)
	}

	if err := p.startPrimary(); err != nil {
		t.Fatal(err)
	}
	j = joined(t, config)
	if _, err := j.Find(t.Context(), id); err != nil {
		t.Errorf("what was confirmed, once the right server is back beside the other one: %v", err)
	}
	for lane := range messages.Partition(2) {
		acceptAtLast(t, j, &nothing, inLane(lane))
	}
}

// Word that a server lacks something comes only when it is in use: it is not used any more, by who reads as by who commits, and the right
// one is, once it is back.
func TestToldLate(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	config := p.config(t, p.primary, p.standby)
	j, epochs := opened(t, config)
	name := databaseOf(config)
	id := p.lacking(t, j, &epochs, name)
	h := &heard{}
	config.Watermarks = h
	late := joined(t, config)
	if err := accept(late, &nothing, inLane(0)); err != nil {
		t.Errorf("nobody knows better: %v", err)
	}
	h.tell(j.Incarnation(), j.Watermarks(), false)
	awaitThat(t, func() bool { _, err := late.Find(t.Context(), id); return errors.Is(err, persistence.ErrUnavailable) })
	awaitRefusal(t, late, &nothing, fmt.Sprintf("lane 1 of %s has made batch ", j.Incarnation()))

	h = &heard{known: map[messages.Incarnation]messages.Watermarks{j.Incarnation(): j.Watermarks()}}
	config.Watermarks = h
	if err := p.startPrimary(); err != nil {
		t.Fatal(err)
	}
	late = joined(t, config)
	if _, err := late.Find(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// What an incarnation had confirmed that is no more is covered by the next one, whose own watermark then stands for it. It may have been
// removed from the database by then; what a later generation has does not count, nor does a database of another journal.
func TestCovered(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	first, epochs := opened(t, config)
	if err := accept(first, &epochs, inLane(0)); err != nil {
		t.Fatal(err)
	}
	of := first.Watermarks()
	if len(of.Shards) != 1 || of.Shards[0].Batches[1] == 0 || of.Journal == "" {
		t.Fatalf("what was confirmed is %+v", of)
	}
	h := &heard{}
	config.Watermarks = h
	h.tell(first.Incarnation(), of, true)
	second := joined(t, config)
	isCovered := func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.covered[first.Incarnation()].Cover(of)
	}
	before := second.Watermarks().Shards[0].Batches[0]
	awaitThat(t, isCovered)
	if now := second.Watermarks().Shards[0].Batches[0]; now <= before {
		t.Errorf("its own row has batch %d, and had %d", now, before)
	}

	name := databaseOf(config)
	const mark = `WITH gone AS (DELETE FROM holdfast.lanes WHERE incarnation = '%s' AND lane >= 0 RETURNING 1)
		SELECT count(*) FROM gone`
	ask(t, s, name, fmt.Sprintf(mark, first.Incarnation()))
	awaitThat(t, func() bool {
		_, err := second.Find(t.Context(), messages.NewOrderID())
		return errors.Is(err, persistence.ErrUnavailable) && strings.Contains(err.Error(), "the database does not know it")
	})
	ask(t, s, name, `WITH w AS (UPDATE holdfast.lanes SET batch = 9223372036854775807 WHERE lane = -1 AND incarnation = '`+
		string(first.Incarnation())+`' RETURNING 1) SELECT count(*) FROM w`)
	awaitThat(t, func() bool {
		_, err := second.Find(t.Context(), messages.NewOrderID())
		return errors.Is(err, persistence.ErrNotFound)
	})

	const nobody = "node/0"
	lost := messages.Watermarks{Journal: of.Journal, Shards: []messages.ShardWatermarks{{Batches: []int64{0, 1 << 40}}}}
	h.tell(nobody, lost, false)
	awaitThat(t, func() bool {
		_, err := second.Find(t.Context(), messages.NewOrderID())
		return errors.Is(err, persistence.ErrUnavailable) && strings.Contains(err.Error(), "lane 0 of node/0 has made batch")
	})
	ask(t, s, name, `WITH w AS (UPDATE holdfast.meta SET generation = 1 RETURNING 1) SELECT count(*) FROM w`)
	awaitThat(t, func() bool {
		_, err := second.Find(t.Context(), messages.NewOrderID())
		return errors.Is(err, persistence.ErrNotFound)
	})
	lost.Journal, lost.Shards[0].Generation = "another", 1
	h.tell(nobody, lost, false)
	awaitThat(t, func() bool {
		_, err := second.Find(t.Context(), messages.NewOrderID())
		return errors.Is(err, persistence.ErrUnavailable) && strings.Contains(err.Error(), "has committed to another")
	})
}

// An empty database is not made a journal of, where another one has confirmed something.
func TestEmptyDatabaseLacksAll(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	config.Watermarks = &heard{known: map[messages.Incarnation]messages.Watermarks{
		"node/0": {Journal: "another", Shards: []messages.ShardWatermarks{{Batches: []int64{0, 1}}}},
	}}
	if _, err := postgres.Open(t.Context(), config); !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "journal none") {
		t.Errorf("an empty database: %v", err)
	}
	if n := ask(t, s, databaseOf(config), `SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'`); n != 0 {
		t.Error("the schema was made")
	}
}
