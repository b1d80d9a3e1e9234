package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

const testDir = "/data/journal"

func testConfig(fs vfs.FS) Config {
	return Config{
		Dir: testDir, FS: fs, Logger: slog.New(slog.DiscardHandler), MemTableBytes: 1 << 20, CacheBytes: 1 << 20,
		NoteAfter: time.Millisecond, LowWaterBytes: -1, Fatal: func(error) {},
	}
}

func mustOpen(tb testing.TB, cfg Config) *Journal {
	tb.Helper()
	j, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func mustClose(tb testing.TB, j *Journal) {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
}

func stateOf(tb testing.TB, j *Journal) string {
	tb.Helper()
	s, err := journaltest.State(tb.Context(), j)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// closedStore makes a store that was opened and filled a few times and closed.
func closedStore(tb testing.TB) (*vfs.MemFS, string) {
	tb.Helper()
	fs := vfs.NewCrashableMem()
	var want string
	for range 2 {
		j := mustOpen(tb, testConfig(fs))
		journaltest.Fill(tb, j, 10)
		want = stateOf(tb, j)
		mustClose(tb, j)
	}
	return fs, want
}

// killedStore makes a store whose process was killed when it had nothing to do. Some of it is in tables, some in the log.
func killedStore(tb testing.TB) (*vfs.MemFS, string) {
	tb.Helper()
	fs, _ := closedStore(tb)
	j := mustOpen(tb, testConfig(fs))
	journaltest.Fill(tb, j, 10)
	if err := j.db.Flush(); err != nil {
		tb.Fatal(err)
	}
	journaltest.Fill(tb, j, 10)
	want := stateOf(tb, j)
	waitIdle(tb, j)
	killed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	mustClose(tb, j)
	return killed, want
}

// waitIdle returns when the journal has noted its log and its manifest.
func waitIdle(tb testing.TB, j *Journal) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		now, err := readSeal(j.cfg.FS, testDir)
		if err != nil {
			tb.Fatal(err)
		}
		if m, err := readManifest(j.cfg.FS, testDir); err == nil && m == now.manifest && slices.Equal(now.logs, j.logs.ends()) {
			return
		}
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatal("the journal never came to rest")
		}
	}
}

// openDamaged opens a store and returns its state, or why that could not be had.
func openDamaged(tb testing.TB, fs vfs.FS) (string, error) {
	tb.Helper()
	var fatal error
	cfg := testConfig(fs)
	cfg.Fatal = func(err error) { fatal = err }
	j, err := Open(cfg)
	if err != nil {
		return "", err
	}
	state, err := journaltest.State(tb.Context(), j)
	closeErr := j.Close()
	return state, errors.Join(err, fatal, closeErr)
}

// TestFlippedBytes damages a byte of a file at a time. The store must be what it was, or say that it is not; whether it
// was closed, or its process was killed.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(testing.TB) (*vfs.MemFS, string){"Closed": closedStore, "Killed": killedStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs, want := store(t)
			if got, err := openDamaged(t, clone(fs)); err != nil || got != want {
				t.Fatalf("the store is not what it was before any damage: %v", err)
			}
			names, err := fs.List(testDir)
			if err != nil {
				t.Fatal(err)
			}
			for i, file := range names {
				if path.Ext(file) == ".sst" && i%slow != 0 {
					continue
				}
				flipBytesOf(t, fs, file, want)
			}
		})
	}
}

func clone(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

func flipBytesOf(t *testing.T, fs *vfs.MemFS, file, want string) {
	t.Helper()
	name := path.Join(testDir, file)
	content, err := readFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	// Logs are as long as they may become.
	length := len(bytes.TrimRight(content, "\x00"))
	const most, tail = 30/slow + 1, 30/slow + 1
	same, refused := 0, 0
	stride := max(1, length/most)
	offsets := make([]int, 0, most+tail+1)
	for at := 0; at < length; at += stride {
		offsets = append(offsets, at)
	}
	for at := max(0, length-tail); at < length; at++ {
		offsets = append(offsets, at)
	}
	slices.Sort(offsets)
	for _, at := range slices.Compact(offsets) {
		damaged := clone(fs)
		flipped := slices.Clone(content)
		flipped[at] ^= 0x40
		if err := writeFile(damaged, name, flipped); err != nil {
			t.Fatal(err)
		}
		switch got, err := openDamaged(t, damaged); {
		case err != nil:
			refused++
		case got == want:
			same++
		default:
			t.Errorf("%s, byte %d of %d: the journal has changed in silence:\n%s", file, at, length, firstDifference(want, got))
		}
	}
	t.Logf("%-30s %6d bytes: %4d times the same, %4d times an error", file, length, same, refused)
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("line %d of %d, now %d: %.200s", i, len(a), len(b), a[i])
		}
	}
	return "something was added"
}

// TestTornTail cuts the log of a killed store anywhere, which had not noted yet how far it was durable: what is left is the
// beginning of what was there, never an error. A cut can't be told from a crash while the end was written.
func TestTornTail(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	cfg := testConfig(fs)
	cfg.NoteAfter = time.Hour
	j := mustOpen(t, cfg)
	log := newestLog(t, fs)
	journaltest.Fill(t, j, 5)
	killed := clone(fs)
	mustClose(t, j)
	// What the engine did last while it was opened may have been noted with the first write behind that.
	noted, err := readSeal(killed, testDir)
	if err != nil {
		t.Fatal(err)
	}
	start := 0
	for _, end := range noted.logs {
		start = int(end.length)
	}
	content, err := readFile(killed, log)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(content, "\x00"))
	orders := 0
	const stride = 10 * slow
	for cut := start; cut < end+stride; cut += stride {
		torn := clone(killed)
		if err := writeFile(torn, log, append(slices.Clone(content[:min(cut, end)]), make([]byte, 3*blockSize)...)); err != nil {
			t.Fatal(err)
		}
		state, err := openDamaged(t, torn)
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, end, err)
		}
		n := strings.Count(state, "order ")
		if n < orders {
			t.Errorf("cut at %d: %d orders, and %d with less", cut, n, orders)
		}
		orders = n
	}
	if orders != 5 {
		t.Errorf("%d orders at the end", orders)
	}
}

func newestLog(tb testing.TB, fs vfs.FS) string {
	tb.Helper()
	names, err := fs.List(testDir)
	if err != nil {
		tb.Fatal(err)
	}
	logs := slices.DeleteFunc(names, func(name string) bool { return path.Ext(name) != ".log" })
	if len(logs) == 0 {
		tb.Fatal("there is no log")
	}
	return path.Join(testDir, slices.Max(logs))
}

// TestDamagedLog checks that the error of damage in the log names the place.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	fs, _ := killedStore(t)
	log := newestLog(t, fs)
	content, err := readFile(fs, log)
	if err != nil {
		t.Fatal(err)
	}
	content[200] ^= 1
	if err := writeFile(fs, log, content); err != nil {
		t.Fatal(err)
	}
	_, err = Open(testConfig(fs))
	if !errors.Is(err, persistence.ErrCorrupt) || !strings.Contains(err.Error(), path.Base(log)) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("open: %v", err)
	}
}

func FuzzChunks(f *testing.F) {
	fs, _ := killedStore(f)
	for _, name := range []string{newestLog(f, fs)} {
		content, err := readFile(fs, name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimRight(content, "\x00"), uint64(9), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, number uint64, log bool) {
		kinds := []chunked{manifestChunks()}
		if log {
			kinds = logChunks(number)
		}
		for _, kind := range kinds {
			e, err := kind.scan(bytes.NewReader(b))
			if err != nil || e.readable > int64(len(b)) || e.behind != 0 && e.behind <= e.readable || e.behind > int64(len(b)) {
				t.Errorf("%+v of %d bytes: %v", e, len(b), err)
			}
		}
	})
}

func FuzzSeal(f *testing.F) {
	f.Add(seal{state: stateSealed, manifest: manifest{"MANIFEST-000001", 5, 7}}.encode())
	f.Add(seal{state: stateCreating}.encode())
	f.Add([]byte("holdfast journal 99\ncheck 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSeal(b)
		if err == nil && !bytes.Equal(s.encode(), b) {
			t.Errorf("%q was read as %+v", b, s)
		}
	})
}
