package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// clusterRow is a row under way that has a cluster, and orders that come at a steady rate.
type clusterRow struct {
	*cluster

	s    *site
	conn *client.Client
	logs []string // of the downstream systems
	// patience is how long an order is tried for.
	patience time.Duration
	// read is how much of each node's log, and starts how many of its starts, are of earlier rows.
	read   map[*stage.Node]int64
	starts map[*stage.Node]int
}

// callWithin is how long a client waits for an answer until it tries again, elsewhere.
const callWithin = 3 * time.Second

// withoutCluster is what a row measures without a cluster.
func withoutCluster() figures {
	return figures{"cluster": "skipped: it needs PostgreSQL, and Consul, which make tools builds"}
}

// withCluster has a row use a cluster, with an adapter of the row's own for each downstream system.
func withCluster(ctx context.Context, s *site, use func(context.Context, *clusterRow) (figures, error)) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	c, err := s.clusters.take(ctx, s)
	if err != nil {
		return nil, err
	}
	return c.enter(ctx, s, withSystems(use))
}

// withOwnCluster has a row use a cluster that is not like the others, or will not be.
func withOwnCluster(
	ctx context.Context, s *site, change func(*cluster, *stage.ClusterSpec) error,
	use func(context.Context, *stage.Stage, *clusterRow) (figures, error),
) (figures, error) {
	own, err := startCluster(ctx, s, s.dir, change)
	if err != nil {
		return nil, err
	}
	f, err := own.enter(ctx, s, use)
	return f, errors.Join(err, own.end(false)) // its folder stays or goes with that of the row
}

// enter has a row use the cluster alone. What it has of its own goes to a stage that ends with it.
func (c *cluster) enter(
	ctx context.Context, s *site, use func(context.Context, *stage.Stage, *clusterRow) (figures, error),
) (figures, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.running, func() { cancel(context.Cause(c.running)) })() //nolint:contextcheck // the cluster outlives the row
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	r := &clusterRow{cluster: c, s: s, patience: patience, read: map[*stage.Node]int64{}, starts: map[*stage.Node]int{}}
	for i, n := range r.Nodes {
		at, err := os.Stat(r.log(i))
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the file
		}
		r.read[n], r.starts[n] = at.Size(), n.Starts()
	}
	f, err := use(ctx, st, r)
	if err != nil {
		err = why(ctx, err)
	}
	return f, err
}

// withClient has the row use a client of the cluster, in which definitions are deployed.
func withClient(
	use func(context.Context, *stage.Stage, *clusterRow) (figures, error), deployed ...string,
) func(context.Context, *stage.Stage, *clusterRow) (figures, error) {
	return func(ctx context.Context, st *stage.Stage, r *clusterRow) (f figures, err error) {
		r.conn, err = client.New(client.Config{Addresses: r.Servers(), ConnectTimeout: time.Second, CallTimeout: callWithin})
		if err != nil {
			return nil, err
		}
		defer r.conn.Close() //nolint:errcheck // it fails only if it was closed before
		for _, name := range deployed {
			if err := deploy(ctx, r.conn, name); err != nil {
				return nil, err
			}
		}
		return use(ctx, st, r)
	}
}

// withSystems has the row use a client of the cluster, downstream systems, and an adapter for each.
func withSystems(
	use func(context.Context, *clusterRow) (figures, error),
) func(context.Context, *stage.Stage, *clusterRow) (figures, error) {
	return withClient(func(ctx context.Context, st *stage.Stage, r *clusterRow) (f figures, err error) {
		if _, r.logs, err = startSystems(ctx, r.s, st, pace{"20ms", "60ms"}, killSystems, false, r.Servers()...); err != nil {
			return nil, err
		}
		return use(ctx, r)
	}, "kill")
}

// logged counts the lines of the nodes' logs that have a text, those of earlier rows apart.
func (r *clusterRow) logged(text string) (count int, err error) {
	for i, n := range r.Nodes {
		log, err := os.ReadFile(r.log(i))
		if err != nil {
			return 0, err
		}
		count += strings.Count(string(log[r.read[n]:]), text)
	}
	return count, nil
}

// restarts counts how often nodes were started again.
func (r *clusterRow) restarts() (count int) {
	for _, n := range r.Nodes {
		count += n.Starts() - max(r.starts[n], 1)
	}
	return count
}

// placed waits until nodes have all partitions between them, as one of them sees it: those that are to have them, and have read what is
// open there. Without names: any that are members.
func (r *clusterRow) placed(ctx context.Context, by *stage.Node, without string) error {
	return shows(ctx, by, func(c *adminv1.ShowClusterResponse) bool {
		return isPlaced(c, len(r.Nodes), without) && r.ready(ctx, c)
	})
}

// shows waits until a node shows the cluster as something is to be.
func shows(ctx context.Context, by *stage.Node, is func(*adminv1.ShowClusterResponse) bool) error {
	conn, err := by.DialAdmin()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := conn.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
		if err == nil && is(c) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until the cluster is as it is to be: %w", context.Cause(ctx))
		}
	}
}

// isPlaced tells whether each partition is where it is to be, and that is not a node. Without names: of so many.
func isPlaced(c *adminv1.ShowClusterResponse, nodes int, without string) bool {
	if without == "" && len(c.GetNodes()) < nodes {
		return false
	}
	return arePlaced(c, func(p *adminv1.ClusterPartition) bool { return isAt(p, without) })
}

// arePlaced tells whether each partition is where it is to be, and none is where it must not.
func arePlaced(c *adminv1.ShowClusterResponse, mustNot func(*adminv1.ClusterPartition) bool) bool {
	return !slices.ContainsFunc(c.GetPartitions(), func(p *adminv1.ClusterPartition) bool {
		return p.GetHas() == "" || p.GetHas() != p.GetWanted() || mustNot(p)
	})
}

// isAt tells whether a node has a partition.
func isAt(p *adminv1.ClusterPartition, node string) bool {
	return messages.Incarnation(p.GetHas()).Node() == messages.NodeID(node)
}

// settled waits until all nodes are members, see the same, and have what they are to have.
func (r *clusterRow) settled(ctx context.Context) error {
	for _, n := range r.Nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	for _, n := range r.Nodes {
		if err := r.placed(ctx, n, ""); err != nil {
			return err
		}
	}
	return nil
}

// ready tells whether the members have read all that is open.
func (r *clusterRow) ready(ctx context.Context, c *adminv1.ShowClusterResponse) bool {
	for i, n := range r.Nodes {
		isMember := slices.ContainsFunc(c.GetNodes(), func(m *adminv1.ClusterNode) bool { return m.GetNode() == nodeName(i) })
		if isMember && !n.IsReady(ctx) {
			return false
		}
	}
	return true
}

// pulse is a client that submits orders at a steady rate, whatever becomes of those before, and tries each again as clients do.
type pulse struct {
	conn *client.Client
	// name begins the ids of its orders; rate is how many it submits in a second.
	name string
	rate int
	// work is what the order of a number is to do.
	work func(n int) *orderv1.WorkOrder
	// patience is how long each is tried for.
	patience time.Duration

	mu     sync.Mutex
	orders []*order
	failed []error
	// seconds is how many were accepted in each second.
	seconds map[int64]int
}

// patience is how long an order is tried for, unless a row says otherwise.
const patience = 30 * time.Second

// run submits until ctx ends, and waits for the last answers.
func (p *pulse) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	ticks := time.NewTicker(time.Second / time.Duration(p.rate))
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		o := &order{n: n, request: p.work(n)}
		o.request.Id = fmt.Sprintf("%s-%d", p.name, n)
		o.id = messages.OrderID(o.request.GetId())
		all.Go(func() { p.submit(context.WithoutCancel(ctx), o) })
	}
}

func (p *pulse) submit(ctx context.Context, o *order) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	o.submitted = time.Now()
	_, err := p.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: o.request})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed = append(p.failed, err)
		return
	}
	o.accepted = time.Now()
	p.orders = append(p.orders, o)
	if p.seconds == nil {
		p.seconds = map[int64]int{}
	}
	p.seconds[o.accepted.Unix()]++
}

// p99 is the 99 % quantile of the time from submission to acceptance of orders that were submitted in a time.
func (p *pulse) p99(from, to time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var took []time.Duration
	for _, o := range p.orders {
		if !o.submitted.Before(from) && o.submitted.Before(to) {
			took = append(took, o.accepted.Sub(o.submitted))
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[(len(took)*99+99)/100-1]
}

// idle counts the seconds in which nothing was accepted, the first and the last ones apart.
func (p *pulse) idle() (count int) {
	first, last := int64(1)<<62, int64(0)
	for at := range p.seconds {
		first, last = min(first, at), max(last, at)
	}
	for at := first; at < last; at++ {
		if p.seconds[at] == 0 {
			count++
		}
	}
	return count
}

// during has orders come while something is done, waits until all have ended, and finds out whether they are as they must be.
func (r *clusterRow) during(ctx context.Context, rate int, f figures, do func(context.Context, *pulse) error) error {
	p := &pulse{conn: r.conn, name: r.s.row, rate: rate, work: killWork, patience: r.patience}
	beating, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.run(beating) })
	err := do(ctx, p)
	stop()
	running.Wait()
	if err != nil {
		return err
	}
	for _, wrong := range p.failed[:min(len(p.failed), maxWrong)] {
		r.s.sayf("cluster: %v", wrong)
	}
	f["acknowledged"], f["client_errors"], f["seconds_without_acceptance"] = len(p.orders), len(p.failed), p.idle()
	if err := r.drained(ctx); err != nil {
		return err
	}
	return r.check(ctx, idsOf(p.orders), "histories", f)
}

// check finds out whether orders that were acknowledged are as they must be. Their histories go to a file of that name.
func (r *clusterRow) check(ctx context.Context, ids []messages.OrderID, name string, f figures) error {
	file := filepath.Join(r.s.dir, name+".jsonl")
	untold, err := writeHistories(ctx, r.conn, ids, file)
	if err != nil {
		return err
	}
	report, err := checker.Files(ctx, r.logs, []string{file})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	tellCheck(r.s, r.s.row, report, f)
	f["without_history"], f["lost"] = untold, int64(len(ids))-report.Ended
	f["surplus"] = report.Applied - report.Ended*int64(len(killSystems))
	return nil
}

// drained waits until no order is open.
func (r *clusterRow) drained(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errStall)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		open, err := r.conn.Orders().List(ctx, &orderv1.ListRequest{PageSize: 1, Statuses: []orderv1.Status{
			orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING,
		}})
		if err == nil && len(open.GetOrders()) == 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until all orders have ended: %w", context.Cause(ctx))
		}
	}
}
