package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	ended := func(code int) error {
		return fmt.Errorf("verify: %w", exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprint("exit ", code)).Run())
	}
	at := change{file: "000012.log", offset: 100}
	want := verified{Orders: 5, Digest: "d"}
	told := func(file, what string) verified {
		return verified{Digest: "d", Orders: 5, Problems: []problem{{"HOLDFAST", "x"}, {file, what}}}
	}
	for name, tt := range map[string]struct {
		got     verified
		failed  error
		verdict string
	}{
		"the same":             {want, nil, "identical"},
		"another digest":       {verified{Orders: 5, Digest: "e"}, nil, "wrong"},
		"an order less":        {verified{Orders: 4, Digest: "d"}, nil, "wrong"},
		"nothing said":         {verified{}, nil, "wrong"},
		"refused":              {told(at.file, "damaged: 000012.log at offset 96: x"), ended(1), "refused"},
		"refused at its start": {told(at.file, "damaged: 000012.log at offset 0: x"), ended(1), "refused"},
		"refused by the error": {verified{}, fmt.Errorf("000012.log at offset 96: x: %w", ended(1)), "refused"},
		"behind the damage":    {told(at.file, "damaged: 000012.log at offset 101: x"), ended(1), "unnamed"},
		"no offset":            {told(at.file, "damaged: 000012.log at offset x"), ended(1), "unnamed"},
		"another file":         {told("000013.log", "damaged: 000013.log at offset 96: x"), ended(1), "unnamed"},
		"no place":             {told("", "damaged"), ended(1), "unnamed"},
		"broken down":          {told(at.file, "damaged: 000012.log at offset 96: x"), ended(2), "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.got.judge(tt.failed, at, want); got != tt.verdict {
				t.Errorf("judged %s, want %s", got, tt.verdict)
			}
		})
	}
}

// TestChooseFlips: each kind of file gets its share, and nothing is flipped where there is nothing.
func TestChooseFlips(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("HOLDFAST", "ten bytes.")
	write("LOCK", "")
	write("000001.log", strings.Repeat("x", 1000)+strings.Repeat("\x00", 100_000))
	write("000002.sst", strings.Repeat("x", 4000))
	s := site{seed: 3}
	flips, kinds, err := chooseFlips(s.chance(), dir, 600)
	if err != nil || len(flips) != 600 || kinds["HOLDFAST"] < 100 || kinds["sst"] < 250 || kinds["log"] < 110 || kinds["LOCK"] != 0 {
		t.Fatalf("%d flips of %v: %v", len(flips), kinds, err)
	}
	bits := map[byte]int{}
	for _, f := range flips {
		if f.file == "000001.log" && f.offset >= 1064 || f.file == "HOLDFAST" && f.offset >= 10 || f.offset < 0 {
			t.Errorf("flip %+v", f)
		}
		bits[f.bit]++
	}
	if len(bits) != 8 {
		t.Errorf("bits %v", bits)
	}
}

// TestTry: the byte is as it was afterwards, and was not while it was looked at.
func TestTry(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	file := filepath.Join(data, "journal", "f")
	script := filepath.Join(data, "holdfast")
	// What this process writes itself can't be run as long as another process that it is just starting has the file, too.
	const write = `echo '#!/bin/sh' > "$0"; echo 'printf "{\"digest\":\"%s\"}" $(cat journal/f)' >> "$0"; chmod +x "$0"`
	err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("abc"), 0o600),
		exec.CommandContext(t.Context(), "sh", "-c", write, script).Run())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{holdfast: script, log: t.Output()}
	for digest, want := range map[string]string{"aBc": "identical", "abc": "wrong"} {
		verdict, err := tryChange(t.Context(), s, data, change{file: "f", offset: 1, bit: 0x20}, verified{Digest: digest})
		after, readErr := os.ReadFile(file)
		if err != nil || readErr != nil || verdict != want || string(after) != "abc" {
			t.Errorf("verdict %s, want %s; the file has %q: %v, %v", verdict, want, after, err, readErr)
		}
	}
}

// TestChange: a change leaves what it was made of as it was.
func TestChange(t *testing.T) {
	t.Parallel()
	content := []byte("abcdef")
	for want, c := range map[string]change{
		"abcDef": {offset: 3, bit: 0x20}, "ab\x00\x00ef": {offset: 2, blank: 2}, "abcd\x00\x00": {offset: 4, blank: 100}, "abc": {offset: 3, cut: true},
	} {
		if got := c.apply(content); string(got) != want || string(content) != "abcdef" {
			t.Errorf("%s: %q of %q", c, got, content)
		}
	}
}

// TestChooseLogChanges: the newest log is damaged in each way alike, where it has something.
func TestChooseLogChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := site{seed: 3}
	if changes, err := chooseLogChanges(s.chance(), dir, 3); err == nil {
		t.Errorf("without a note: %v", changes)
	}
	const note = "holdfast journal 1\nstate open\nlog 000004.log 20000\nlog 000007.log 9000\ncheck 0\n"
	if err := os.WriteFile(filepath.Join(dir, "HOLDFAST"), []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	changes, err := chooseLogChanges(s.chance(), dir, 300)
	if err != nil || len(changes) != 300 {
		t.Fatalf("%d changes: %v", len(changes), err)
	}
	bits, pages, cuts := 0, 0, 0
	for _, c := range changes {
		if c.file != "000007.log" || c.offset >= 9000 || c.blank > 0 && c.offset%blankPage != 0 {
			t.Errorf("change %s", c)
		}
		switch {
		case c.cut:
			cuts++
		case c.blank > 0:
			pages++
		case c.bit > 0:
			bits++
		}
	}
	if bits != 100 || pages != 100 || cuts != 100 {
		t.Errorf("%d bits, %d pages, %d cuts", bits, pages, cuts)
	}
}
