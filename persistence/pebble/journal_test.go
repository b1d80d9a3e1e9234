package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// isSync tells an operation that makes the log durable.
func isSync(op errorfs.Op) bool {
	return path.Ext(op.Path) == ".log" &&
		(op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo)
}

// heldDisk is a disk whose log syncs wait while it is held.
type heldDisk struct {
	vfs.FS

	mu      sync.Mutex
	release chan struct{}
	// held has a token for each sync that waits.
	held chan struct{}
}

func newHeldDisk() *heldDisk {
	d := &heldDisk{held: make(chan struct{}, 100)}
	d.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !isSync(op) {
			return nil
		}
		d.mu.Lock()
		release := d.release
		d.mu.Unlock()
		if release != nil {
			d.held <- struct{}{}
			<-release
		}
		return nil
	}))
	return d
}

func (d *heldDisk) hold() (release func()) {
	ch := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release = ch
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.release = nil
		close(ch)
	}
}

// TestReadsAreDurable reads what is written and not yet durable: the read waits.
func TestReadsAreDurable(t *testing.T) {
	t.Parallel()
	disk := newHeldDisk()
	cfg := testConfig(disk)
	cfg.NoteAfter = time.Hour
	j := mustOpen(t, cfg)
	release := disk.hold()
	c := journaltest.Acceptance("order")
	done := make(chan error, 1)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	<-disk.held
	reads := map[string]func(context.Context) error{
		"Find": func(ctx context.Context) error { _, err := j.Find(ctx, "order"); return err },
		"Row":  func(ctx context.Context) error { _, err := j.Row(ctx, c.Handle); return err },
		"Records": func(ctx context.Context) (err error) {
			for _, err = range j.Records(ctx, c.Handle, 0) {
				break
			}
			return err
		},
		"List": func(ctx context.Context) error {
			_, _, err := j.List(ctx, persistence.Query{Limit: 1, Scan: 1})
			return err
		},
		"Open": func(ctx context.Context) error { _, err := j.Open(ctx, c.Partition, messages.Handle{}, 1); return err },
	}
	for name, read := range reads {
		err := persistence.ErrNotFound
		for errors.Is(err, persistence.ErrNotFound) { // The engine shows it soon after it began to write.
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			err = read(ctx)
			cancel()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s did not wait: %v", name, err)
		}
	}
	select {
	case err := <-done:
		t.Errorf("confirmed before it was durable: %v", err)
	default:
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for name, read := range reads {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustClose(t, j)
}

// epochOf claims a partition, unless it is owned already.
func epochOf(tb testing.TB, j *Journal, p messages.Partition) messages.Epoch {
	tb.Helper()
	owners, err := j.Owners(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	if owners[p].Incarnation == j.Incarnation() {
		return owners[p].Epoch
	}
	claimed, err := j.Claim(tb.Context(), []persistence.Holding{{Partition: p, Epoch: owners[p].Epoch}})
	if err != nil || len(claimed) != 1 {
		tb.Fatalf("claim of %d: %+v, %v", p, claimed, err)
	}
	return claimed[0].Epoch
}

// TestQueueBounds fills the queue while the disk is held: acceptances may have half, the last quarter of it
// only interactive ones, and nothing blocks.
func TestQueueBounds(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]func(*Config){
		"Commits": func(c *Config) { c.QueueCommits = 8 },
		"Bytes":   func(c *Config) { c.QueueBytes = 1 << 16 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := newHeldDisk()
			cfg := testConfig(disk)
			cfg.NoteAfter = time.Hour
			bound(&cfg)
			j := mustOpen(t, cfg)
			running := journaltest.Acceptance("running")
			if err := commitOne(j, running); err != nil {
				t.Fatal(err)
			}
			epoch := epochOf(t, j, running.Partition)
			empty(j)
			release := disk.hold()
			var wg sync.WaitGroup
			var mu sync.Mutex
			results := map[string]int{}
			hand := func(kind string, c *persistence.Commit) {
				c.Record = append(bytes.Clone(c.Record), make([]byte, 8000)...)
				wg.Add(1)
				c.Done = func(err error) {
					mu.Lock()
					defer mu.Unlock()
					switch {
					case errors.Is(err, persistence.ErrBusy):
						results[kind+" refused"]++
					case err == nil || errors.Is(err, persistence.ErrConflict):
						results[kind+" made"]++
					default:
						t.Error(err)
					}
					wg.Done()
				}
				j.Commit(c)
			}
			for i := range 20 {
				hand("acceptance", journaltest.Acceptance(fmt.Sprint("order-", i)))
			}
			for i := range 20 {
				urgent := journaltest.Acceptance(fmt.Sprint("urgent-", i))
				urgent.Row.Priority = messages.Interactive
				hand("urgent", urgent)
			}
			for range 20 {
				hand("commit", &persistence.Commit{
					Partition: running.Partition, Epoch: epoch, Handle: running.Handle, Expected: 1, Events: 1, Record: running.Record,
				})
			}
			if commits, bytes := j.lane.Depth(); commits > 8 || bytes > 1<<16 {
				t.Errorf("%d commits with %d bytes wait", commits, bytes)
			}
			<-disk.held
			release()
			wg.Wait()
			want := map[string]int{
				"acceptance made": 3, "acceptance refused": 17, "urgent made": 1, "urgent refused": 19,
				"commit made": 4, "commit refused": 16,
			}
			for kind, n := range want {
				if results[kind] != n {
					t.Errorf("%s: %d, want %d", kind, results[kind], n)
				}
			}
			empty(j) // there is room again
			if err := commitOne(j, journaltest.Acceptance("later")); err != nil {
				t.Error(err)
			}
			mustClose(t, j)
		})
	}
}

// empty waits until the queue is: requests are answered a moment before there is room for others.
func empty(j *Journal) {
	for commits, _ := j.lane.Depth(); commits > 0; commits, _ = j.lane.Depth() {
		runtime.Gosched()
	}
}

func commitOne(j *Journal, c *persistence.Commit) error {
	done := make(chan error, 1)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	return <-done
}

// TestLowWater takes disk space away and gives it back.
func TestLowWater(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	var unknown atomic.Bool
	free.Store(1000)
	cfg := testConfig(vfs.NewMem())
	cfg.LowWaterBytes, cfg.FreeInterval = 500, time.Hour
	cfg.Free = func() (uint64, error) {
		if unknown.Load() {
			return 0, errors.New("unknown")
		}
		return free.Load(), nil
	}
	j := mustOpen(t, cfg)
	first := journaltest.Acceptance("first")
	if err := commitOne(j, first); err != nil {
		t.Fatal(err)
	}
	free.Store(499)
	j.checkFree()
	err := commitOne(j, journaltest.Acceptance("second"))
	if !errors.Is(err, persistence.ErrFull) || !strings.Contains(err.Error(), "499 bytes free") || !strings.Contains(err.Error(), "from 500 bytes on") {
		t.Errorf("acceptance below the mark: %v", err)
	}
	var taken *persistence.TakenError
	if err := commitOne(j, journaltest.Acceptance("first")); !errors.As(err, &taken) || taken.Entry.Handle != first.Handle {
		t.Errorf("the same again below the mark: %v", err)
	}
	next := &persistence.Commit{Partition: first.Partition, Epoch: epochOf(t, j, first.Partition), Handle: first.Handle, Expected: 1, Events: 1, Record: first.Record}
	if err := commitOne(j, next); err != nil {
		t.Errorf("running order below the mark: %v", err)
	}
	child := journaltest.Acceptance("child")
	child.Child = true
	if err := commitOne(j, child); err != nil {
		t.Errorf("child of a running order below the mark: %v", err)
	}
	if m := j.Metrics(); !m.Full || m.FreeBytes != 499 {
		t.Errorf("metrics: %+v", m)
	}
	unknown.Store(true)
	j.checkFree()
	if err := commitOne(j, journaltest.Acceptance("third")); !errors.Is(err, persistence.ErrFull) {
		t.Errorf("acceptance when it is not known: %v", err)
	}
	unknown.Store(false)
	free.Store(500)
	j.checkFree()
	if err := commitOne(j, journaltest.Acceptance("fourth")); err != nil {
		t.Errorf("acceptance at the mark: %v", err)
	}
	mustClose(t, j)
}

// TestLowWaterSoon takes disk space away long before it is asked for by the clock: a disk that is being filled is asked
// for more often.
func TestLowWaterSoon(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(1 << 20)
	cfg := testConfig(vfs.NewMem())
	cfg.LowWaterBytes, cfg.FreeInterval = 1<<16, time.Hour
	cfg.Free = func() (uint64, error) { return free.Load(), nil }
	j := mustOpen(t, cfg)
	free.Store(1)
	size := len(journaltest.Acceptance("0").Record)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := range 1<<16/spentShare/size + 2 {
		if err := commitOne(j, journaltest.Acceptance(fmt.Sprint(n))); err != nil && !errors.Is(err, persistence.ErrFull) {
			t.Fatal(err)
		}
	}
	for !j.full.Load() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("nobody asked for the free disk space")
		}
	}
	mustClose(t, j)
}

// batches is an observer that keeps what it is told.
type batches struct {
	mu  sync.Mutex
	all []persistence.Batch
}

func (b *batches) Synced(batch persistence.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, batch)
}

// TestBatches holds the disk: what comes meanwhile goes into few batches of bounded size.
func TestBatches(t *testing.T) {
	t.Parallel()
	disk := newHeldDisk()
	seen := &batches{}
	cfg := testConfig(disk)
	cfg.BatchBytes, cfg.Observer, cfg.NoteAfter = 10_000, seen, time.Hour
	j := mustOpen(t, cfg)
	release := disk.hold()
	var wg sync.WaitGroup
	const n = 101
	for i := range n {
		c := journaltest.Acceptance(fmt.Sprint("order-", i))
		c.Record = append(bytes.Clone(c.Record), make([]byte, 1000)...)
		if i == 50 {
			c.Record = append(c.Record, make([]byte, 1<<20)...) // Larger than a batch, than the table in memory too.
		}
		wg.Add(1)
		c.Done = func(err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		}
		j.Commit(c)
	}
	<-disk.held
	release()
	wg.Wait()
	commits := 0
	for _, b := range seen.all {
		commits += b.Commits - b.Failed
		if b.Commits > 11 || b.Took < 0 || b.Waited < 0 || b.Bytes < 1000 {
			t.Errorf("batch: %+v", b)
		}
	}
	if commits != n || len(seen.all) > 14 {
		t.Errorf("%d commits in %d batches", commits, len(seen.all))
	}
	m := j.Metrics()
	if m.Commits != n || m.Batches != uint64(len(seen.all)) || m.Fsyncs != m.Batches || m.DiskBytes == 0 || m.LogBytes < 1<<20 || m.QueuedCommits != 0 {
		t.Errorf("metrics: %+v", m)
	}
	mustClose(t, j)
	if m := j.Metrics(); m != (Metrics{}) {
		t.Errorf("metrics after Close: %+v", m)
	}
}

func TestCommitTooLarge(t *testing.T) {
	t.Parallel()
	cfg := testConfig(vfs.NewMem())
	cfg.CommitBytes = 1024
	j := mustOpen(t, cfg)
	c := journaltest.Acceptance("order")
	c.Record = make([]byte, 1025)
	if err := commitOne(j, c); err == nil || !strings.Contains(err.Error(), "1025 bytes, more than 1024") {
		t.Errorf("commit: %v", err)
	}
	mustClose(t, j)
}

// TestVersionCache keeps two versions in memory: what it forgets is read.
func TestVersionCache(t *testing.T) {
	t.Parallel()
	cfg := testConfig(vfs.NewMem())
	cfg.Versions = 2
	j := mustOpen(t, cfg)
	var orders []*persistence.Commit
	for i := range 10 {
		c := journaltest.Acceptance(fmt.Sprint("order-", i))
		if err := commitOne(j, c); err != nil {
			t.Fatal(err)
		}
		orders = append(orders, c)
	}
	for expected := messages.Version(1); expected < 5; expected++ {
		for _, o := range orders {
			for _, wrong := range []messages.Version{expected - 1, expected + 1} {
				c := &persistence.Commit{Partition: o.Partition, Epoch: epochOf(t, j, o.Partition), Handle: o.Handle, Expected: wrong, Events: 1, Record: o.Record}
				if wrong == 0 {
					continue
				}
				if err := commitOne(j, c); !errors.Is(err, persistence.ErrConflict) {
					t.Fatalf("expected %d instead of %d: %v", wrong, expected, err)
				}
			}
			c := &persistence.Commit{Partition: o.Partition, Epoch: epochOf(t, j, o.Partition), Handle: o.Handle, Expected: expected, Events: 1, Record: o.Record}
			if err := commitOne(j, c); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(j.orders.young) + len(j.orders.old); n > 2 {
			t.Errorf("%d versions in memory", n)
		}
	}
	mustClose(t, j)
}

// TestGap takes records out of a history: reading it fails where one is missing, and not before.
func TestGap(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, testConfig(vfs.NewMem()))
	c := journaltest.Acceptance("order")
	for expected := range messages.Version(5) {
		next := &persistence.Commit{Partition: c.Partition, Epoch: epochOf(t, j, c.Partition), Handle: c.Handle, Expected: expected, Events: 1, Record: c.Record}
		if expected == 0 {
			next = c
		}
		if err := commitOne(j, next); err != nil {
			t.Fatal(err)
		}
	}
	read := func(from messages.Version) (firsts []messages.Version, err error) {
		for r, err := range j.Records(t.Context(), c.Handle, from) {
			if err != nil {
				return firsts, err
			}
			firsts = append(firsts, r.First)
		}
		return firsts, nil
	}
	check := func(from messages.Version, want ...messages.Version) {
		t.Helper()
		firsts, err := read(from)
		if !errors.Is(err, persistence.ErrCorrupt) || !slices.Equal(firsts, want) {
			t.Errorf("from %d: %v, %v", from, firsts, err)
		}
	}
	remove := func(v messages.Version) {
		t.Helper()
		if err := j.db.Delete(appendRecordKey(nil, c.Handle, v), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	remove(3)
	check(0, 1, 2)
	check(2, 2)
	check(3)
	if firsts, err := read(4); err != nil || !slices.Equal(firsts, []messages.Version{4, 5}) {
		t.Errorf("from 4: %v, %v", firsts, err)
	}
	remove(1)
	check(0)
	check(1)
	mustClose(t, j)
}
