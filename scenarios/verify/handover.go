package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// handoverMoves is how often partitions change hands at full scale.
	handoverMoves = 10_000
	// handoverLess is how much less is done at the scale ci.
	handoverLess = 40
	// handoverFigures is what the test prints its figures behind.
	handoverFigures = "figures: "
)

// handoverPart is a number at full scale, or the part of it at the scale ci.
func (s *site) handoverPart(whole int) int {
	if s.ci() {
		return whole / handoverLess
	}
	return whole
}

// handover runs the test of the engine in which two nodes in one process hand partitions to each other over one journal, while
// commits, messages and nodes fail.
func handover(ctx context.Context, s *site) (figures, error) {
	out, err := s.command(ctx, s.root, nil, "go", "test", "./actors", "-run", "^TestHandover$", "-count", "1", "-v", "-timeout", "30m",
		"-handover.moves", strconv.Itoa(s.handoverPart(handoverMoves)), "-handover.seed", strconv.FormatUint(s.seed, 10))
	f := figures{"failed": 0}
	var exit interface{ ExitCode() int }
	switch {
	case errors.As(err, &exit):
		f["failed"] = 1
		s.sayf("handover: %s", lastBytes(out))
	case err != nil:
		return f, err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "handover.log"), out, 0o600); err != nil {
		return f, fmt.Errorf("keep what the test has said: %w", err)
	}
	_, told, found := bytes.Cut(out, []byte(handoverFigures))
	if !found {
		return f, errors.New("the test has told no figures")
	}
	var numbers map[string]int
	if err := json.Unmarshal([]byte(firstLine(told)), &numbers); err != nil {
		return f, fmt.Errorf("the figures of the test: %w", err)
	}
	for name, n := range numbers {
		f[name] = n
	}
	return f, nil
}

func handoverBars(s *site) bars {
	b := bars{"in_flight_least": atLeast(200)}.none("failed")
	for name, least := range map[string]int{
		"moves": handoverMoves, "fences": 1000, "stale_commits": 100, "unknown_outcomes": 500,
		"disowned": 50, "unknown_claims": 500, "keyed": 1000, "children": 1000, "timers": 1000, "overflowed": 200, "inserted": 1000,
	} {
		b[name] = atLeast(float64(s.handoverPart(least)))
	}
	return b
}
