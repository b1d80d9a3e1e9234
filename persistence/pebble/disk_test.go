package pebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// FaultsVariable has the test's program itself do what TestFaultyDisk has a process of its own for: a store that can't go
// on ends the process, so here its goroutines stay behind.
const FaultsVariable = "HOLDFAST_TEST_FAULTS"

// fault is how an operation fails. full tells that whatever needs room fails likewise from then on; short has it be a
// write, of which only the first half is done.
type fault struct {
	err         error
	full, short bool
}

// faultyDisk is a disk of which one operation fails, the nth that changes it.
type faultyDisk struct {
	fault

	n    int64
	seen atomic.Int64
	mu   sync.Mutex
	// hit is the operation that failed; retried a sync of what could not be synced before.
	hit      errorfs.Op
	unsynced string
	retried  bool
}

// MaybeError implements errorfs.Injector.
func (d *faultyDisk) MaybeError(op errorfs.Op) error {
	if d.short && op.Kind == errorfs.OpFileWrite {
		return nil // shortFile does it
	}
	return d.fail(op)
}

// String implements errorfs.Injector.
func (d *faultyDisk) String() string { return "faulty disk" }

func (d *faultyDisk) fail(op errorfs.Op) error {
	if !isWrite(op) || d.short && op.Kind != errorfs.OpFileWrite {
		return nil
	}
	isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	d.mu.Lock()
	defer d.mu.Unlock()
	if isSync && op.Path == d.unsynced {
		d.retried = true
	}
	switch n := d.seen.Add(1); {
	case n == d.n:
		d.hit = op
		if isSync {
			d.unsynced = op.Path
		}
		return d.err
	case n > d.n && d.full && !isSync && op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpRemoveAll:
		return d.err
	}
	return nil
}

// shortFS has the files that are written be shortFiles.
type shortFS struct {
	vfs.FS

	d *faultyDisk
}

func (s shortFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return shortFile{f, name, s.d}, err
}

func (s shortFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(old, name, c)
	return shortFile{f, name, s.d}, err
}

type shortFile struct {
	vfs.File

	name string
	d    *faultyDisk
}

// Write writes half of what it is given when its turn comes, and does not always say so.
func (f shortFile) Write(b []byte) (int, error) {
	err := f.d.fail(errorfs.Op{Kind: errorfs.OpFileWrite, Path: f.name})
	if err == nil {
		return f.File.Write(b)
	}
	n, writeErr := f.File.Write(b[:len(b)/2])
	if errors.Is(err, errUntold) {
		err = nil
	}
	return n, errors.Join(writeErr, err)
}

var errUntold = errors.New("nobody is told")

// TestFaultyDisk has each operation in turn fail that changes the disk, whatever file it is of, while a journal is made,
// filled, closed, opened, killed and opened: the journal goes on, or the process is ended; it never hangs, no fsync is
// tried again, and whatever was confirmed is there afterwards, whether the machine kept what was not synced or not.
func TestFaultyDisk(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fault{
		"Error":      {err: syscall.EIO},
		"Full":       {err: syscall.ENOSPC, full: true},
		"FullWrites": {err: syscall.ENOSPC, full: true, short: true},
		"ShortWrite": {err: errUntold, short: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Getenv(FaultsVariable) != "" {
				faultInTurn(t, fault)
				return
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestFaultyDisk$/^"+name+"$")
			child.Env = append(os.Environ(), FaultsVariable+"=1")
			out, err := child.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestFaultyDisk/"+name) {
				t.Errorf("%v:\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

func faultInTurn(t *testing.T, f fault) {
	t.Helper()
	kinds := map[string]int{}
	faults, fatal := 0, 0
	stride := int64(slow)
	if slow > 1 && !f.short {
		stride = 25 // there are more of them
	}
	for n := 1 + rand.Int64N(stride); ; n += stride {
		d := &faultyDisk{fault: f, n: n}
		ended := oneFault(t, d)
		if d.hit.Path == "" {
			break
		}
		faults++
		if ended {
			fatal++
		}
		kinds[strings.TrimLeft(path.Ext(d.hit.Path)+" "+strings.Trim(path.Base(d.hit.Path), "0123456789.-"), " ")]++
	}
	t.Logf("%d operations failed, %d of them ended the process; they were of %v", faults, fatal, kinds)
	if faults < 10 || fatal < 5 {
		t.Errorf("only %d operations failed, of which only %d ended the process", faults, fatal)
	}
}

// oneFault tells whether the process was ended.
func oneFault(t *testing.T, d *faultyDisk) (ended bool) {
	t.Helper()
	l := newLife(true)
	var disk atomic.Pointer[vfs.MemFS]
	disk.Store(vfs.NewCrashableMem())
	failed, done := make(chan error, 1), make(chan error, 1)
	go func() {
		done <- threeLives(l, &disk, func(fs vfs.FS) Config {
			cfg := testConfig(errorfs.Wrap(shortFS{fs, d}, d))
			cfg.FreeInterval = time.Millisecond
			cfg.Fatal = func(err error) {
				failed <- err
				select {}
			}
			return cfg
		})
	}()
	var err error
	select {
	case err = <-failed:
		ended = true
	case err = <-done:
	case <-time.After(time.Minute):
		t.Fatalf("after the failure of %v of %s: nothing goes on, and the process was not ended", d.hit.Kind, d.hit.Path)
	}
	d.mu.Lock()
	hit, unsynced, retried := d.hit, d.unsynced, d.retried
	d.mu.Unlock()
	when := fmt.Sprintf("after the failure of operation %d, %v of %s (ended: %t, with %v)", d.n, hit.Kind, hit.Path, ended, err)
	if retried || unsynced != "" && err == nil {
		t.Errorf("%s: a sync that failed was tried again: %t", when, retried)
	}
	if ended && !errors.Is(err, d.err) && !errors.Is(d.err, errUntold) {
		t.Errorf("%s: the reason is not told", when)
	}
	confirmed := l.snapshot()
	for _, kept := range []int{0, 100} {
		left := disk.Load().CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(1, 1))})
		checkLife(t, fmt.Sprintf("%s, with %d %% of what was not synced", when, kept), left, confirmed)
	}
	return ended
}

// threeLives runs a journal until it is closed, runs it again until its process is killed, and opens what is left.
func threeLives(l *life, disk *atomic.Pointer[vfs.MemFS], config func(vfs.FS) Config) error {
	if err := shortLife(config(disk.Load()), l); err != nil {
		return err
	}
	l.name = "second"
	j, err := Open(config(disk.Load()))
	if err != nil {
		return err
	}
	err = l.live(j)
	before := disk.Load()
	if err == nil {
		err = compact(j)
	}
	if err == nil {
		disk.Store(before.CrashClone(vfs.CrashCloneCfg{}))
	}
	if err = errors.Join(err, j.Close()); err != nil {
		disk.Store(before)
		return err
	}
	if j, err = Open(config(disk.Load())); err != nil {
		return err
	}
	return j.Close()
}

// compact merges all tables. It gives up when one can't be written, as the engine would not.
func compact(j *Journal) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	watch.Go(func() {
		select {
		case err := <-j.unwritten:
			cancel(err)
		case <-ctx.Done():
		}
	})
	if err := j.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

// TestSlowSync has an fsync take a minute: the committer does not turn meanwhile, so that the process counts as stuck;
// whoever only reads what was durable before goes on, and the commit is confirmed at last.
func TestSlowSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var blocked atomic.Bool
		release := make(chan struct{})
		var turns atomic.Int64
		cfg := testConfig(errorfs.Wrap(vfs.NewCrashableMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if blocked.Load() && path.Ext(op.Path) == ".log" && op.Kind == errorfs.OpFileSyncData {
				<-release
			}
			return nil
		})))
		cfg.Turn = func() { turns.Add(1) }
		j := mustOpen(t, cfg)
		if err := commitOne(j, journaltest.Acceptance("first")); err != nil {
			t.Fatal(err)
		}
		before := turns.Load()
		time.Sleep(10 * time.Second)
		if turns.Load() < before+9 {
			t.Errorf("the committer turned %d times in 10 s with nothing to do", turns.Load()-before)
		}
		blocked.Store(true)
		c := journaltest.Acceptance("second")
		done := make(chan error, 1)
		c.Done = func(err error) { done <- err }
		j.Commit(c)
		synctest.Wait()
		before = turns.Load()
		time.Sleep(time.Minute)
		if turns.Load() != before || len(done) != 0 {
			t.Errorf("while an fsync hung, the committer turned %d times, and %d commits were answered", turns.Load()-before, len(done))
		}
		blocked.Store(false)
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if turns.Load() <= before {
			t.Error("the committer does not turn any more")
		}
		mustClose(t, j)
	})
}
