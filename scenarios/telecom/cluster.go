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

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// clusterNodes is how many nodes there are.
const clusterNodes = 3

// cluster runs orders through several nodes.
type cluster struct {
	holdfast, self, consul string // paths of the binaries
	postgres               string // folder with the programs of PostgreSQL
	dir                    string // of all logs
	show                   *screen

	rate                         int
	lasts, every, back, patience time.Duration

	nodes *stage.Cluster
	ended int // how often nodes have
}

// run runs it; its error says what is not as it must be. When ctx ends, orders come no more, and those that have come end.
func (k *cluster) run(ctx context.Context) (err error) {
	whole := context.WithoutCancel(ctx)
	database, remove, err := k.startDatabase(whole)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	running, st := stage.New(whole, k.dir)
	defer st.Stop()
	if err := k.start(running, st, database); err != nil {
		return err
	}
	c, err := client.New(client.Config{Addresses: k.nodes.Servers(), Backoff: client.Backoff{Initial: reconnectAfter, Max: reconnectAfter}})
	if err != nil {
		return fmt.Errorf("connect to the nodes: %w", err)
	}
	defer func() { _ = c.Close() }()
	if err := deploy(running, c, k.show); err != nil {
		return err
	}
	k.explain()
	watching, enough := context.WithCancel(running)
	watched := make(chan struct{})
	go func() { defer close(watched); k.watch(watching) }()
	all, err := k.carryOut(ctx, running, c)
	enough()
	<-watched
	if err != nil {
		return err
	}
	st.Stop() // so that no log grows while it is checked
	k.show.line("processes", "", "all stopped")
	return k.judge(whole, all)
}

// startDatabase starts a server of PostgreSQL. Its data are on a disk, and are removed.
func (k *cluster) startDatabase(ctx context.Context) (address string, remove func() error, err error) {
	parent := k.dir
	if os.Geteuid() == 0 {
		parent = os.TempDir() // the server runs as another user, who may not enter ours
	}
	dir, err := os.MkdirTemp(parent, "holdfast-postgres-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	server, err := pgserver.Make(ctx, k.postgres, dir)
	if err == nil {
		server.Log = filepath.Join(k.dir, "postgres.log")
		err = server.Start() //nolint:contextcheck // it lives longer than the call
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	k.show.line("PostgreSQL", "", fmt.Sprintf("answers on 127.0.0.1:%d", server.Port))
	return server.Address("postgres"), func() error {
		server.Stop()
		return os.RemoveAll(dir)
	}, nil
}

// start starts everything else.
func (k *cluster) start(ctx context.Context, st *stage.Stage, journal string) (err error) {
	k.nodes, err = st.StartCluster(ctx, stage.ClusterSpec{Holdfast: k.holdfast, Consul: k.consul, Journal: journal, Nodes: clusterNodes})
	if err != nil {
		return fmt.Errorf("start the nodes: %w", err)
	}
	for _, n := range k.nodes.Nodes {
		n.StayAway(k.back)
	}
	k.show.line("nodes", "", fmt.Sprintf("%d are ready, on %s; Consul is at %s", clusterNodes, strings.Join(k.nodes.Servers(), ", "),
		k.nodes.Consul.Address))
	names := systemNames()
	addresses, err := stage.FreeAddresses(ctx, len(names))
	if err != nil {
		return err
	}
	for i, name := range names {
		for process, args := range map[string][]string{
			"downstream-": {
				"downstream", name, "--listen", addresses[i], "--log", downstreamLog(k.dir, name), "--latency", "20ms", "--jitter", "60ms",
			},
			"adapter-": {
				"adapter", name, "--downstream", "http://" + addresses[i], "--server", strings.Join(k.nodes.Servers(), ","),
			},
		} {
			if _, err := st.Start(ctx, stage.Spec{Name: process + name, Path: k.self, Args: args, Restart: true}); err != nil {
				return err
			}
		}
		if err := stage.Answers(ctx, "http://"+addresses[i]+"/control"); err != nil {
			return err
		}
	}
	k.show.line("adapters", "", fmt.Sprintf("%d, and as many downstream systems, a process each", len(names)))
	return nil
}

// explain says what may be done.
func (k *cluster) explain() {
	k.show.heading(fmt.Sprintf("%d orders a second come for %v. Kill what you like: it is started again.", k.rate, k.lasts))
	for i, n := range k.nodes.Nodes {
		fmt.Fprintf(k.show.out, "  kill -9 %-8d %s, which stays away for %v; its API is at %s, its administration at %s\n",
			n.PID(), nodeName(i), k.back, n.Server, n.Admin)
	}
	fmt.Fprintf(k.show.out, "  %s cluster status --admin-server %s\n", k.holdfast, k.nodes.Nodes[0].Admin)
	k.show.heading("What happens")
}

func nodeName(i int) string { return "node" + strconv.Itoa(i+1) }

// judge shows what became of the orders, and checks it.
func (k *cluster) judge(ctx context.Context, all []*following) error {
	var wrong, interrupted int
	var slowest time.Duration
	for _, o := range all {
		if len(o.wrong) > 0 {
			if wrong++; wrong <= 10 {
				k.show.line(string(o.id), red, strings.Join(o.wrong, "; "))
			}
		}
		if o.interrupted {
			interrupted++
		}
		slowest = max(slowest, o.last.GetEndedAt().AsTime().Sub(o.last.GetAcceptedAt().AsTime()))
	}
	k.show.heading("Summary")
	fmt.Fprintf(k.show.out, "  %d orders were accepted, and have ended; the slowest took %.1f s\n", len(all), slowest.Seconds())
	fmt.Fprintf(k.show.out, "  nodes have ended %d times; who watched one of %d orders noticed, and went on\n", k.ended, interrupted)
	return checkAll(ctx, k.dir, k.show, all, wrong)
}
