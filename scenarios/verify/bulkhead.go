package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// bulkheadAll are the adapters: bulkheadThere, and bulkheadAway, which is away.
var (
	bulkheadAll   = []string{"hss", "hlr", "sms", "crm", "billing"}
	bulkheadThere = bulkheadAll[:4]
	bulkheadAway  = bulkheadAll[4]
)

const (
	// bulkheadInFlight is how many orders are under way that need the others.
	bulkheadInFlight = 256
	// bulkheadWarmUp is how long a node is given load before it is measured.
	bulkheadWarmUp = time.Second
)

// bulkheadOrders is how many orders wait for the adapter that is away.
func bulkheadOrders(s *site) int {
	if s.ci() {
		return 10_000
	}
	return 200_000
}

// bulkheadPairs is how often both nodes are measured.
func bulkheadPairs(s *site) int {
	if s.ci() {
		return 4
	}
	return 15
}

// bulkheadTime is how long a node is measured each time.
func bulkheadTime(s *site) time.Duration {
	if s.ci() {
		return 1500 * time.Millisecond
	}
	return 5 * time.Second
}

// bulkhead compares the orders of adapters that are there, at a node where many others wait for an adapter that is away, with
// those at a node where none does and no adapter is away.
//
// There are two nodes, because a backlog can't be put away and back. Each has a store and adapters of its own, and the same
// load; they take turns, and the first of a pair of turns is the second of the next. So what else the machine does meets both, and what
// is judged are ratios within pairs. One rests while the other is measured. A backlog that kept its node busy even then
// would slow what it is compared with, and look harmless: so the CPU time that it takes at rest has a bar, too.
func bulkhead(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	ctx, dry := newSide(ctx, s, "dry")
	defer dry.stop()
	ctx, flooded := newSide(ctx, s, "flooded")
	defer flooded.stop()
	if err := dry.launch(ctx, bulkheadAll...); err != nil {
		return f, why(ctx, err)
	}
	if err := flooded.launch(ctx, bulkheadThere...); err != nil {
		return f, why(ctx, err)
	}
	if err := flooded.flood(ctx, f); err != nil {
		return f, why(ctx, err)
	}
	if err := measurePairs(ctx, dry, flooded); err != nil {
		return f, why(ctx, err)
	}
	compare(f, dry.turns, flooded.turns)
	if err := flooded.drain(ctx, f); err != nil {
		return f, why(ctx, err)
	}
	tallySides(s, f, dry, flooded)
	for name, d := range map[string]*side{"node": flooded, "dry_node": dry} {
		u, err := d.node.Usage()
		if err != nil {
			return f, err
		}
		f[name+"_peak_rss_bytes"] = u.PeakRSS
	}
	return f, nil
}

// side is a node with its adapters.
type side struct {
	*site

	stage *stage.Stage
	node  *stage.Node
	conn  *client.Client
	// turns are what was measured, clients and wrong what the clients saw with which that was done.
	turns   []turn
	clients []counts
	wrong   []error
}

// newSide begins a node, and what it needs, in a folder of its own. The context that it returns ends if any of that fails. Stop it.
func newSide(ctx context.Context, s *site, name string) (context.Context, *side) {
	ctx, st := stage.New(ctx, s.dir+"/"+name)
	return ctx, &side{site: s, stage: st}
}

// stop ends all that was started.
func (d *side) stop() {
	if d.conn != nil {
		_ = d.conn.Close() // it fails only if it was closed before
	}
	d.stage.Stop()
}

// launch starts the node and adapters.
func (d *side) launch(ctx context.Context, adapters ...string) error {
	err := os.Mkdir(d.stage.Dir(), 0o750)
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if d.node, err = d.stage.StartNode(ctx, d.holdfast, false); err != nil {
		return err
	}
	if d.conn, err = d.node.Dial(); err != nil {
		return err
	}
	document, err := definitions.ReadFile("definitions/bulkhead.yaml")
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	for _, name := range bulkheadAll {
		if err := deployDocument(ctx, d.conn, bytes.ReplaceAll(document, []byte("ADAPTER"), []byte(name))); err != nil {
			return err
		}
	}
	return d.startAdapters(ctx, adapters...)
}

// startAdapters starts adapters.
func (d *side) startAdapters(ctx context.Context, names ...string) error {
	for _, name := range names {
		_, err := d.stage.Start(ctx, stage.Spec{
			Name: name, Path: d.self, Args: []string{players.Echoer, "-name", name, "-server", d.node.Server},
			Env: []string{"GOMAXPROCS=1"}, // as bench has it: a second processor would only cost its waking
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var bulkheadInput = []byte(`"` + strings.Repeat("0123456789", 10) + `"`)

func bulkheadDefinition(adapter string) string { return "verify/bulkhead-" + adapter + ":1.0.0" }

func bulkheadOrder(adapter string) *orderv1.WorkOrder {
	return &orderv1.WorkOrder{Definition: bulkheadDefinition(adapter), Input: bulkheadInput}
}

// flood has the orders accepted that wait for the adapter that is away.
func (d *side) flood(ctx context.Context, f figures) error {
	waiting := newFlood(bulkheadOrders(d.site), bulkheadInFlight, func(int) *orderv1.WorkOrder { return bulkheadOrder(bulkheadAway) })
	began := time.Now()
	err := waiting.run(ctx, d.conn)
	f["accept_rate_per_s"] = round(float64(bulkheadOrders(d.site))/time.Since(began).Seconds(), 0)
	return err
}

// drain has the adapter come that was away, and what waited for it end.
func (d *side) drain(ctx context.Context, f figures) error {
	waiting, err := d.open(ctx)
	if err != nil {
		return err
	}
	f["waiting"] = waiting
	began := time.Now()
	if err := d.startAdapters(ctx, bulkheadAway); err != nil {
		return err
	}
	if err := drained(ctx, d.node); err != nil {
		return err
	}
	f["drain_rate_per_s"] = round(waiting/time.Since(began).Seconds(), 0)
	completed := 0
	err = eachOrder(ctx, d.conn, bulkheadDefinition(bulkheadAway), func(o *orderv1.Order) {
		if o.GetStatus() == orderv1.Status_STATUS_COMPLETED {
			completed++
		}
	})
	f["completed"], f["lost"] = completed, bulkheadOrders(d.site)-completed
	return err
}

// open counts the orders that have not ended.
func (d *side) open(ctx context.Context) (float64, error) {
	m, err := d.node.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	return m.Value("holdfast_orders_running")
}

// measurePairs measures both nodes in pairs.
func measurePairs(ctx context.Context, dry, flooded *side) error {
	for n := range bulkheadPairs(dry.site) {
		first, second := dry, flooded
		if n%2 == 1 {
			first, second = flooded, dry
		}
		if err := first.measure(ctx, second); err != nil {
			return err
		}
		if err := second.measure(ctx, first); err != nil {
			return err
		}
	}
	return nil
}

// measure measures a node, while the other one rests.
func (d *side) measure(ctx context.Context, other *side) error {
	client := newFleet(func(n int) *orderv1.WorkOrder { return bulkheadOrder(bulkheadThere[n%len(bulkheadThere)]) })
	began := time.Now()
	begin := began.Add(bulkheadWarmUp)
	end := begin.Add(bulkheadTime(d.site))
	ownBefore, othersBefore, err := cpuOf(d.node.Process, other.node.Process)
	if err != nil {
		return err
	}
	enough := time.AfterFunc(time.Until(end), client.finish)
	defer enough.Stop()
	if err := client.run(ctx, d.conn, bulkheadInFlight); err != nil {
		return err
	}
	own, others, err := cpuOf(d.node.Process, other.node.Process)
	if err != nil {
		return err
	}
	l := turnOf(client.orders, begin, end)
	if l.rate == 0 {
		return fmt.Errorf("no order ended at %s within %v", d.node.Server, end.Sub(begin))
	}
	l.cpu = (own - ownBefore).Seconds() * 1000 / float64(len(client.orders))
	l.rest = (others - othersBefore).Seconds() / time.Since(began).Seconds()
	d.turns = append(d.turns, l)
	d.clients = append(d.clients, client.counts())
	d.wrong = append(d.wrong, client.wrong...)
	return nil
}

// cpuOf tells what two processes have used of the CPUs.
func cpuOf(one, other *stage.Process) (ofOne, ofOther time.Duration, err error) {
	a, err := one.Usage()
	if err != nil {
		return 0, 0, err
	}
	b, err := other.Usage()
	return a.CPU, b.CPU, err
}

// tallySides tells what became of the orders with which the nodes were measured.
func tallySides(s *site, f figures, sides ...*side) {
	submitted, completed, wrong := 0, 0, 0
	for _, d := range sides {
		for _, c := range d.clients {
			submitted, completed = submitted+c.submitted, completed+c.completed
		}
		for _, err := range d.wrong {
			s.sayf("bulkhead: %v", err)
		}
		wrong += len(d.wrong)
	}
	f["orders"], f["not_completed"], f["wrong_answers"] = submitted, submitted-completed, wrong
}

// turn is what was measured of a node at a time.
type turn struct {
	// rate is how many orders ended in a second, p99 how long all but 1 % of them took at most, in milliseconds.
	rate, p99 float64
	// cpu is how many milliseconds of a CPU the node took for an order, rest how much of a CPU the other one took meanwhile.
	cpu, rest float64
}

// turnOf measures the orders that ended in a time.
func turnOf(orders []*order, begin, end time.Time) turn {
	var took []time.Duration
	for _, o := range orders {
		if !o.ended.Before(begin) && o.ended.Before(end) {
			took = append(took, o.ended.Sub(o.submitted))
		}
	}
	if len(took) == 0 {
		return turn{}
	}
	return turn{rate: float64(len(took)) / end.Sub(begin).Seconds(), p99: milliseconds(quantile(took, 0.99))}
}

// compare tells the medians of what was measured in pairs, and of the ratios within the pairs.
func compare(f figures, dry, flooded []turn) {
	f["pairs"] = len(dry)
	figure := func(name string, digits int, of func(i int) float64) { f[name] = round(median(len(dry), of), digits) }
	figure("dry_rate_per_s", 0, func(i int) float64 { return dry[i].rate })
	figure("dry_p99_ms", 2, func(i int) float64 { return dry[i].p99 })
	figure("rate_per_s", 0, func(i int) float64 { return flooded[i].rate })
	figure("p99_ms", 2, func(i int) float64 { return flooded[i].p99 })
	figure("rate_ratio", 3, func(i int) float64 { return flooded[i].rate / dry[i].rate })
	figure("p99_ratio", 3, func(i int) float64 { return flooded[i].p99 / dry[i].p99 })
	figure("cpu_ratio", 3, func(i int) float64 { return flooded[i].cpu / dry[i].cpu })
	figure("node_cpu_ms_per_order", 3, func(i int) float64 { return flooded[i].cpu })
	figure("dry_node_cpu_ms_per_order", 3, func(i int) float64 { return dry[i].cpu })
	figure("rest_cpu", 3, func(i int) float64 { return dry[i].rest })
	figure("dry_rest_cpu", 3, func(i int) float64 { return flooded[i].rest })
}

func bulkheadBars(s *site) bars {
	orders := float64(bulkheadOrders(s))
	return bars{
		"rate_ratio": s.atRate(0.9), "p99_ratio": s.within(2), "waiting": atLeast(orders), "completed": atLeast(orders),
		"rest_cpu": s.within(0.05),
	}.none("lost", "not_completed", "wrong_answers")
}
