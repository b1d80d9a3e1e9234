package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// versionBefore is the version that nodes must be able to run beside. There is no release yet: it is the first one that forms a cluster.
const versionBefore = "206288ccf11e"

// mixedFor is how long both versions run beside each other, each time that one more node was upgraded.
const mixedFor = 5 * time.Second

// upgrade stops the nodes of a cluster of the version before, one after the other, and starts this one in their place, under load.
func upgrade(ctx context.Context, s *site) (figures, error) {
	switch {
	case s.ci():
		return skippedAtCI(), nil
	case noCluster(s):
		return withoutCluster(), nil
	}
	before, err := buildBefore(ctx, s)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(s.dir, "holdfast") // that of all nodes: whoever starts next takes what it is then
	if err := os.Symlink(before, program); err != nil {
		return nil, err //nolint:wrapcheck // it names both
	}
	return withOwnCluster(ctx, s, func(_ *cluster, spec *stage.ClusterSpec) error {
		spec.Holdfast = program
		return nil
	}, withSystems(func(ctx context.Context, r *clusterRow) (figures, error) {
		f := figures{}
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, _ *pulse) error {
			if err := r.settled(ctx); err != nil {
				return err
			}
			if err := errors.Join(os.Remove(program), os.Symlink(s.holdfast, program)); err != nil {
				return err
			}
			for _, n := range r.Nodes {
				if err := stage.Pause(ctx, mixedFor); err != nil {
					return err
				}
				starts := n.Starts()
				if err := n.Signal(syscall.SIGTERM); err != nil {
					return err
				}
				if err := n.AwaitStart(ctx, starts); err != nil {
					return err
				}
				if err := r.settled(ctx); err != nil {
					return err
				}
			}
			return stage.Pause(ctx, mixedFor)
		})
		if err != nil {
			return f, err
		}
		f["upgraded"] = len(r.Nodes)
		f["fences"], err = r.logged("msg=\"takes over\"")
		return f, err
	}))
}

// buildBefore builds the version before from the history of this checkout.
func buildBefore(ctx context.Context, s *site) (binary string, err error) {
	source := filepath.Join(s.dir, "before")
	if err := os.Mkdir(source, 0o700); err != nil {
		return "", err //nolint:wrapcheck // it names the folder
	}
	archive := filepath.Join(s.dir, "before.tar")
	binary = filepath.Join(s.dir, "holdfast-before")
	for _, c := range []*exec.Cmd{
		exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "-C", s.root, "archive", "-o", archive, versionBefore),
		exec.CommandContext(ctx, "tar", "-xf", archive, "-C", source),
		exec.CommandContext(ctx, "go", "build", "-C", source, "-pgo=off", "-o", binary, "./cmd/holdfast"),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build version %s, which the history of the checkout must have: %w: %s", versionBefore, err, lastBytes(out))
		}
	}
	return binary, nil
}

func upgradeBars(s *site) bars {
	switch {
	case s.ci():
		return bars{"skipped": atLeast(1)}
	case noCluster(s):
		return bars{}
	}
	return bars{"upgraded": atLeast(clusterNodes)}.none(clusterNone...).none("fences")
}
