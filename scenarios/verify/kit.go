package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/scenarios/kit"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// conformance runs the conformance test kit of the language, each scenario on a system of its own, with the adapter of "call: http": on a
// node; on one that is killed after each commit; and on a cluster whose nodes are. What answers for the hosts
// that scenarios call is here.
func conformance(ctx context.Context, s *site) (figures, error) {
	if there, err := filepath.Glob(filepath.Join(s.kit, "*.feature")); err != nil || len(there) == 0 {
		return figures{"kit": "skipped: there are no *.feature files in " + s.kit, "skipped": 1}, nil
	}
	hosts, err := hostsOf{secure: kit.Hosts, handler: kit.StandIn()}.serve(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	defer hosts.end()
	k := &kitSystems{site: s, reached: hosts.http}
	ways := []kitWay{{"", k.node}}
	if !s.ci() {
		if k.dying, err = buildFaults(ctx, s); err != nil {
			return nil, err
		}
		ways = append(ways, kitWay{"killed_", k.killed})
		if s.consul != "" {
			ways = append(ways, kitWay{"cluster_", k.cluster})
		}
	}
	f := figures{}
	for _, way := range ways {
		k.kills = 0
		r, err := kit.Run(ctx, s.kit, func(ctx context.Context) (*client.Client, func() error, error) {
			dir, err := os.MkdirTemp(s.dir, "kit-"+way.name)
			if err != nil {
				return nil, nil, fmt.Errorf("make a folder: %w", err)
			}
			return way.begin(ctx, dir)
		}, hosts.fetch, s.log)
		if err != nil {
			return f, err
		}
		s.sayf("kit: %s%d scenarios, %d passed", way.name, r.Scenarios, r.Passed)
		f[way.name+"scenarios"], f[way.name+"passed"] = r.Scenarios, r.Passed
		f[way.name+"refused"], f[way.name+"failed"], f[way.name+"kills"] = r.Refused, r.Failed, k.kills
	}
	return f, nil
}

// kitWay is a way to run the kit. begin begins a system in a folder.
type kitWay struct {
	name  string
	begin func(ctx context.Context, dir string) (*client.Client, func() error, error)
}

// kitSystems begins systems for the kit.
type kitSystems struct {
	*site

	// reached are the settings by which adapters reach their hosts, dying is a binary that is killed on demand.
	reached []string
	dying   string
	kills   int // how often a node was killed
}

func (k *kitSystems) node(ctx context.Context, dir string) (*client.Client, func() error, error) {
	return k.alone(ctx, dir, nil, k.holdfast)
}

func (k *kitSystems) killed(ctx context.Context, dir string) (*client.Client, func() error, error) {
	return k.alone(ctx, dir, []string{"HOLDFAST_DIE_AFTER=1"}, k.dying)
}

// alone begins a node, and the adapters that the language has.
func (k *kitSystems) alone(ctx context.Context, dir string, env []string, binary string) (*client.Client, func() error, error) {
	ctx, st := stage.New(ctx, dir)
	node, err := st.StartNodeIn(ctx, env, binary, len(env) > 0)
	if err != nil {
		st.Stop()
		return nil, nil, err
	}
	conn, err := node.Dial()
	if err == nil {
		err = k.adapters(ctx, st, node.Server)
	}
	end := func() error {
		k.kills += node.Starts() - 1
		st.Stop()
		return conn.Close()
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return conn, end, nil
}

func (k *kitSystems) adapters(ctx context.Context, st *stage.Stage, servers ...string) error {
	args := append([]string{"adapter", "http", "--server", strings.Join(servers, ",")}, k.reached...)
	_, err := st.Start(ctx, stage.Spec{Name: "http", Path: k.holdfast, Args: args})
	return err
}

// cluster begins three nodes, each of which is killed after each of its commits, and the adapters.
func (k *kitSystems) cluster(ctx context.Context, dir string) (*client.Client, func() error, error) {
	c, err := startCluster(ctx, k.site, dir, func(_ *cluster, spec *stage.ClusterSpec) error {
		spec.Holdfast, spec.Env = k.dying, []string{"HOLDFAST_DIE_AFTER=1"}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	conn, err := c.Dial()
	if err == nil {
		err = k.adapters(c.running, c.stage, c.Servers()...) //nolint:contextcheck // they run as long as the cluster
	}
	end := func() error {
		for _, n := range c.Nodes {
			k.kills += n.Starts() - 1
		}
		return errors.Join(conn.Close(), c.end(true))
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return conn, end, nil
}

func conformanceBars(s *site) bars {
	if there, err := filepath.Glob(filepath.Join(s.kit, "*.feature")); err != nil || len(there) == 0 {
		return bars{"skipped": atLeast(1)}
	}
	b := bars{"scenarios": atLeast(21), "passed": atLeast(21)}.none("failed")
	if s.ci() {
		return b
	}
	ways := []string{"killed_"}
	if s.consul != "" {
		ways = append(ways, "cluster_")
	}
	for _, way := range ways {
		b[way+"scenarios"], b[way+"passed"], b[way+"kills"] = atLeast(21), atLeast(21), atLeast(21)
		b.none(way + "failed")
	}
	return b
}
