package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// change is damage to a file of a journal: a bit that is turned over, a page that is blank, or an end that is cut off.
type change struct {
	file   string
	offset int64
	// bit is the bit to turn over; 0: none.
	bit byte
	// blank is how many bytes become zero; cut tells to cut the file off.
	blank int64
	cut   bool
}

func (c change) String() string {
	what := fmt.Sprintf("bit %#x turned over", c.bit)
	switch {
	case c.cut:
		what = "cut off"
	case c.blank > 0:
		what = fmt.Sprint(c.blank, " bytes blank")
	}
	return fmt.Sprintf("%s at offset %d, %s", c.file, c.offset, what)
}

// apply changes a copy of what a file has.
func (c change) apply(content []byte) []byte {
	changed := slices.Clone(content)
	switch {
	case c.cut:
		return changed[:c.offset]
	case c.blank > 0:
		clear(changed[c.offset:min(c.offset+c.blank, int64(len(changed)))])
	default:
		changed[c.offset] ^= c.bit
	}
	return changed
}

// chooseFlips chooses bytes of a journal: half of them anywhere, so that large files get most, and half so that each kind
// of file gets as many. It counts them by the kind of file.
func chooseFlips(chance *rand.Rand, journal string, n int) ([]change, map[string]int, error) {
	entries, err := os.ReadDir(journal)
	if err != nil {
		return nil, nil, fmt.Errorf("list the store: %w", err)
	}
	type file struct {
		name   string
		length int64
	}
	var all int64
	var files []file
	var kinds []string
	byKind := map[string][]file{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(journal, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		// A log has its whole length from the start; what is behind its end is hardly looked at.
		length := int64(min(len(b), len(bytes.TrimRight(b, "\x00"))+64))
		if len(b) == 0 {
			continue
		}
		kind := strings.Trim(e.Name(), "-.0123456789")
		if byKind[kind] == nil {
			kinds = append(kinds, kind)
		}
		byKind[kind] = append(byKind[kind], file{e.Name(), length})
		files = append(files, file{e.Name(), length})
		all += length
	}
	var flips []change
	counted := map[string]int{}
	for i := range n {
		chosen, at := files[0], chance.Int64N(all)
		if i%2 == 0 {
			of := byKind[kinds[i/2%len(kinds)]]
			chosen = of[chance.IntN(len(of))]
			at = chance.Int64N(chosen.length)
		} else {
			for _, chosen = range files {
				if at < chosen.length {
					break
				}
				at -= chosen.length
			}
		}
		counted[strings.Trim(chosen.name, "-.0123456789")]++
		flips = append(flips, change{file: chosen.name, offset: at, bit: 1 << chance.IntN(8)})
	}
	return flips, counted, nil
}

// tryChange changes a file, has the journal verified, and changes it back. The verdict is the name of a figure.
func tryChange(ctx context.Context, s *site, data string, c change, want verified) (verdict string, err error) {
	file, err := os.OpenFile(filepath.Join(data, "journal", c.file), os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c, err)
	}
	defer file.Close() //nolint:errcheck // what was written was checked
	content, err := io.ReadAll(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c, err)
	}
	has := func(content []byte) error {
		_, err := file.WriteAt(content, 0)
		if err = errors.Join(err, file.Truncate(int64(len(content)))); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		return nil
	}
	if err := has(c.apply(content)); err != nil {
		return "", err
	}
	got, failed, err := examineJournal(ctx, s, data)
	if err = errors.Join(err, has(content)); err != nil {
		return "", err
	}
	verdict = got.judge(failed, c, want)
	if verdict == "wrong" || verdict == "unnamed" {
		text := "it says that nothing is wrong"
		if failed != nil {
			text = failed.Error()
		}
		s.sayf("corruption: %s: %s: %s: %.500v", verdict, c, text, got.Problems)
	}
	return verdict, nil
}

// judge tells whether a store that was damaged was found to be what it was, or was refused, with the file and a place in it
// that is not behind the damage.
func (v verified) judge(failed error, at change, want verified) string {
	if failed == nil {
		if v.equals(want) {
			return "identical"
		}
		return "wrong"
	}
	if exit := (*exec.ExitError)(nil); errors.As(failed, &exit) && exit.ExitCode() != 1 {
		return "wrong" // it broke down
	}
	texts := []string{failed.Error()}
	for _, p := range v.Problems {
		if p.File == at.file {
			texts = append(texts, p.What)
		}
	}
	for _, text := range texts {
		_, offset, found := strings.Cut(text, at.file+" at offset ")
		digits := strings.IndexFunc(offset, func(r rune) bool { return r < '0' || r > '9' })
		if n, err := strconv.ParseInt(offset[:max(digits, 0)], 10, 64); found && err == nil && n <= at.offset {
			return "refused"
		}
	}
	return "unnamed"
}
