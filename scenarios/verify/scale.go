package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// scaleInFlight is how many orders each node has under way: so many that it never waits for one.
	scaleInFlight = 128
	// scaleFor is how long is measured with each number of nodes.
	scaleFor = 20 * time.Second
	// scaleMicroseconds is for how long of each tenth of a second a node may use the processors.
	scaleMicroseconds = 25_000
)

// unscaled tells why scale is not measured; empty: it is.
func unscaled(s *site) string {
	switch {
	case s.ci():
		return "skipped: scale ci"
	case noCluster(s):
		return "skipped: it needs PostgreSQL, and Consul, which make tools builds"
	}
	if _, err := os.Stat(cpuGroups + "/cpu.cfs_quota_us"); err != nil {
		return fmt.Sprintf("skipped: no controller of processors: %v", err)
	}
	return ""
}

// scale measures how much more one, two and three nodes do that have a quarter of a processor each, while the database and the client have
// as much as they want.
func scale(ctx context.Context, s *site) (figures, error) {
	if why := unscaled(s); why != "" {
		return figures{"scale": why, "skipped": 1}, nil
	}
	f := figures{}
	for nodes := 1; nodes <= clusterNodes; nodes++ {
		of, err := scaleOf(ctx, s, nodes)
		if err != nil {
			return f, err
		}
		rate, _ := of.number("rate_per_s")
		wrong, _ := of.number("errors")
		before, _ := f.number("errors")
		f[fmt.Sprintf("nodes%d_rate_per_s", nodes)], f["errors"] = rate, before+wrong
		for _, name := range []string{"p50_ms", "p99_ms", "node_cpu_s", "client_cpu_s"} {
			f[fmt.Sprintf("nodes%d_%s", nodes, name)] = of[name]
		}
		used, _ := of.number("node_cpu_s")
		f[fmt.Sprintf("nodes%d_cpu_share", nodes)] = round(used/scaleFor.Seconds()/float64(nodes), 3) // of a processor, for each node
		if one, _ := f.number("nodes1_rate_per_s"); nodes > 1 {
			f[fmt.Sprintf("nodes%d_ratio", nodes)] = round(rate/one, 2)
		}
	}
	return f, nil
}

// scaleOf measures so many nodes.
func scaleOf(ctx context.Context, s *site, nodes int) (f figures, err error) {
	return withOwnCluster(ctx, s, func(_ *cluster, spec *stage.ClusterSpec) error {
		spec.Nodes = nodes
		return nil
	}, func(ctx context.Context, _ *stage.Stage, r *clusterRow) (f figures, err error) {
		if err := r.settled(ctx); err != nil {
			return nil, err
		}
		for i, n := range r.Nodes {
			group, err := newCPUGroup(fmt.Sprintf("holdfast-verify-%d-%s", os.Getpid(), nodeName(i)))
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, group.remove()) }()
			if err := group.confine(n.PID(), scaleMicroseconds); err != nil {
				return nil, err
			}
		}
		return w3AtCluster(ctx, s, r.Cluster, nodes*scaleInFlight, scaleFor)
	})
}

func scaleBars(s *site) bars {
	if unscaled(s) != "" {
		return bars{"skipped": atLeast(1)}
	}
	return bars{"nodes2_ratio": atLeast(1.8), "nodes3_ratio": atLeast(2.5)}.none("errors")
}

// cpuGroups is where Linux has the groups of processes that share processors, in its first version of them.
const cpuGroups = "/sys/fs/cgroup/cpu"

// cpuGroup is a group of processes that gets a share of the processors.
type cpuGroup string

func newCPUGroup(name string) (cpuGroup, error) {
	g := cpuGroup(filepath.Join(cpuGroups, name))
	return g, os.Mkdir(string(g), 0o750) //nolint:wrapcheck // it names the folder
}

// confine puts a process into the group, which gets so many microseconds of a processor in a tenth of a second.
func (g cpuGroup) confine(pid, microseconds int) error {
	for _, set := range []struct{ name, value string }{
		{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", strconv.Itoa(microseconds)}, {"cgroup.procs", strconv.Itoa(pid)},
	} {
		if err := os.WriteFile(filepath.Join(string(g), set.name), []byte(set.value), 0o600); err != nil {
			return fmt.Errorf("confine process %d: %w", pid, err)
		}
	}
	return nil
}

// remove has the processes of the group have as much as they want again.
func (g cpuGroup) remove() error {
	members, err := os.ReadFile(filepath.Join(string(g), "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(members)) {
		if err := os.WriteFile(cpuGroups+"/cgroup.procs", []byte(pid), 0o600); err != nil {
			return err //nolint:wrapcheck // as above
		}
	}
	return os.Remove(string(g)) //nolint:wrapcheck // as above
}
