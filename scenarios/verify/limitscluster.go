package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// limitRate is the limit of gauge.paced in tasks a second, limitThree that of gauge.three in tasks at a time; gauge.one has one.
	limitRate  = 50
	limitThree = 3
	// limitQueue is so little memory for tasks that most of them wait on disk.
	limitQueue = "64KiB"
	// limitWindow is the shortest time over which the rate is judged: an adapter that gets no CPU for a moment begins with several tasks
	// at once that were sent one after the other.
	limitWindow = 2 * time.Second
	// limitGauges is how many processes the adapter has.
	limitGauges = 2
	// limitSettles is how long it may take, after partitions have moved, until all of a limit is shared out again.
	limitSettles = 4 * time.Second
	// limitAway is how long a node that has ended stays away.
	limitAway = 4 * time.Second
)

// limitRounds is how many nodes are killed, and as many restarted.
func limitRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 10
}

// limitOrders is how many orders there are: more than can end.
func limitOrders(s *site) int {
	if s.ci() {
		return 4_000
	}
	return 25_000
}

// limitQuiet is how long nothing happens before and after.
func limitQuiet(s *site) time.Duration {
	if s.ci() {
		return 6 * time.Second
	}
	return time.Minute
}

// limitsCluster kills and restarts nodes while activities that have limits have more to do than these allow. What was executed when, the
// adapter has written down.
func limitsCluster(ctx context.Context, s *site) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	return withOwnCluster(ctx, s, func(_ *cluster, spec *stage.ClusterSpec) error {
		spec.Settings = []string{"--queue", limitQueue}
		return nil
	}, withClient(func(ctx context.Context, st *stage.Stage, r *clusterRow) (figures, error) {
		for _, n := range r.Nodes {
			n.StayAway(limitAway)
		}
		l, f := &limitedRow{clusterRow: r}, figures{}
		if err := l.run(ctx, st, f); err != nil {
			return f, err
		}
		return f, l.judge(f)
	}))
}

// limitedRow is the row under way.
type limitedRow struct {
	*clusterRow

	gauges []string // their logs
	quiet  []span   // when nothing happened
}

type span struct{ from, to time.Time }

func (l *limitedRow) run(ctx context.Context, st *stage.Stage, f figures) error {
	if err := l.prepare(ctx, st); err != nil {
		return err
	}
	flooding, stop := context.WithCancel(ctx)
	var submits sync.WaitGroup
	defer submits.Wait()
	defer stop()
	names := []string{"one", "three", "three", "three"}
	submits.Go(func() {
		_ = newFlood(limitOrders(l.s), 64, func(n int) *orderv1.WorkOrder { // what is executed tells
			name := "paced"
			if i := n % 32; i < len(names) {
				name = names[i]
			}
			return &orderv1.WorkOrder{Definition: "verify/limited-" + name + ":1.0.0"}
		}).run(flooding, l.conn)
	})
	if err := l.rest(ctx); err != nil {
		return err
	}
	for range limitRounds(l.s) {
		if err := l.disturb(ctx, f); err != nil {
			return err
		}
	}
	return l.rest(ctx)
}

// prepare starts the adapter, deploys what calls it, and sets the limits, until all nodes know of them.
func (l *limitedRow) prepare(ctx context.Context, st *stage.Stage) error {
	for i := range limitGauges {
		log := fmt.Sprintf("%s/gauge-%d.jsonl", l.s.dir, i)
		l.gauges = append(l.gauges, log)
		if _, err := st.Start(ctx, stage.Spec{
			Name: fmt.Sprint("gauge-", i), Path: l.s.self, Args: []string{players.Gauge, "-server", l.Servers()[i], "-log", log},
		}); err != nil {
			return err
		}
	}
	document, err := definitions.ReadFile("definitions/limited.yaml")
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	for name := range players.GaugeTakes {
		if err := deployDocument(ctx, l.conn, bytes.ReplaceAll(document, []byte("ACTIVITY"), []byte(name))); err != nil {
			return err
		}
	}
	if err := l.settled(ctx); err != nil {
		return err
	}
	for i, n := range l.Nodes {
		if err := limitAt(ctx, n, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// limitAt sets the limits at a node, or waits until it knows of them.
func limitAt(ctx context.Context, n *stage.Node, set bool) error {
	conn, err := n.DialAdmin()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	for _, r := range []*adminv1.LimitActivityRequest{
		{Activity: "gauge.paced", RatePerSecond: limitRate},
		{Activity: "gauge.three", Concurrency: limitThree},
		{Activity: "gauge.one", Concurrency: 1},
	} {
		if !set {
			break
		}
		if _, err := conn.Admin().LimitActivity(ctx, r); err != nil {
			return err
		}
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		known := 0
		all, err := conn.Admin().ListActivities(ctx, &adminv1.ListActivitiesRequest{})
		if err != nil {
			return err
		}
		for _, a := range all.GetActivities() {
			if a.GetLimit() != nil && a.GetAdapters() == limitGauges {
				known++
			}
		}
		if known == len(players.GaugeTakes) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until a node knows the limits, and the adapters: %w", context.Cause(ctx))
		}
	}
}

// rest waits for a while in which all of the limits is to be used.
func (l *limitedRow) rest(ctx context.Context) error {
	if err := stage.Pause(ctx, limitSettles); err != nil {
		return err
	}
	from := time.Now()
	err := stage.Pause(ctx, limitQuiet(l.s))
	l.quiet = append(l.quiet, span{from, time.Now()})
	return err
}

// disturb kills a node, and stops another one in good order, each until all is well again.
func (l *limitedRow) disturb(ctx context.Context, f figures) error {
	chance := l.s.chance()
	victim := chance.IntN(len(l.Nodes))
	took, err := l.kill(ctx, victim)
	if err != nil {
		return err
	}
	kills, _ := f.number("kills")
	slowest, _ := f.number("takeover_s")
	f["kills"], f["takeover_s"] = int(kills)+1, round(max(slowest, took.Seconds()), 2)
	if err := l.settled(ctx); err != nil {
		return err
	}
	n := l.Nodes[(victim+1)%len(l.Nodes)]
	starts := n.Starts()
	if err := n.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := n.AwaitStart(ctx, starts); err != nil {
		return err
	}
	return l.settled(ctx)
}

func limitsClusterBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	used := 0.9
	if s.ci() { // between two tasks a seat is idle for as long as a busy machine takes to journal a result
		used = 0.8
	}
	return bars{
		"kills": atLeast(float64(limitRounds(s))), "three_at_once": atMost(limitThree), "one_at_once": atMost(1),
		"paced_most_of_limit": atMost(1.1), "three_used": atLeast(used), "one_used": atLeast(used), "paced_used": atLeast(used),
		"paced_executed": atLeast(1),
	}
}
