package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/scenarios/kit"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// conformance runs the conformance test kit of the language, each scenario on a node of its own.
func conformance(ctx context.Context, s *site) (figures, error) {
	n := 0
	r, err := kit.Run(ctx, s.kit, func(ctx context.Context) (*client.Client, func() error, error) {
		n++
		dir := filepath.Join(s.dir, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, nil, fmt.Errorf("make a folder: %w", err)
		}
		ctx, st := stage.New(ctx, dir)
		node, err := st.StartNode(ctx, s.holdfast, false)
		if err != nil {
			st.Stop()
			return nil, nil, err
		}
		conn, err := node.Dial()
		if err != nil {
			st.Stop()
			return nil, nil, err
		}
		return conn, func() error {
			err := conn.Close()
			st.Stop()
			return err
		}, nil
	}, s.log)
	if errors.Is(err, kit.ErrNoKit) {
		return figures{"kit": "skipped: " + err.Error(), "skipped": 1}, nil
	}
	s.sayf("kit: %d scenarios, %d passed", r.Scenarios, r.Passed)
	return figures{"scenarios": r.Scenarios, "passed": r.Passed, "refused": r.Refused, "failed": r.Failed}, err
}

func conformanceBars(s *site) bars {
	if there, err := filepath.Glob(filepath.Join(s.kit, "*.feature")); err != nil || len(there) == 0 {
		return bars{"skipped": atLeast(1)}
	}
	return bars{"scenarios": atLeast(21), "passed": atLeast(11)}.none("failed")
}
