package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// farDelay is how long an order waits that is to stay open.
	farDelay = "PT12H"
	// connectionsEvery is how often the connections of nodes are counted.
	connectionsEvery = 200 * time.Millisecond
)

// millionClusterOrders is how many orders wait: far ones that stay open, due ones of the node that is killed, whose time comes within a
// second of that, and late ones of the same partitions, which are submitted once the node is dead.
func millionClusterOrders(s *site) (far, due, late int) {
	if s.ci() {
		return 8_000, 2_000, 200
	}
	return 900_000, 110_000, 5_000
}

// dueAfter is how long the due orders wait from when the first of them is submitted: longer than it takes to submit them all.
func dueAfter(s *site) time.Duration {
	if s.ci() {
		return 6 * time.Second
	}
	return 75 * time.Second
}

// millionCluster kills a node of a cluster that has a million open orders, many of which become due while nobody owns them.
func millionCluster(ctx context.Context, s *site) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	return withOwnCluster(ctx, s, func(*cluster, *stage.ClusterSpec) error { return nil },
		withClient(func(ctx context.Context, _ *stage.Stage, r *clusterRow) (figures, error) {
			m, f := &crowdRow{clusterRow: r}, figures{}
			return f, m.run(ctx, f)
		}, "million"))
}

// crowdRow is the row under way.
type crowdRow struct {
	*clusterRow

	victim int
	others []*stage.Node
	// of are the partitions of the victim, and due is when its orders are.
	of  map[messages.Partition]bool
	due time.Time
	// connections are the most that each incarnation had at once, by the name of its sessions.
	connections map[string]int
}

func (m *crowdRow) run(ctx context.Context, f figures) error {
	document, err := definitions.ReadFile("definitions/million.yaml")
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	for _, name := range []string{"due", "late"} {
		if err := deployDocument(ctx, m.conn, bytes.ReplaceAll(document, []byte("name: million"), []byte("name: "+name))); err != nil {
			return fmt.Errorf("deploy %s: %w", name, err)
		}
	}
	if err := m.settled(ctx); err != nil {
		return err
	}
	if err := m.choose(ctx); err != nil {
		return err
	}
	counting, stop := context.WithCancel(ctx)
	var counted sync.WaitGroup
	var failed error
	counted.Go(func() { failed = m.countConnections(counting) })
	err = m.crowd(ctx, f)
	stop()
	counted.Wait()
	most := 0
	for _, n := range m.connections {
		most = max(most, n)
	}
	f["connections_per_node"], f["incarnations_counted"] = most, len(m.connections)
	return errors.Join(err, failed)
}

// choose makes the node the victim that has the most partitions.
func (m *crowdRow) choose(ctx context.Context) error {
	conn, err := m.DialAdmin()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	shown, err := conn.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
	if err != nil {
		return fmt.Errorf("ask who owns what: %w", err)
	}
	has := make([]map[messages.Partition]bool, len(m.Nodes))
	for i := range has {
		has[i] = map[messages.Partition]bool{}
		for n, p := range shown.GetPartitions() {
			if messages.Incarnation(p.GetHas()).Node() == messages.NodeID(nodeName(i)) {
				has[i][messages.Partition(n)] = true
			}
		}
		if len(has[i]) > len(has[m.victim]) {
			m.victim = i
		}
	}
	m.of = has[m.victim]
	for i, n := range m.Nodes {
		if i != m.victim {
			m.others = append(m.others, n)
		}
	}
	return nil
}

// crowd fills the cluster, kills the node, and waits until what was due has ended.
func (m *crowdRow) crowd(ctx context.Context, f figures) error {
	far, due, late := millionClusterOrders(m.s)
	if err := m.fill(ctx, far, due, f); err != nil {
		return err
	}
	before, err := peakOf(m.Nodes)
	if err != nil {
		return err
	}
	m.Nodes[m.victim].StayAway(untilTold)
	killed, err := m.Nodes[m.victim].Kill(ctx)
	if err != nil {
		return err
	}
	if err := m.takenOver(ctx, killed, late, f); err != nil {
		return err
	}
	if err := m.atRest(ctx, far, f); err != nil {
		return err
	}
	f["at_rest_s"] = round(time.Since(killed).Seconds(), 2)
	after, err := peakOf(m.others)
	if err != nil {
		return err
	}
	f["node_peak_rss_bytes"], f["restarts"] = max(before, after), m.restarts()
	if f["fences"], err = m.logged(`msg="takes over"`); err != nil {
		return err
	}
	if err := m.judgeDue(ctx, killed, due, f); err != nil {
		return err
	}
	return m.judgeLate(ctx, killed, late, f)
}

// fill submits the orders that are to be open, and waits until those of the victim are about to be due.
func (m *crowdRow) fill(ctx context.Context, far, due int, f figures) error {
	began := time.Now()
	if err := submitAll(ctx, m.Nodes, far, func(int) *orderv1.WorkOrder { return waits("million", "", farDelay) }); err != nil {
		return err
	}
	f["accept_rate_per_s"] = round(float64(far)/time.Since(began).Seconds(), 0)
	m.due = time.Now().Add(dueAfter(m.s))
	if err := submitAll(ctx, m.Nodes, due, func(int) *orderv1.WorkOrder {
		return waits("due", m.idOfVictim(), fmt.Sprintf("PT%.0fS", math.Ceil(time.Until(m.due).Seconds())))
	}); err != nil {
		return err
	}
	f["open"] = far + due
	left := time.Until(m.due)
	if left < time.Second {
		return fmt.Errorf("%w: the orders that are due after %v were accepted only %v before", errTooSlow, dueAfter(m.s), left)
	}
	return between(ctx, m.s.chance(), left-time.Second, left)
}

// errTooSlow: the machine is too slow for the row, and nothing was shown.
var errTooSlow = errors.New("the machine is too slow")

func waits(definition, id, delay string) *orderv1.WorkOrder {
	return &orderv1.WorkOrder{
		Id: id, Definition: "verify/" + definition + ":1.0.0", Input: fmt.Appendf(nil, `{"delay":%q}`, delay),
	}
}

// idOfVictim makes an id of an order that the victim owns.
func (m *crowdRow) idOfVictim() string {
	for {
		if id := messages.NewOrderID(); m.of[messages.PartitionOf(id, "")] {
			return string(id)
		}
	}
}

// submitAll submits orders at nodes, a part at each, and returns when they are accepted.
func submitAll(ctx context.Context, nodes []*stage.Node, orders int, request func(n int) *orderv1.WorkOrder) error {
	failed := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			conn, err := n.Dial()
			if err != nil {
				failed[i] = err
				return
			}
			defer conn.Close() //nolint:errcheck // it fails only if it was closed before
			failed[i] = newFlood((orders+i)/len(nodes), 256, request).run(ctx, conn)
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// takenOver has orders accepted for the partitions of the victim, while the others take them over.
func (m *crowdRow) takenOver(ctx context.Context, killed time.Time, late int, f figures) error {
	var submits sync.WaitGroup
	var failed error
	submits.Go(func() {
		failed = submitAll(ctx, m.others, late, func(int) *orderv1.WorkOrder { return waits("late", m.idOfVictim(), "PT1S") })
	})
	err := m.taken(ctx, m.victim)
	f["takeover_s"] = round(time.Since(killed).Seconds(), 2)
	submits.Wait()
	return errors.Join(err, failed)
}

// peakOf is the most memory that any of the nodes has had.
func peakOf(nodes []*stage.Node) (most int64, err error) {
	for _, n := range nodes {
		u, err := n.Usage()
		if err != nil {
			return 0, err
		}
		most = max(most, u.PeakRSS)
	}
	return most, nil
}

// atRest waits until no more than so many orders are open at the nodes that are left.
func (m *crowdRow) atRest(ctx context.Context, most int, f figures) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errStall)
	defer cancel()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		open := 0
		for _, n := range m.others {
			metrics, err := n.Metrics(ctx)
			if err != nil {
				return err
			}
			here, err := metrics.Value("holdfast_orders_running")
			if err != nil {
				return err
			}
			open += int(here)
		}
		if f["open_after"] = open; open <= most {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%d orders are open: %w", open, context.Cause(ctx))
		}
	}
}

// judgeDue tells how long after the kill, which is before any of them is due, the orders went on that were to.
func (m *crowdRow) judgeDue(ctx context.Context, killed time.Time, due int, f figures) error {
	ended, before := 0, 0
	var latest time.Duration
	err := eachOrder(ctx, m.conn, "verify/due:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			return
		}
		at := o.GetEndedAt().AsTime()
		ended++
		latest = max(latest, at.Sub(killed))
		if at.Before(killed) {
			before++
		}
	})
	f["due"], f["due_lost"], f["before_the_kill"], f["due_latest_s"] = ended, due-ended, before, round(latest.Seconds(), 2)
	return err
}

// judgeLate tells when those went on that were accepted after the kill: elsewhere, until others had taken over.
func (m *crowdRow) judgeLate(ctx context.Context, killed time.Time, late int, f figures) error {
	took, _ := f.number("takeover_s")
	over := killed.Add(time.Duration(took * float64(time.Second)))
	ended, meanwhile := 0, 0
	var latest time.Duration
	err := eachOrder(ctx, m.conn, "verify/late:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			return
		}
		ended++
		latest = max(latest, o.GetEndedAt().AsTime().Sub(o.GetAcceptedAt().AsTime()))
		if o.GetAcceptedAt().AsTime().Before(over) {
			meanwhile++
		}
	})
	f["late"], f["late_lost"], f["late_meanwhile"], f["late_latest_s"] = ended, late-ended, meanwhile, round(latest.Seconds(), 2)
	return err
}

// countConnections counts the connections of each incarnation until ctx ends.
func (m *crowdRow) countConnections(ctx context.Context) error {
	m.connections = map[string]int{}
	conn, err := pgx.Connect(ctx, m.database.Address(postgresDatabase))
	if err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is under way
	again := time.NewTicker(connectionsEvery)
	defer again.Stop()
	for {
		rows, err := conn.Query(ctx, `SELECT application_name, count(*) FROM pg_stat_activity
			WHERE application_name LIKE 'holdfast %' GROUP BY application_name`)
		var who string
		var n int
		if err == nil {
			_, err = pgx.ForEachRow(rows, []any{&who, &n}, func() error {
				m.connections[who] = max(m.connections[who], n)
				return nil
			})
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("count connections: %w", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func millionClusterBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	far, due, late := millionClusterOrders(s)
	return bars{
		"open": atLeast(float64(far + due)), "open_after": exactly(float64(far)), "due": atLeast(float64(due)), "late": atLeast(float64(late)),
		"late_meanwhile": atLeast(1), "fences": atLeast(1), "due_latest_s": atMost(60), "late_latest_s": atMost(60),
		"node_peak_rss_bytes": atMost(1536 << 20), "connections_per_node": atMost(8), "incarnations_counted": exactly(clusterNodes),
	}.none("due_lost", "late_lost", "before_the_kill", "restarts")
}
