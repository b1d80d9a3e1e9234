package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// farDelay is how long an order waits that is not to go on within the row.
	farDelay = "PT12H"
	// connectionsEvery is how often connections are counted.
	connectionsEvery = 200 * time.Millisecond
)

// millionClusterOrders is how many orders wait: far ones that stay open, due ones of the node that is killed, whose time comes just after
// that, and late ones of the same partitions, which are accepted while the node is dead.
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

	victim     int
	of         map[messages.Partition]bool // the partitions of the victim
	due        time.Time
	connection map[string]int // the most that each incarnation had at once, by application name
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
	if err != nil || failed != nil {
		return cmpError(err, failed)
	}
	most := 0
	for _, n := range m.connection {
		most = max(most, n)
	}
	f["connections_per_node"], f["incarnations_counted"] = most, len(m.connection)
	return nil
}

func cmpError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
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
				has[i][messages.Partition(n)] = true //nolint:gosec // there are few
			}
		}
		if len(has[i]) > len(has[m.victim]) {
			m.victim = i
		}
	}
	m.of = has[m.victim]
	return nil
}

// crowd loads the cluster, kills the node, and waits until what was due has ended.
func (m *crowdRow) crowd(ctx context.Context, f figures) error {
	far, due, late := millionClusterOrders(m.s)
	began := time.Now()
	if err := m.submit(ctx, m.Nodes, far, func(int) *orderv1.WorkOrder { return waits("million", "", farDelay) }); err != nil {
		return err
	}
	f["open"], f["accept_rate_per_s"] = far+due, round(float64(far)/time.Since(began).Seconds(), 0)
	m.due = time.Now().Add(dueAfter(m.s))
	if err := m.submit(ctx, m.Nodes, due, func(int) *orderv1.WorkOrder {
		return waits("due", m.idOfVictim(), fmt.Sprintf("PT%.0fS", math.Ceil(time.Until(m.due).Seconds())))
	}); err != nil {
		return err
	}
	if !time.Now().Before(m.due) {
		return fmt.Errorf("it took more than %v to submit the orders that are to be due then", dueAfter(m.s))
	}
	if err := between(ctx, m.s.chance(), time.Until(m.due)-time.Second, time.Until(m.due)-time.Millisecond); err != nil {
		return err
	}
	peaks := make([]int64, len(m.Nodes))
	if err := m.peaks(peaks); err != nil {
		return err
	}
	m.Nodes[m.victim].StayAway(time.Hour)
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
	f["at_rest_s"] = round(time.Since(killed).Seconds(), 1)
	if err := m.peaks(peaks); err != nil {
		return err
	}
	for _, n := range peaks {
		f["node_peak_rss_bytes"] = max(n, toInt(f["node_peak_rss_bytes"]))
	}
	f["restarts"] = m.restarts()
	if f["fences"], err = m.logged(`msg="takes over"`); err != nil {
		return err
	}
	return m.judge(ctx, killed, f)
}

func toInt(v any) int64 {
	n, _ := v.(int64)
	return n
}

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

// submit submits orders at nodes, a part at each, and returns when they are accepted.
func (m *crowdRow) submit(ctx context.Context, nodes []*stage.Node, orders int, request func(n int) *orderv1.WorkOrder) error {
	failed := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		part := (orders + i) / len(nodes)
		all.Go(func() {
			var conn *client.Client
			if conn, failed[i] = n.Dial(); failed[i] != nil {
				return
			}
			defer conn.Close() //nolint:errcheck // it fails only if it was closed before
			failed[i] = newFlood(part, 256, request).run(ctx, conn)
		})
	}
	all.Wait()
	return cmpError(failed...)
}

// takenOver has orders accepted for the partitions of the victim, until the others have all that it had.
func (m *crowdRow) takenOver(ctx context.Context, killed time.Time, late int, f figures) error {
	var others []*stage.Node
	for i, n := range m.Nodes {
		if i != m.victim {
			others = append(others, n)
		}
	}
	var submits sync.WaitGroup
	var failed error
	submits.Go(func() {
		failed = m.submit(ctx, others, late, func(int) *orderv1.WorkOrder { return waits("late", m.idOfVictim(), "PT1S") })
	})
	defer submits.Wait()
	for _, n := range others {
		if err := m.placed(ctx, n, nodeName(m.victim)); err != nil {
			return err
		}
	}
	f["takeover_s"] = round(time.Since(killed).Seconds(), 2)
	submits.Wait()
	return failed
}

// peaks adds the most memory that each node has had.
func (m *crowdRow) peaks(of []int64) error {
	for i, n := range m.Nodes {
		if n.PID() == 0 {
			continue
		}
		u, err := n.Usage()
		if err != nil {
			return err
		}
		of[i] = max(of[i], u.PeakRSS)
	}
	return nil
}

// atRest waits until no more than so many orders are open at the nodes that are left.
func (m *crowdRow) atRest(ctx context.Context, most int, f figures) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errStall)
	defer cancel()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		open := 0.
		for i, n := range m.Nodes {
			if i == m.victim {
				continue
			}
			metrics, err := n.Metrics(ctx)
			if err != nil {
				return err
			}
			here, err := metrics.Value("holdfast_orders_running")
			if err != nil {
				return err
			}
			open += here
		}
		if f["open_after"] = int(open); int(open) <= most {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%.0f orders are open: %w", open, context.Cause(ctx))
		}
	}
}

// judge tells when the orders went on that were due, or accepted meanwhile.
func (m *crowdRow) judge(ctx context.Context, killed time.Time, f figures) error {
	_, due, late := millionClusterOrders(m.s)
	ended, early := 0, 0
	var latest time.Duration
	since := killed
	if m.due.After(killed) {
		since = m.due
	}
	err := eachOrder(ctx, m.conn, "verify/due:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			return
		}
		at := o.GetEndedAt().AsTime()
		ended++
		latest = max(latest, at.Sub(since))
		if at.Before(killed) {
			early++
		}
	})
	if err != nil {
		return err
	}
	f["due"], f["due_lost"], f["before_the_kill"], f["due_latest_s"] = ended, due-ended, early, round(latest.Seconds(), 2)
	ended, latest = 0, 0
	meanwhile := 0
	took, _ := f.number("takeover_s")
	err = eachOrder(ctx, m.conn, "verify/late:1.0.0", func(o *orderv1.Order) {
		if o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			return
		}
		ended++
		accepted := o.GetAcceptedAt().AsTime()
		latest = max(latest, o.GetEndedAt().AsTime().Sub(accepted))
		if accepted.Before(killed.Add(time.Duration(took * float64(time.Second)))) {
			meanwhile++
		}
	})
	f["late"], f["late_lost"], f["late_meanwhile"], f["late_latest_s"] = ended, late-ended, meanwhile, round(latest.Seconds(), 2)
	return err
}

// countConnections counts the connections of each incarnation until ctx ends.
func (m *crowdRow) countConnections(ctx context.Context) error {
	m.connection = map[string]int{}
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
				m.connection[who] = max(m.connection[who], n)
				return nil
			})
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
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
