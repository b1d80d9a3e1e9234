package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// killed makes a store of which the process was killed when it had nothing to do, after live.
func killed(tb testing.TB, fs *vfs.MemFS, live func(*Journal)) *vfs.MemFS {
	tb.Helper()
	j := mustOpen(tb, testConfig(fs))
	live(j)
	waitIdle(tb, j)
	left := clone(fs)
	mustClose(tb, j)
	return left
}

// filled fills a new store.
func filled(tb testing.TB, fs *vfs.MemFS) *vfs.MemFS {
	tb.Helper()
	return killed(tb, fs, func(j *Journal) { journaltest.Fill(tb, j, 10) })
}

func firstLog(tb testing.TB) *vfs.MemFS {
	tb.Helper()
	return filled(tb, vfs.NewCrashableMem())
}

// oldFirstLog is a store whose first log, of which nothing was noted, has all that it holds. The engine begins it with chunks of
// another kind.
func oldFirstLog(tb testing.TB) *vfs.MemFS {
	tb.Helper()
	j := mustOpen(tb, testConfig(vfs.NewMem()))
	defer mustClose(tb, j)
	journaltest.Fill(tb, j, 20)
	fs := vfs.NewCrashableMem()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	must(fs.MkdirAll(testDir, 0o700))
	cfg := testConfig(fs)
	db, err := pebble.Open(testDir, engineOptions(cfg, engineLogger{Logger: cfg.Logger, dir: testDir, fail: cfg.Fatal}, func() {}))
	must(err)
	it, err := j.db.NewIter(nil)
	must(err)
	for valid := it.First(); valid; valid = it.Next() {
		must(db.Set(it.Key(), it.Value(), pebble.Sync))
	}
	must(it.Close())
	must(db.LogData(nil, pebble.Sync)) // It shows that what is before it was durable.
	m, err := readManifest(fs, testDir)
	must(err)
	must(writeSeal(fs, testDir, seal{state: stateOpen, manifest: m}))
	left := clone(fs)
	must(db.Close())
	return left
}

func restarted(tb testing.TB) *vfs.MemFS {
	tb.Helper()
	fs, _ := closedStore(tb)
	return filled(tb, fs)
}

func killedAgain(tb testing.TB) *vfs.MemFS {
	tb.Helper()
	fs, _ := killedStore(tb)
	return filled(tb, fs)
}

// recycledLog moves what a journal has into tables so often that its newest log is a file that was a log before.
func recycledLog(tb testing.TB) *vfs.MemFS {
	tb.Helper()
	return killed(tb, vfs.NewCrashableMem(), func(j *Journal) {
		for range 3 {
			journaltest.Fill(tb, j, 10)
			if err := j.db.Flush(); err != nil {
				tb.Fatal(err)
			}
		}
		journaltest.Fill(tb, j, 3)
	})
}

// rotatedLog has a table being written, so that the log before the newest one is needed, too.
func rotatedLog(tb testing.TB) *vfs.MemFS {
	tb.Helper()
	fs := vfs.NewCrashableMem()
	var blocked atomic.Bool
	release := make(chan struct{})
	j := mustOpen(tb, testConfig(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && path.Ext(op.Path) == ".sst" && blocked.Load() {
			<-release
		}
		return nil
	}))))
	journaltest.Fill(tb, j, 10)
	blocked.Store(true)
	if _, err := j.db.AsyncFlush(); err != nil {
		tb.Fatal(err)
	}
	journaltest.Fill(tb, j, 10)
	waitIdle(tb, j)
	left := clone(fs)
	close(release)
	mustClose(tb, j)
	return left
}

// loggedStores make stores, each with logs of another kind that are needed.
var loggedStores = map[string]func(testing.TB) *vfs.MemFS{
	"First": firstLog, "OldFirst": oldFirstLog, "Restarted": restarted, "KilledAgain": killedAgain, "Recycled": recycledLog,
	"Rotated": rotatedLog,
}

// change is damage to a file.
type change struct {
	what string
	// from is the first byte that is changed.
	from    int
	content []byte
	removed bool
	// ends tells that nothing is left behind it.
	ends bool
}

// changesOf damages a file here and there: a byte, a page of zeros, an end that is cut off or was never written, all of it.
func changesOf(content []byte) (all []change) {
	used := len(bytes.TrimRight(content, "\x00"))
	for at := 0; at < used; at += max(1, used*slow/20) {
		flipped := slices.Clone(content)
		flipped[at] ^= 0x40
		blank := slices.Clone(content)
		clear(blank[at:])
		all = append(all,
			change{what: "flipped", from: at, content: flipped},
			change{what: "cut", from: at, content: content[:at], ends: true},
			change{what: "blank from there", from: at, content: blank, ends: true})
	}
	const page = 512
	for at := 0; at < used; at += max(page, used*slow/8/page*page) {
		blank := slices.Clone(content)
		clear(blank[at:min(at+page, len(blank))])
		all = append(all, change{what: "a blank page", from: at, content: blank, ends: at+page >= used})
	}
	return append(all, change{what: "removed", removed: true, ends: true})
}

// TestLogs damages every log of which a store needs something, and every file else that is no table. Damage to a log is
// refused with its name and a place that is not behind the damage; whatever is not refused holds what was there.
func TestLogs(t *testing.T) {
	t.Parallel()
	for name, store := range loggedStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := store(t)
			want, err := openDamaged(t, clone(fs))
			if err != nil {
				t.Fatalf("before any damage: %v", err)
			}
			digest := verify(t, clone(fs), nil).Digest
			names, err := fs.List(testDir)
			if err != nil {
				t.Fatal(err)
			}
			refused := 0
			for _, file := range names {
				if path.Ext(file) == ".sst" {
					continue
				}
				content, err := readFile(fs, path.Join(testDir, file))
				if err != nil {
					t.Fatal(err)
				}
				n, all := 0, changesOf(content)
				for _, c := range all {
					if name == "OldFirst" && c.ends && path.Ext(file) == ".log" {
						continue // How far it was durable was not noted then.
					}
					if tryChange(t, fs, file, c, want, digest) {
						n++
					}
				}
				t.Logf("%-30s %6d bytes: %d of %d changes refused", file, len(content), n, len(all))
				if path.Ext(file) == ".log" && n > 0 {
					refused++
				}
			}
			if wanted := map[bool]int{true: 2, false: 1}[name == "Rotated"]; refused != wanted {
				t.Errorf("damage to %d logs was refused, not to %d", refused, wanted)
			}
		})
	}
}

// tryChange tells whether a change was refused.
func tryChange(t *testing.T, fs *vfs.MemFS, file string, c change, want, digest string) (refused bool) {
	t.Helper()
	damaged := clone(fs)
	name := path.Join(testDir, file)
	err := damaged.Remove(name)
	if err == nil && !c.removed {
		err = writeFile(damaged, name, c.content)
	}
	if err = errors.Join(err, syncDir(damaged, testDir)); err != nil {
		t.Fatal(err)
	}
	when := fmt.Sprintf("%s, %s at %d", file, c.what, c.from)
	report, verifyErr := Verify(t.Context(), Check{Dir: testDir, FS: clone(damaged)})
	got, err := openDamaged(t, damaged)
	if err == nil {
		if got != want {
			t.Errorf("%s: the journal has changed in silence:\n%s", when, firstDifference(want, got))
		}
		if verifyErr != nil || report.ProblemCount != 0 || report.Digest != digest {
			t.Errorf("%s: it opens, and is found to be %+v, %v", when, report, verifyErr)
		}
		return false
	}
	if verifyErr == nil && report.ProblemCount == 0 {
		t.Errorf("%s: it is found to be well, and does not open: %v", when, err)
	}
	if path.Ext(file) != ".log" {
		return true
	}
	d, isDamage := errors.AsType[*damage](err)
	if !isDamage || d.file != file || d.offset > int64(c.from) {
		t.Errorf("%s: %v", when, err)
	}
	if verifyErr != nil || !slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.File == file && p.What == d.place() }) {
		t.Errorf("%s: found to be %+v, %v", when, report, verifyErr)
	}
	return true
}

// TestLogKinds makes sure that a new store guards its first log as all others, and that a log that was used before has
// something behind its end.
func TestLogKinds(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]byte{"First": 9, "OldFirst": 5, "Recycled": 9} {
		fs := loggedStores[name](t)
		log := newestLog(t, fs)
		b, err := readFile(fs, log)
		if err != nil {
			t.Fatal(err)
		}
		if kind := b[checksumOffset]; kind != want {
			t.Errorf("%s: the first chunk of %s has the type %d, not %d", name, log, kind, want)
		}
		number, _ := logNumber(path.Base(log))
		e, err := scanFile(fs, log, logChunks(number)...)
		if err != nil {
			t.Fatal(err)
		}
		if rest := bytes.Trim(b[e.readable:], "\x00"); (len(rest) > 0) != (name == "Recycled") {
			t.Errorf("%s: there are %d bytes behind the end of %s", name, len(rest), log)
		}
	}
}

// TestKilledAtRest opens a store that is killed before it has done anything, again and again.
func TestKilledAtRest(t *testing.T) {
	t.Parallel()
	fs, want := killedStore(t)
	for range 4 {
		fs = killed(t, fs, func(*Journal) {})
	}
	if got, err := openDamaged(t, fs); err != nil || got != want {
		t.Errorf("the store is not what it was: %v", err)
	}
}

// TestFullDiskAtRest: a disk that has no room for a note leaves the last one in place, and the store goes on; the note is taken
// when there is room.
func TestFullDiskAtRest(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	var full atomic.Bool
	var refused atomic.Int64
	j := mustOpen(t, testConfig(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpCreate {
			refused.Add(1)
			return errFull
		}
		return nil
	}))))
	waitIdle(t, j)
	full.Store(true)
	journaltest.Fill(t, j, 3)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for refused.Load() < 2 {
		<-tick.C
	}
	before, err := readSeal(fs, testDir)
	if err != nil || slices.Equal(before.logs, j.logs.ends()) {
		t.Errorf("on a full disk %+v is noted: %v", before, err)
	}
	full.Store(false)
	waitIdle(t, j)
	mustClose(t, j)
}

// TestMissingMarker: a store whose format can't be told is refused by the name of what is missing.
func TestMissingMarker(t *testing.T) {
	t.Parallel()
	fs, _ := closedStore(t)
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "marker.") {
			continue
		}
		damaged := clone(fs)
		if err := errors.Join(damaged.Remove(path.Join(testDir, name)), syncDir(damaged, testDir)); err != nil {
			t.Fatal(err)
		}
		kind := strings.Split(name, ".")[1]
		if _, err := openDamaged(t, damaged); !errors.Is(err, persistence.ErrCorrupt) || !strings.Contains(err.Error(), kind) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
