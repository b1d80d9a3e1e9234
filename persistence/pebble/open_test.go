package pebble

import (
	"bytes"
	"cmp"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{MemTableBytes: 1, CacheBytes: 1, QueueCommits: 1, Versions: -1, BatchBytes: 1 << 40, MaxOpenFiles: 1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Dir", "MemTableBytes", "CacheBytes", "QueueCommits", "Versions", "BatchBytes", "MaxOpenFiles"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	j := mustOpen(t, testConfig(fs))
	refused := func(what string, fs vfs.FS, want string) {
		t.Helper()
		j, err := Open(testConfig(fs))
		if err == nil {
			mustClose(t, j)
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), testDir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("open twice", fs, "in use")
	mustClose(t, j)

	foreign := vfs.NewMem()
	if err := foreign.MkdirAll(testDir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(foreign, path.Join(testDir, "notes.txt"), []byte("mine")); err != nil {
		t.Fatal(err)
	}
	refused("other files", foreign, "not a Holdfast journal")

	other := vfs.NewMem()
	db, err := pebble.Open(testDir, &pebble.Options{FS: other, Logger: engineLogger{Logger: testConfig(other).Logger}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused("another store", other, "not a Holdfast journal")

	gone := vfs.NewMem()
	if err := gone.MkdirAll(testDir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := writeSeal(gone, testDir, seal{state: stateOpen}); err != nil {
		t.Fatal(err)
	}
	refused("files are gone", gone, "manifest is missing")

	empty := vfs.NewMem()
	if err := empty.MkdirAll(testDir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := writeSeal(empty, testDir, seal{state: stateCreating}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, testConfig(empty))) // It was never finished being made.
}

// TestVersionKeys checks that versions order as their encodings, and that each has one encoding.
func TestVersionKeys(t *testing.T) {
	t.Parallel()
	version := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 600), rapid.Map(rapid.IntRange(0, 63), func(n int) uint64 { return 1 << n }))
	rapid.Check(t, func(r *rapid.T) {
		a, b := messages.Version(version.Draw(r, "a")), messages.Version(version.Draw(r, "b"))
		ka, kb := appendVersion(nil, a), appendVersion(nil, b)
		if got, want := bytes.Compare(ka, kb), cmp.Compare(a, b); got != want {
			r.Fatalf("%d is %x, %d is %x", a, ka, b, kb)
		}
		if back, err := parseVersion(ka); err != nil || back != a {
			r.Fatalf("%d is %x is %d, %v", a, ka, back, err)
		}
	})
}

func FuzzVersionKey(f *testing.F) {
	f.Add([]byte{0xf8, 0xf8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := parseVersion(b); err == nil && !bytes.Equal(appendVersion(nil, v), b) {
			t.Errorf("%x was read as %d", b, v)
		}
	})
}

func FuzzScanRecord(f *testing.F) {
	f.Add(journaltest.Acceptance("order").Record)
	f.Add([]byte{0x0a, 0x01, 0x00, 0x12, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, events, err := rows.ScanRecord(b)
		checkScan(t, b, events, err)
	})
}
