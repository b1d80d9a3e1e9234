package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// loggedOrders is how many orders the log has at least that is damaged.
	loggedOrders = 40
	// blankPage is how many bytes a disk may lose at once.
	blankPage = 4 << 10
)

// logChanges is how many times a log is damaged: as many bits are turned over as pages are blanked and ends are cut off.
func logChanges(s *site) int {
	if s.ci() {
		return 10
	}
	return 300
}

// damageLogs damages the log of stores that were killed when they had nothing to do: the first log of a new store, one that
// was begun while the node ran, and one whose file was another log before.
func damageLogs(ctx context.Context, s *site, f figures) error {
	for _, kind := range []logKind{firstLog, rotatedLog, recycledLog} {
		own := *s
		own.dir = filepath.Join(s.dir, string(kind))
		if err := os.Mkdir(own.dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for the %s log: %w", kind, err)
		}
		if err := makeLog(ctx, &own, kind); err != nil {
			return fmt.Errorf("make the %s log: %w", kind, err)
		}
		tally, err := spoilJournal(ctx, &own, string(kind), f, func(journal string) ([]change, error) {
			return chooseLogChanges(s.chance(), journal, logChanges(s))
		})
		f.add("log_changes", tally.all())
		f.add("log_refused", tally["refused"])
		f[string(kind)+"_log"] = tally
		if err != nil {
			return err
		}
	}
	return nil
}

// logKind says how the newest log of a store came to be.
type logKind string

const (
	firstLog    logKind = "first"
	rotatedLog  logKind = "rotated"
	recycledLog logKind = "recycled"
)

// makeLog runs orders until the newest log is of a kind and has enough of them, and kills the node when it has come to rest.
func makeLog(ctx context.Context, s *site, kind logKind) error {
	if kind == rotatedLog {
		// The log in which a store is made is no longer needed soon, and would be used again. The next node does not.
		if err := withNode(ctx, s, func(context.Context, *stage.Node) error { return nil }); err != nil {
			return err
		}
	}
	return withNode(ctx, s, func(ctx context.Context, node *stage.Node) error {
		conn, err := prepared(ctx, node, "calm")
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // it fails only if it was closed before
		logs := logWatch{journal: filepath.Join(node.Data, "journal"), inodes: map[uint64]string{}}
		for have := 0; have < loggedOrders; {
			before, err := logs.look()
			if err != nil {
				return err
			}
			// A table in memory, and its log, holds some hundreds of orders.
			const n = loggedOrders / 2
			if err := sailJournal(ctx, s, conn, "verify/calm:1.0.0", n, func(c counts) bool { return c.ended == n }); err != nil {
				return why(ctx, err)
			}
			if after, err := logs.look(); err != nil {
				return err
			} else if have += n; after != before || logs.kind != kind {
				have = 0
			}
		}
		if err := atRest(ctx, node); err != nil {
			return err
		}
		_, err = node.Kill(ctx)
		return err
	})
}

// withNode runs a node with small logs while something is done.
func withNode(ctx context.Context, s *site, do func(context.Context, *stage.Node) error) error {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, false, "--memtable", strconv.Itoa(1<<20))
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	return do(ctx, node)
}

// logWatch looks at the logs of a journal while a node writes them.
type logWatch struct {
	journal string
	inodes  map[uint64]string // the names under which files were seen
	newest  string
	kind    logKind // of the newest
}

// look returns the name of the newest log. It must be called more often than logs are begun.
func (w *logWatch) look() (newest string, err error) {
	entries, err := os.ReadDir(w.journal)
	if err != nil {
		return "", fmt.Errorf("look at the logs: %w", err)
	}
	found := map[string]uint64{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".log" {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // it is not needed any more
		}
		if err != nil {
			return "", fmt.Errorf("look at the logs: %w", err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return "", fmt.Errorf("%s has no inode", e.Name())
		}
		found[e.Name()], newest = stat.Ino, e.Name() // they come in order
	}
	_, known := w.inodes[found[newest]]
	switch {
	case newest == w.newest:
	case w.newest == "":
		w.kind = firstLog
	case known:
		w.kind = recycledLog
	default:
		w.kind = rotatedLog
	}
	w.newest = newest
	for name, inode := range found {
		w.inodes[inode] = name
	}
	return newest, nil
}

// chooseLogChanges chooses damage to the part of the newest log that holds something, as the file HOLDFAST notes it: in turn a
// bit, a page and a cut.
func chooseLogChanges(chance *rand.Rand, journal string, n int) ([]change, error) {
	text, err := os.ReadFile(filepath.Join(journal, "HOLDFAST"))
	if err != nil {
		return nil, fmt.Errorf("read how far the log goes: %w", err)
	}
	var log string
	var length int64
	for line := range strings.Lines(string(text)) {
		if rest, isLog := strings.CutPrefix(line, "log "); isLog {
			if _, err := fmt.Sscan(rest, &log, &length); err != nil {
				return nil, fmt.Errorf("read how far the log goes, of %q: %w", line, err)
			}
		}
	}
	if length == 0 {
		return nil, fmt.Errorf("HOLDFAST notes no log: %s", text)
	}
	changes := make([]change, n)
	for i := range changes {
		c := change{file: log, offset: chance.Int64N(length)}
		switch i % 3 {
		case 0:
			c.bit = 1 << chance.IntN(8)
		case 1:
			c.offset -= c.offset % blankPage
			c.blank = blankPage
		default:
			c.cut = true
		}
		changes[i] = c
	}
	return changes, nil
}
