package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// restoration is a database of which a base backup is made, and the server that is restored from it: the standby, if there were one.
type restoration struct {
	replicated

	// place has the port of the restored server, which nodes know before there is one.
	place pgserver.Server
	// orders come while the backup is made. Before are those that were acknowledged before it began.
	orders *pulse
	before []messages.OrderID
}

// restored goes back to a base backup that was made under load. All nodes are stopped then, so that Consul alone knows what was confirmed.
func restored(ctx context.Context, s *site) (figures, error) {
	switch {
	case s.ci():
		return skippedAtCI(), nil
	case noCluster(s):
		return withoutCluster(), nil
	}
	p := &restoration{}
	return withOwnCluster(ctx, s, func(c *cluster, spec *stage.ClusterSpec) error {
		if err := p.place.TakePort(); err != nil {
			return err
		}
		p.primary, p.standby = c.database.Server, &p.place
		c.atEnd, spec.Journal = append(c.atEnd, p.stop), p.address()
		return nil
	}, withSystems(func(ctx context.Context, r *clusterRow) (figures, error) {
		f := figures{}
		err := r.during(ctx, laggingRate(s), f, func(ctx context.Context, orders *pulse) error { return r.backUp(ctx, p, orders) })
		if err == nil {
			err = r.restore(ctx, p, f)
		}
		return f, err
	}))
}

// stop ends the restored server, if there is one.
func (p *restoration) stop() {
	if p.standby.Process != nil {
		p.standby.Stop()
	}
}

// backUp makes a base backup while orders come and end.
func (r *clusterRow) backUp(ctx context.Context, p *restoration, orders *pulse) error {
	if err := r.settled(ctx); err != nil {
		return err
	}
	if err := stage.Pause(ctx, 2*loadedFor); err != nil {
		return err
	}
	p.orders = orders
	orders.mu.Lock()
	p.before = idsOf(orders.orders)
	orders.mu.Unlock()
	dir, err := os.MkdirTemp(r.database.dir, "backup-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	backup, err := p.primary.Backup(ctx, dir)
	if err != nil {
		return err
	}
	backup.Port, backup.Log = p.place.Port, filepath.Join(filepath.Dir(p.primary.Log), "restored.log")
	p.standby = backup
	return stage.Pause(ctx, loadedFor)
}

// restore has the cluster go back to the backup. What was acknowledged before it is there and completes; what came later is lost, and
// submitted again.
func (r *clusterRow) restore(ctx context.Context, p *restoration, f figures) error {
	last, err := r.losing(ctx)
	if err != nil {
		return err
	}
	if err := r.stopped(ctx); err != nil {
		return err
	}
	p.primary.Kill()
	if err := p.standby.Start("shared_buffers=64MB"); err != nil { //nolint:contextcheck // it lives longer than the call
		return err
	}
	kept, err := orderIDs(ctx, p.standby)
	if err != nil {
		return err
	}
	all := slices.Concat(p.orders.orders, last)
	lost := slices.DeleteFunc(slices.Clone(all), func(o *order) bool { return slices.Contains(kept, string(o.id)) })
	missing := slices.DeleteFunc(slices.Clone(p.before), func(id messages.OrderID) bool { return slices.Contains(kept, string(id)) })
	f["acknowledged_before"], f["lost_of_before"] = len(p.before), len(missing)
	if err := r.acceptLossOf(ctx, &p.replicated, lost, kept, f); err != nil {
		return err
	}
	return r.checkAgain(ctx, append(idsOf(all), messages.OrderID(r.s.row+"-after")), f)
}

// checkAgain finds out whether orders are as they must be, those that were done before they were lost, too: what was done for them is
// explained by what was done again, under the same keys.
func (r *clusterRow) checkAgain(ctx context.Context, ids []messages.OrderID, f figures) error {
	again := figures{}
	if err := r.check(ctx, ids, "restored", again); err != nil {
		return err
	}
	for _, name := range restoredNone {
		f[name+"_again"] = again[name]
	}
	return nil
}

// restoredNone must be nothing before the backup is restored, and after that.
var restoredNone = []string{"lost", "duplicated", "missing", "history_gaps", "unexplained", "surplus", "without_history"}

// stopped stops all nodes, gracefully. They are started again after a while.
func (r *clusterRow) stopped(ctx context.Context) error {
	for _, n := range r.Nodes {
		n.StayAway(5 * time.Second)
		defer n.StayAway(nodeBack)
	}
	starts := make([]int, len(r.Nodes))
	for i, n := range r.Nodes {
		starts[i] = n.Starts()
		if err := n.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	for i, n := range r.Nodes {
		if _, err := n.AwaitEnd(ctx, starts[i]); err != nil {
			return err
		}
	}
	return nil
}

func restoredBars(s *site) bars {
	switch {
	case s.ci():
		return bars{"skipped": atLeast(1)}
	case noCluster(s):
		return bars{}
	}
	rate := float64(laggingRate(s))
	b := bars{
		"acknowledged": atLeast(rate), "acknowledged_before": atLeast(rate / 2), "to_be_lost": atLeast(rate), "lanes_shown": atLeast(1),
		"refused_again_by": exactly(clusterNodes), "goes_on_within_s": atMost(10), "outdated_refused_by": exactly(clusterNodes),
	}.none(clusterNone...).none("lost_of_before", "wrongly_shown", "known_though_lost", "also_lost", "not_completed", "written_to_outdated")
	for _, name := range restoredNone {
		b.none(name + "_again")
	}
	return b
}
