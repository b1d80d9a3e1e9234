package pebble

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

var errInjected = errors.New("injected")

// errFull is what a disk without room says.
var errFull = fmt.Errorf("no room: %w", syscall.ENOSPC)

// life is one run of a journal.
type life struct {
	// flushes tells to move everything into tables at times.
	flushes bool
	// committing is set while commits are made.
	committing atomic.Bool
	// name is part of the ids of its orders.
	name string

	mu        sync.Mutex
	confirmed map[messages.OrderID]messages.Version
}

func newLife(flushes bool) *life {
	return &life{flushes: flushes, confirmed: make(map[messages.OrderID]messages.Version)}
}

func (l *life) confirm(id messages.OrderID, version messages.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed[id] = version
}

func (l *life) snapshot() map[messages.OrderID]messages.Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.confirmed)
}

func isWrite(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }

// TestFailingLog has one write to the log fail at a time, each in turn, or one sync, while commits are made. Whatever was
// confirmed is there after a crash that loses all that was not synced. TestFaultyDisk has the other files.
func TestFailingLog(t *testing.T) {
	t.Parallel()
	failed, unknown := 0, 0
	for n := int64(1); ; n += slow {
		var seen atomic.Int64
		var fatal atomic.Bool
		l := newLife(false)
		disk := vfs.NewCrashableMem()
		cfg := testConfig(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if l.committing.Load() && isWrite(op) && path.Ext(op.Path) == ".log" && seen.Add(1) == n {
				return errInjected
			}
			return nil
		})))
		cfg.Fatal = func(error) { fatal.Store(true) }
		if err := shortLife(cfg, l); errors.Is(err, persistence.ErrUnknown) {
			unknown++
			if !fatal.Load() {
				t.Errorf("operation %d failed, and the process was not ended", n)
			}
		}
		if seen.Load() < n {
			break
		}
		failed++
		checkLife(t, fmt.Sprint("after failed operation ", n), disk.CrashClone(vfs.CrashCloneCfg{}), l.confirmed)
	}
	t.Logf("%d operations failed, the outcome of %d commits was unknown", failed, unknown)
	if failed < 5 || unknown < 5 {
		t.Errorf("only %d operations failed, and the outcome of only %d commits was unknown", failed, unknown)
	}
}

// TestCrashAnywhere crashes before each operation that changes the disk.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	type crash struct {
		op        string
		disk      *vfs.MemFS
		confirmed map[messages.OrderID]messages.Version
	}
	const stride = slow
	var mu sync.Mutex
	var crashes []crash
	n := 0
	disk := vfs.NewCrashableMem()
	l := newLife(true)
	err := shortLife(testConfig(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !isWrite(op) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n%stride == 0 {
			confirmed := l.snapshot()
			crashes = append(crashes, crash{fmt.Sprint(op.Kind, " of ", op.Path), disk.CrashClone(vfs.CrashCloneCfg{}), confirmed})
		}
		return nil
	}))), l)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range crashes {
		checkLife(t, fmt.Sprintf("after crash %d, before %s", i, c.op), c.disk, c.confirmed)
	}
	t.Logf("%d crashes", len(crashes))
	if len(crashes) < 10 {
		t.Error("too few crashes")
	}
}

// checkLife opens what a crash left.
func checkLife(t *testing.T, when string, disk *vfs.MemFS, confirmed map[messages.OrderID]messages.Version) {
	t.Helper()
	j, err := Open(testConfig(disk))
	if err != nil {
		t.Fatalf("%s: open: %v", when, err)
	}
	for id, version := range confirmed {
		entry, err := j.Find(t.Context(), id)
		if err != nil {
			t.Fatalf("%s: a confirmed order is lost: %v", when, err)
		}
		last, err := lastVersion(j.db, entry.Handle)
		if err != nil || last < version {
			t.Fatalf("%s: version %d was confirmed, %d is there: %v", when, version, last, err)
		}
	}
	mustClose(t, j)
	report, err := Verify(t.Context(), Check{Dir: testDir, FS: disk})
	if err != nil || report.ProblemCount > 0 {
		t.Fatalf("%s: the store is not whole: %+v, %v", when, report, err)
	}
}

// shortLife opens a journal, commits, moves what it has into tables, commits more and closes it, until something fails.
func shortLife(cfg Config, l *life) (err error) {
	j, err := Open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return l.live(j)
}

// live commits, and moves what there is into tables, until something fails.
func (l *life) live(j *Journal) error {
	l.committing.Store(true)
	defer l.committing.Store(false)
	epochs, err := journaltest.Own(context.Background(), j)
	if err != nil {
		return err
	}
	for round := range 3 {
		for i := range 3 {
			c := journaltest.Acceptance(fmt.Sprintf("order-%s-%d-%d", l.name, round, i))
			done := make(chan error, 1)
			c.Done = func(err error) { done <- err }
			for range 3 {
				j.Commit(c)
				if err := <-done; err != nil {
					return err
				}
				l.confirm(messages.OrderID(c.Row.GetId()), c.Expected+1)
				c = &persistence.Commit{
					Partition: c.Partition, Epoch: epochs[c.Partition], Handle: c.Handle, Expected: c.Expected + 1, Events: 1,
					Record: c.Record, Done: c.Done, Row: c.Row,
				}
			}
		}
		if l.flushes {
			if err := j.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestTornWrites crashes at random with random parts of what was not synced, in a real order of a disk's failing: the
// journal opens, and is whole.
func TestTornWrites(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	disk := vfs.NewCrashableMem()
	for range 50 / slow {
		j := mustOpen(t, testConfig(disk))
		var pending atomic.Int64
		for i := range 40 {
			c := journaltest.Acceptance(string(messages.NewOrderID()))
			pending.Add(1)
			c.Done = func(error) { pending.Add(-1) }
			j.Commit(c)
			if i == 20 {
				if _, err := j.db.AsyncFlush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		disk2 := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		mustClose(t, j)
		if pending.Load() != 0 {
			t.Errorf("%d commits were not answered", pending.Load())
		}
		disk = disk2
		report, err := Verify(t.Context(), Check{Dir: testDir, FS: clone(disk)})
		if err != nil || report.ProblemCount > 0 {
			t.Fatalf("not whole: %+v, %v", report, err)
		}
	}
}
