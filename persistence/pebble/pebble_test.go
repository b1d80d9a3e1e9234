package pebble_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir)
	}
	if os.Getenv(pebble.FaultsVariable) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("Memory", func(t *testing.T) {
		t.Parallel()
		journaltest.Run(t, memory{})
	})
	t.Run("Disk", func(t *testing.T) {
		t.Parallel()
		journaltest.Run(t, disk{})
	})
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// disk makes stores in real directories. They can't crash.
type disk struct{}

type diskStore string

func (disk) NewStore(tb testing.TB) journaltest.Store {
	tb.Helper()
	dir := tb.TempDir()
	tb.Cleanup(func() { verifyWhole(tb, pebble.Check{Dir: dir}) })
	return diskStore(dir)
}

func (s diskStore) Open(tb testing.TB) persistence.Journal {
	tb.Helper()
	j, err := pebble.Open(pebble.Config{
		Dir: string(s), Logger: discard(), MemTableBytes: 1 << 20,
		Fatal: func(err error) { tb.Errorf("fatal: %v", err) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// memory makes stores that crash and break.
type memory struct{}

func (memory) NewStore(tb testing.TB) journaltest.Store {
	tb.Helper()
	s := &memoryStore{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(1, 2))}
	tb.Cleanup(func() { verifyWhole(tb, pebble.Check{Dir: "/data/journal", FS: s.disk}) })
	return s
}

// verifyWhole makes sure that a test left a store whose parts agree.
func verifyWhole(tb testing.TB, c pebble.Check) {
	tb.Helper()
	if tb.Skipped() {
		return
	}
	report, err := pebble.Verify(context.Background(), c)
	if err != nil {
		tb.Errorf("verify: %v", err)
	}
	for _, p := range report.Problems {
		if !strings.Contains(p.What, persistence.ErrFeatureLevel.Error()) { // One test writes such a record.
			tb.Errorf("verify: %+v", p)
		}
	}
}

type memoryStore struct {
	disk    *vfs.MemFS
	rng     *rand.Rand
	broken  *atomic.Bool
	journal persistence.Journal
}

var errBroken = errors.New("the disk is broken")

func (s *memoryStore) Open(tb testing.TB) persistence.Journal {
	tb.Helper()
	broken := new(atomic.Bool)
	s.broken = broken
	j, err := pebble.Open(pebble.Config{
		Dir: "/data/journal", Logger: discard(), MemTableBytes: 1 << 20,
		FS: errorfs.Wrap(s.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
				return errBroken
			}
			return nil
		})),
		Fatal: func(err error) {
			if !broken.Load() {
				tb.Errorf("fatal: %v", err)
			}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	s.journal = j
	return j
}

func (s *memoryStore) Break(testing.TB) { s.broken.Store(true) }

func (s *memoryStore) Crash(tb testing.TB, keep journaltest.Keep) {
	tb.Helper()
	percent := map[journaltest.Keep]int{journaltest.KeepNone: 0, journaltest.KeepSome: 50, journaltest.KeepAll: 100}[keep]
	after := s.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: s.rng})
	// What the journal still does, it does to the disk that is no more.
	if err := s.journal.Close(); err != nil && !s.broken.Load() {
		tb.Errorf("close after the crash: %v", err)
	}
	s.disk = after
}

// A committer that panics ends the process, with the reason; whatever comes later is refused, not kept waiting.
func TestPanicOfTheCommitter(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	fatal := make(chan error, 1)
	j, err := pebble.Open(pebble.Config{
		Dir: t.TempDir(), Logger: discard(), MemTableBytes: 1 << 20,
		Turn: func() {
			if armed.Load() {
				panic("injected")
			}
		},
		Fatal: func(err error) {
			select {
			case fatal <- err:
			default: // It was told before.
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if err := <-fatal; !strings.Contains(err.Error(), "panic of the committer: injected") {
		t.Errorf("the process is ended because of: %v", err)
	}
	if _, err := j.Owners(t.Context()); err == nil {
		t.Error("a read succeeds after the panic")
	}
	if err := j.Close(); err == nil {
		t.Error("closing tells nothing of the panic")
	}
}
