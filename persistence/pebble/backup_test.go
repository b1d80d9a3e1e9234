package pebble

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// diskConfig is testConfig for a directory of the real disk.
func diskConfig(tb testing.TB, dir string) Config {
	tb.Helper()
	cfg := testConfig(nil)
	cfg.Dir = dir
	cfg.Fatal = func(err error) { tb.Errorf("fatal: %v", err) }
	return cfg
}

// A backup of a journal that is written to all the while has what was confirmed before, and is whole; also one that is begun while
// others commit, and while tables are written. Restored, it goes on in a generation of its own, each time a later one.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, diskConfig(t, filepath.Join(dir, "data", "journal")))
	journaltest.Fill(t, j, 10)
	before := confirmedOrders(t, j)
	stop, load, made := make(chan struct{}), sync.WaitGroup{}, atomic.Int64{}
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := journaltest.Acceptance(string(messages.NewOrderID()))
				if err := commitOne(j, c); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
				made.Add(1)
			}
		})
	}
	var folders []string
	for n := range 3 {
		for target := made.Load() + 150; made.Load() < target; { // so that logs grow, and are used again
			if err := commitOne(j, journaltest.Acceptance(string(messages.NewOrderID()))); err != nil {
				t.Fatal(err)
			}
		}
		folder := filepath.Join(dir, "backups", string(rune('a'+n)))
		mark := journaltest.Acceptance("mark-" + string(rune('a'+n)))
		if err := commitOne(j, mark); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			if err := j.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := j.Backup(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
	}
	close(stop)
	load.Wait()
	mustClose(t, j)
	for n, folder := range folders {
		b, report, err := VerifyBackup(t.Context(), folder, Check{})
		if err != nil || report.ProblemCount > 0 || report.Orders < before+int64(n) || b.Verified == nil || b.Files < 5 {
			t.Fatalf("%s: %+v, %+v, %v", folder, b, report, err)
		}
		restored := filepath.Join(dir, "restored", filepath.Base(folder))
		for try := messages.Generation(1); try <= 2; try++ {
			cfg := diskConfig(t, filepath.Join(restored, string(rune('0'+try))))
			next, again, err := Restore(t.Context(), folder, cfg, Check{})
			if err != nil || next != b.Generation+try || again.Digest != report.Digest {
				t.Fatalf("restore: %d, %+v, %v", next, again, err)
			}
			j := mustOpen(t, cfg)
			if _, err := j.Find(t.Context(), messages.OrderID("mark-"+string(rune('a'+n)))); err != nil {
				t.Errorf("an order is lost that was confirmed before the backup: %v", err)
			}
			epochs, err := journaltest.Own(t.Context(), j)
			if err != nil || epochs[0].Generation() != next {
				t.Errorf("epochs are of generation %d, %v", epochs[0].Generation(), err)
			}
			if j.identity != b.Journal {
				t.Errorf("the identity is %s, and was %s", j.identity, b.Journal)
			}
			mustClose(t, j)
		}
	}
}

// A backup has all that there is, whatever the journal was opened from: what was sealed, or what a killed process has left.
func TestBackupOfWhatWasThere(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(testing.TB) (*vfs.MemFS, string){"Closed": closedStore, "Killed": killedStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem, want := store(t)
			for n := range 3 {
				j := mustOpen(t, testConfig(mem))
				folder := path.Join("/backups", string(rune('a'+n)))
				if _, err := j.Backup(t.Context(), folder); err != nil {
					t.Fatal(err)
				}
				cfg := testConfig(mem)
				cfg.Dir = path.Join("/restored", string(rune('a'+n)))
				if _, _, err := Restore(t.Context(), folder, cfg, Check{FS: mem}); err != nil {
					t.Fatal(err)
				}
				restored := mustOpen(t, cfg)
				if got := stateOf(t, restored); got != want {
					t.Error(firstDifference(want, got))
				}
				mustClose(t, restored)
				journaltest.Fill(t, j, 5)
				if n == 1 {
					if err := j.db.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				want = stateOf(t, j)
				mustClose(t, j)
			}
		})
	}
}

func confirmedOrders(tb testing.TB, j *Journal) int64 {
	tb.Helper()
	found, _, err := j.List(tb.Context(), persistence.Query{Limit: 1000, Scan: 1000})
	if err != nil {
		tb.Fatal(err)
	}
	return int64(len(found))
}

// backedUp makes a backup of a small journal, in memory.
func backedUp(tb testing.TB) (*vfs.MemFS, Backup) {
	tb.Helper()
	fs := vfs.NewMem()
	j := mustOpen(tb, testConfig(fs))
	journaltest.Fill(tb, j, 10)
	b, err := j.Backup(tb.Context(), "/backups/one")
	if err != nil {
		tb.Fatal(err)
	}
	mustClose(tb, j)
	return fs, b
}

// Nobody runs on a copy, and what would mix two journals, or is not whole, is not restored; nothing is left then.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	const folder, into = "/backups/one", "/new/journal"
	rename := func(from, to string) func(*vfs.MemFS) error {
		return func(fs *vfs.MemFS) error { return fs.Rename(path.Join(folder, from), path.Join(folder, to)) }
	}
	edit := func(change func(*Backup)) func(*vfs.MemFS) error {
		return func(fs *vfs.MemFS) error {
			var b Backup
			text, err := readFile(fs, path.Join(folder, backupName))
			if err == nil {
				err = json.Unmarshal(text, &b)
			}
			change(&b)
			return errors.Join(err, writeBackup(fs, folder, b))
		}
	}
	for name, c := range map[string]struct {
		spoil func(*vfs.MemFS) error
		want  string
	}{
		"NotEmpty": {func(fs *vfs.MemFS) error {
			return errors.Join(fs.MkdirAll(into, 0o700), writeFile(fs, path.Join(into, "000004.sst"), nil))
		}, "is not empty"},
		"Unfinished":      {rename(backupName, "x"), "no file BACKUP"},
		"BackupDamaged":   {func(fs *vfs.MemFS) error { return writeFile(fs, path.Join(folder, backupName), []byte("{")) }, "is damaged"},
		"AnotherBackup":   {edit(func(b *Backup) { b.ID[0]++ }), "not the copy that backup"},
		"AnotherJournal":  {edit(func(b *Backup) { b.Journal[0]++ }), "put back what belongs together"},
		"OtherGeneration": {edit(func(b *Backup) { b.Generation++ }), "put back what belongs together"},
		"OtherContent":    {edit(func(b *Backup) { b.Verified = &Verified{Digest: "27"} }), "take another backup"},
		"NoCopy":          {rename(copyName, "x"), "does not exist"},
		"Journal": {func(fs *vfs.MemFS) error {
			j, err := open(Config{Dir: path.Join(folder, copyName), FS: fs, Fatal: func(error) {}, LowWaterBytes: -1}, 1)
			if err != nil {
				return err
			}
			return j.Close()
		}, "not the copy that backup"},
		"TableMissing": {func(fs *vfs.MemFS) error { return fs.Remove(aTable(t, fs, path.Join(folder, copyName))) }, "is damaged"},
		"TableDamaged": {func(fs *vfs.MemFS) error {
			name := aTable(t, fs, path.Join(folder, copyName))
			b, err := readFile(fs, name)
			if err != nil {
				return err
			}
			b[len(b)/3] ^= 1
			return writeFile(fs, name, b)
		}, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs, _ := backedUp(t)
			if err := c.spoil(fs); err != nil {
				t.Fatal(err)
			}
			cfg := testConfig(fs)
			cfg.Dir = into
			if _, report, err := Restore(t.Context(), folder, cfg, Check{FS: fs}); err == nil || !strings.Contains(err.Error(), c.want) ||
				errors.Is(err, ErrDamagedCopy) != (report.ProblemCount > 0) {
				t.Errorf("%v, %+v", err, report)
			}
			names, err := fs.List(into)
			if err != nil && !errors.Is(err, os.ErrNotExist) || len(names) > 0 && name != "NotEmpty" {
				t.Errorf("%v are left: %v", names, err)
			}
		})
	}
}

// aTable is a table of a directory.
func aTable(tb testing.TB, fs vfs.FS, dir string) string {
	tb.Helper()
	names, err := fs.List(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if path.Ext(name) == ".sst" {
			return path.Join(dir, name)
		}
	}
	tb.Fatal("there is no table")
	return ""
}

// A copy is no journal to run on, wherever it lies.
func TestNobodyRunsOnACopy(t *testing.T) {
	t.Parallel()
	fs, b := backedUp(t)
	cfg := testConfig(fs)
	cfg.Dir = "/backups/one/journal"
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), b.ID.String()) || !strings.Contains(err.Error(), "restore") {
		t.Errorf("open a copy: %v", err)
	}
}

// A folder that can't take a backup is refused with the reason, keeps what it had, and does the journal no harm.
func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var across atomic.Bool
	disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpLink && across.Load() {
			return &os.LinkError{Op: "link", Err: syscall.EXDEV}
		}
		return nil
	}))
	cfg := testConfig(disk)
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	j := mustOpen(t, cfg)
	journaltest.Fill(t, j, 3)
	if err := errors.Join(mem.MkdirAll("/full", 0o700), writeFile(mem, "/full/notes", nil), writeFile(mem, "/file", nil)); err != nil {
		t.Fatal(err)
	}
	refused := func(folder, want string, kind error) {
		t.Helper()
		if _, err := j.Backup(t.Context(), folder); !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", folder, err)
		}
		if _, err := mem.Stat(folder); err == nil && folder != "/full" && folder != "/file" && folder != testDir {
			t.Errorf("%s was made", folder)
		}
	}
	refused("backups", "absolute", ErrFolder)
	refused("/full", `has "notes"`, ErrFolder)
	refused("/file", "can't be", ErrFolder)
	refused(testDir, "own directory", ErrFolder)
	refused(testDir+"/x", "own directory", ErrFolder)
	across.Store(true)
	refused("/elsewhere", "same file system", ErrFolder)
	across.Store(false)
	j.backing.Lock()
	refused("/busy", "another backup", persistence.ErrBusy)
	j.backing.Unlock()
	j.full.Store(true)
	refused("/nospace", "free", persistence.ErrFull)
	j.full.Store(false)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Backup(ended, "/late"); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody waits any more: %v", err)
	}
	if _, err := j.Backup(t.Context(), "/elsewhere"); err != nil {
		t.Error(err)
	}
	mustClose(t, j)
	if _, err := j.Backup(t.Context(), "/closed"); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A disk that fails in the folder of a backup ends the backup, and nothing else; nothing is left of it.
func TestBackupOnAFailingDisk(t *testing.T) {
	t.Parallel()
	for n := int64(1); ; n++ {
		mem := vfs.NewMem()
		var left atomic.Int64
		disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.HasPrefix(op.Path, "/backups") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite &&
				op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpRemoveAll && left.Add(-1) == 0 {
				return syscall.EIO
			}
			return nil
		}))
		cfg := testConfig(disk)
		cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
		j := mustOpen(t, cfg)
		journaltest.Fill(t, j, 3)
		left.Store(n)
		_, err := j.Backup(t.Context(), "/backups/one")
		left.Store(0)
		names, _ := mem.List("/backups/one")
		if err != nil && len(names) > 0 {
			t.Errorf("%v are left after %v", names, err)
		}
		journaltest.Fill(t, j, 3)
		mustClose(t, j)
		if err == nil {
			if n < 10 {
				t.Errorf("a backup writes only %d times", n)
			}
			return
		}
	}
}

// Nothing that a backup does holds commits up: how long the longest took is told.
func TestBackupPause(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it fills a journal")
	}
	dir := t.TempDir()
	cfg := diskConfig(t, filepath.Join(dir, "journal"))
	cfg.MemTableBytes = 4 << 20
	j := mustOpen(t, cfg)
	fillBytes(t, j, 1200, 16<<10)
	stop, load := make(chan struct{}), sync.WaitGroup{}
	var longest atomic.Int64
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			begun := time.Now()
			if err := commitOne(j, journaltest.Acceptance(string(messages.NewOrderID()))); err != nil {
				t.Errorf("commit: %v", err)
				return
			}
			if took := int64(time.Since(begun)); took > longest.Load() {
				longest.Store(took)
			}
		}
	})
	fillBytes(t, j, 200, 1<<10)
	quiet := time.Duration(longest.Swap(0))
	begun := time.Now()
	b, err := j.Backup(t.Context(), filepath.Join(dir, "backup"))
	took, during := time.Since(begun), time.Duration(longest.Load())
	close(stop)
	load.Wait()
	mustClose(t, j)
	t.Logf("%d bytes in %d files took %v; the longest commit took %v meanwhile, and %v before", b.Bytes, b.Files, took, during, quiet)
	if err != nil || b.Bytes < 16<<20 {
		t.Errorf("%+v, %v", b, err)
	}
	linked := 0
	err = filepath.WalkDir(filepath.Join(dir, "backup", "journal"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(d.Name()) != ".sst" {
			return err
		}
		info, err := d.Info()
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
			linked++
		}
		return err
	})
	if err != nil || linked == 0 {
		t.Errorf("%d tables have two names: %v", linked, err)
	}
}

// fillBytes accepts so many orders with records of a size.
func fillBytes(tb testing.TB, j *Journal, orders, size int) {
	tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range orders {
		noise := make([]byte, size)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		c := journaltest.Acceptance(string(messages.NewOrderID()))
		record, err := proto.Marshal(&journalv1.Record{FeatureLevel: 1, Events: []*journalv1.Event{{Kind: &journalv1.Event_OrderAccepted{
			OrderAccepted: &journalv1.OrderAccepted{OrderId: string(c.ID), Input: noise},
		}}}})
		if err != nil {
			tb.Fatal(err)
		}
		c.Record = record
		if err := commitOne(j, c); err != nil {
			tb.Fatal(err)
		}
	}
}
