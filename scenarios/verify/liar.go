package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// liarInFlight is how many orders are under way.
	liarInFlight = 200
	// liars is how many streams lie at a time.
	liars = 4
	// liarOwn is of how many orders one has a task for the liar itself.
	liarOwn = 10
)

// liarOrders is how many orders there are.
func liarOrders(s *site) int {
	if s.ci() {
		return 1000
	}
	return 20_000
}

// lied has an adapter under a name of its own say whatever it likes of orders, keys, partitions, activities and attempts of
// others, while another adapter executes them, and sees whether any of that had an effect.
func lied(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, log, err := startMortal(ctx, s, st)
	if err != nil {
		return nil, why(ctx, err)
	}
	conn, err := prepared(ctx, node, "poison", "liar")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	client := newFleet(func(n int) *orderv1.WorkOrder {
		name := "poison"
		if n%liarOwn == 0 {
			name = "liar"
		}
		return &orderv1.WorkOrder{Definition: "verify/" + name + ":1.0.0", Input: fmt.Appendf(nil, `{"n": %d}`, n)}
	})
	client.most = liarOrders(s)
	l := &attack.Liar{
		Client: adapterv1.NewAdapterServiceClient(conn.Conn()), Order: client.recent, Offers: []string{"own", "apply", "charge"},
		Once: []string{"charge"}, Foreign: []string{"none", "mortal.apply"}, Steps: []string{"0/apply", "1/charge"},
	}
	if err := liesDuring(ctx, l, s.seed, func(ctx context.Context) error { return client.run(ctx, conn, liarInFlight) }); err != nil {
		return nil, why(ctx, err)
	}
	for _, wrong := range client.wrong {
		s.sayf("liar: %v", wrong)
	}
	c := client.counts()
	told, heard, streams := l.Counts()
	f := figures{
		"lies": told, "acknowledged_lies": heard, "streams": streams, "wrong_answers": len(client.wrong),
		"completed": c.completed, "lost": c.lost(), "never_acknowledged": c.submitted - c.accepted,
	}
	metrics, err := node.Metrics(ctx)
	if err != nil {
		return f, err
	}
	refused, err := metrics.Value(`holdfast_adapter_claims_refused_total{what="result"}`)
	if err != nil {
		return f, err
	}
	f["refused"] = refused
	seen := mortalSeen{poisonous: map[messages.OrderID]bool{}, told: map[messages.OrderID][]*orderv1.HistoryEvent{}}
	if f["without_history"], err = seen.read(ctx, conn, client.orders); err != nil {
		return f, err
	}
	if seen.lines, err = players.ReadLines[players.MortalLine](log); err != nil {
		return f, err
	}
	judged := seen.judge()
	f["applied_again"], f["in_doubt"] = judged["applied_again"], judged["in_doubt"]
	f["changed"] = changed(s, client.orders, seen.told)
	return f, node.Live(ctx)
}

// honest is what happens in an order that nobody lies about.
const honest = "order.accepted order.started " +
	"task.started attempt.scheduled attempt.succeeded task.completed " +
	"task.started attempt.scheduled attempt.sent attempt.succeeded task.completed order.completed"

// changed counts the histories in which anything else happened, or whose last output is not that of the adapter that was asked.
// That a stream of the liar ended with a task of its own is no lie.
func changed(s *site, orders []*order, told map[messages.OrderID][]*orderv1.HistoryEvent) int {
	count := 0
	for _, o := range orders {
		var types []string
		output, lies := "", false
		for _, e := range told[o.id] {
			lies = lies || strings.Contains(string(e.GetData()), "a lie")
			switch {
			case e.GetEventType() == eventtype.AttemptLost && e.GetTask() == "/do/0/own":
				continue
			case e.GetEventType() == eventtype.AttemptSucceeded:
				output = string(e.GetData())
			}
			types = append(types, eventtype.Name(e.GetEventType()))
		}
		is := strings.Join(types, " ")
		if is != honest || lies || output != fmt.Sprintf(`{"poison":false,"n":%d}`, o.n) {
			if count++; count <= maxWrong {
				s.sayf("liar: the history of %s is %s, and its output %s", o.id, is, output)
			}
		}
	}
	return count
}

// liesDuring has liars lie until something is done. How their streams end does not matter: the node may refuse them.
func liesDuring(ctx context.Context, l *attack.Liar, seed uint64, do func(context.Context) error) error {
	lying, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for n := range liars {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(n)+1)) //nolint:gosec // no secret
			for lying.Err() == nil {
				_ = l.Lie(lying, chance)
				_ = stage.Pause(lying, 10*time.Millisecond)
			}
		})
	}
	err := do(ctx)
	stop()
	all.Wait()
	return err
}

// recent is one of the fleet's orders, of the last ones as a rule.
func (f *fleet) recent(chance *rand.Rand) messages.OrderID {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.orders
	if len(all) == 0 {
		return "nobody"
	}
	if chance.IntN(5) > 0 {
		all = all[max(0, len(all)-2*liarInFlight):]
	}
	return all[chance.IntN(len(all))].id
}

func liarBars(s *site) bars {
	some := float64(liarOrders(s))
	return bars{
		"completed": atLeast(some), "lies": atLeast(some), "refused": atLeast(some), "acknowledged_lies": atLeast(some / 2),
		"streams": atLeast(2 * liars),
	}.none("changed", "lost", "never_acknowledged", "wrong_answers", "without_history", "applied_again", "in_doubt")
}
