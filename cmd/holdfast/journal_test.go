package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/persistence/pebble"
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

// What is wrong with a journal is told in sentences, and no journal that can't be read looks like an empty one.
func TestJournalReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		report pebble.Report
		want   string
	}{
		{pebble.Report{Orders: 3, Records: 3, Digest: "2737371dc7c42f59"}, "3 orders (0 open), 3 records with 0 events, 0 definitions, " +
			"0 tables with 0 bytes, digest 2737371dc7c42f59\nnothing is wrong\n"},
		{pebble.Report{Unreadable: true, ProblemCount: 1, Problems: []pebble.Problem{
			{File: "000005.sst", What: "the store can't be opened: 000005.sst at offset 0: the file is missing"},
		}}, "the journal can't be read, and what it holds is not known\n" +
			"  the store can't be opened: 000005.sst at offset 0: the file is missing\n"},
		{pebble.Report{Orders: 2, Digest: "27", ProblemCount: 3, Problems: []pebble.Problem{
			{Order: "h", What: "has a row and no history"}, {File: "f", Key: "46", What: "can't be read"},
		}}, "the journal is damaged; what can be read of it: 2 orders (0 open), 0 records with 0 events, 0 definitions, " +
			"0 tables with 0 bytes, digest 27\n  order h: has a row and no history\n  f: key 46: can't be read\n  and 1 more problem\n"},
	} {
		var out bytes.Buffer
		if err := (&app{stdout: &out}).printReport(tt.report); err != nil || out.String() != tt.want {
			t.Errorf("%v:\n%s\nwant\n%s", err, out.String(), tt.want)
		}
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
