package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A new journal is made in a directory that is empty or absent, or in which one was begun, and nowhere else.
func TestWhereAJournalIsMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files   []string // those that end with a slash are directories
		refused string
	}{
		"Empty":            {nil, ""},
		"NewDisk":          {[]string{"lost+found/"}, ""},
		"EmptyJournal":     {[]string{"journal/"}, ""},
		"HalfMade":         {[]string{"journal/", "journal/LOCK", "journal/HOLDFAST.new"}, ""},
		"OtherFiles":       {[]string{"notes.txt"}, "notes.txt"},
		"JournalItself":    {[]string{"000002.log", "MANIFEST-000001"}, "000002.log"},
		"BesideEmpty":      {[]string{"journal/", "old/"}, "old"},
		"JournalOfNothing": {[]string{"journal/", "journal/000004.sst"}, "000004.sst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			for _, file := range c.files {
				path := filepath.Join(data, file)
				err := os.MkdirAll(filepath.Dir(path), 0o700)
				if err == nil && strings.HasSuffix(file, "/") {
					err = os.MkdirAll(path, 0o700)
				} else if err == nil {
					err = os.WriteFile(path, nil, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			node, out := startProcess(t, []string{childVariable + "=real"},
				"node", "--data", data, "--listen", freeAddress(t), "--admin-listen", freeAddress(t))
			if c.refused == "" {
				out.await(t, "node is up", 1)
				return
			}
			if err := node.Wait(); err == nil || !strings.Contains(out.String(), c.refused) || !strings.Contains(out.String(), "empty") {
				t.Errorf("the node ended with %v: %s", err, out)
			}
		})
	}
}

// What a node writes is for its owner alone, also where others could read it before.
func TestJournalIsPrivate(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	run := func() {
		t.Helper()
		node, out := startProcess(t, []string{childVariable + "=real"},
			"node", "--data", data, "--listen", freeAddress(t), "--admin-listen", freeAddress(t))
		out.await(t, "node is up", 1)
		if err := node.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := node.Wait(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	run()
	n := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if n++; info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, not %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || n < 8 {
		t.Errorf("%d files: %v", n, err)
	}
	journal := filepath.Join(data, "journal")
	if err := os.Chmod(journal, 0o755); err != nil {
		t.Fatal(err)
	}
	run()
	if info, err := os.Stat(journal); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the journal's directory is open to others: %v, %v", info.Mode(), err)
	}
}
