package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// Kinds of orders of the row branches, by what is done to them.
const (
	branchItems   = "items"   // a loop over items, sixteen at a time
	branchForked  = "forked"  // a fork
	branchRace    = "race"    // a fork whose branches compete
	branchFailing = "failing" // a loop of which one item fails, so that all is undone
)

const (
	// forkBranches is how many branches a fork has, raceBranches how many compete.
	forkBranches, raceBranches = 100, 5
	// failingItems is how many items the loop has of which one fails.
	failingItems = 60
	// branchesAtOnce is how many orders are under way.
	branchesAtOnce = 12
)

// branchWork is what an order is to do.
type branchWork struct {
	kind string
	// all is how many items it has.
	all int
	// cancelled tells that it is cancelled with compensation, at some time soon after its acceptance.
	cancelled bool
}

// branchItemsOf is how many items a long loop has.
func branchItemsOf(s *site) int {
	if s.ci() {
		return 5000
	}
	return 10_000
}

// branchRounds is how often each kind of work is done, and branchKills how often the node is killed at least.
func branchRounds(s *site) (rounds, kills int) {
	if s.ci() {
		return 2, 5
	}
	return 20, 50
}

// branchPlan is all work.
func branchPlan(s *site) []branchWork {
	var plan []branchWork
	rounds, _ := branchRounds(s)
	for range rounds {
		plan = append(plan, branchWork{branchItems, branchItemsOf(s), false}, branchWork{branchItems, branchItemsOf(s), true})
		for i := range 24 {
			switch i % 6 {
			case 0:
				plan = append(plan, branchWork{branchForked, forkBranches, false})
			case 1:
				plan = append(plan, branchWork{branchForked, forkBranches, true})
			case 2:
				plan = append(plan, branchWork{branchFailing, failingItems, false})
			default:
				plan = append(plan, branchWork{branchRace, raceBranches, false})
			}
		}
	}
	return plan
}

// branchRow is the row under way.
type branchRow struct {
	*site

	node *stage.Node
	conn *client.Client
	plan []branchWork
	log  string // of the adapter
}

// branches has orders go through many items and branches at a time, while the node is killed and some of them are cancelled; and judges by
// what the adapter has written down whether each was done once, and undone where it should be.
func branches(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	r := &branchRow{site: s, plan: branchPlan(s), log: s.dir + "/tally.jsonl"}
	var err error
	if r.node, err = st.StartNode(ctx, s.holdfast, true); err != nil {
		return nil, err
	}
	if _, err := st.Start(ctx, stage.Spec{
		Name: players.Tally, Path: s.self, Args: []string{players.Tally, "-server", r.node.Server, "-log", r.log},
	}); err != nil {
		return nil, err
	}
	if r.conn, err = prepared(ctx, r.node, "branches-items", "branches-failing"); err != nil {
		return nil, err
	}
	defer r.conn.Close() //nolint:errcheck // it fails only if it was closed before
	for name, document := range map[string]string{"forked": forkOf(forkBranches, false), "race": forkOf(raceBranches, true)} {
		if err := deployDocument(ctx, r.conn, []byte(document)); err != nil {
			return nil, fmt.Errorf("deploy %s: %w", name, why(ctx, err))
		}
	}
	f := figures{}
	if err := r.run(ctx, f); err != nil {
		return f, why(ctx, err)
	}
	return f, r.node.Live(ctx)
}

// forkOf is a definition with a fork of so many branches. Those of a race wait before they do something, each longer than the one before.
func forkOf(n int, race bool) string {
	name := branchForked
	if race {
		name = branchRace
	}
	var text strings.Builder
	fmt.Fprintf(&text, "document: {dsl: 1.0.3, namespace: verify, name: branches-%s, version: 1.0.0}\ndo:\n- all:\n    fork:\n"+
		"      compete: %t\n      branches:\n", name, race)
	for i := range n {
		add := fmt.Sprintf("{call: tally.add, with: {item: item-%d, takes: '${ (.n * 7 + %d) %% 40 }'}, metadata: {holdfast: "+
			"{compensate: {call: tally.undo, with: {item: '${ .input.item }'}}}}}", i, i*13)
		if race {
			add = fmt.Sprintf("{do: [{pause: {wait: {milliseconds: %d}}}, {add: %s}]}", 10*i, add)
		}
		fmt.Fprintf(&text, "      - b%d: %s\n", i, add)
	}
	return text.String()
}

// order is the nth order.
func (r *branchRow) order(n int) *orderv1.WorkOrder {
	w := r.plan[n]
	return &orderv1.WorkOrder{
		Definition: "verify/branches-" + w.kind + ":1.0.0",
		Input:      fmt.Appendf(nil, `{"n": %d, "all": %d, "fails": %d}`, n, w.all, (n*17+20)%failingItems),
	}
}

// run has all orders run, while the node is killed, and judges.
func (r *branchRow) run(ctx context.Context, f figures) error {
	fleet := newFleet(r.order)
	fleet.most = len(r.plan)
	fleet.want = append(fleet.want, orderv1.Status_STATUS_CANCELLED)
	fickle := newFickle(r.conn.Orders(), r.seed)
	fleet.turn = func(o *order) {
		if r.plan[o.n].cancelled {
			fickle.doom(o.id, time.Duration(50+o.n*37%500)*time.Millisecond)
		}
	}
	var others sync.WaitGroup
	aside, stop := context.WithCancel(ctx)
	defer others.Wait()
	defer stop()
	others.Go(func() { fickle.run(aside) })
	began, kills := time.Now(), 0
	err := fleet.during(ctx, r.conn, branchesAtOnce, func(sailing context.Context) error {
		var err error
		kills, err = r.massacre(sailing, fleet)
		return err
	})
	stop()
	others.Wait()
	if err != nil {
		return err
	}
	f["took_s"], f["kills"] = round(time.Since(began).Seconds(), 1), kills
	c := fleet.counts()
	f["orders"], f["lost_orders"], f["wrong_answers"] = c.ended, c.submitted-c.ended, len(fleet.wrong)+len(fickle.wrong)
	for _, wrong := range append(fleet.wrong, fickle.wrong...) {
		r.sayf("branches: %v", wrong)
	}
	return r.account(ctx, fleet, f)
}

// massacre kills the node until that was often enough, and waits until all orders have ended.
func (r *branchRow) massacre(ctx context.Context, fleet *fleet) (kills int, err error) {
	_, kills = branchRounds(r.site)
	chance := r.chance()
	return fleet.amid(ctx, kills, func() error {
		err := between(ctx, chance, 100*time.Millisecond, time.Second)
		if err == nil {
			_, err = r.node.Kill(ctx)
		}
		if err == nil {
			err = r.node.Ready(ctx)
		}
		return err
	})
}

// account reads what the adapter has written down, and what the orders have left, and judges.
func (r *branchRow) account(ctx context.Context, fleet *fleet, f figures) error {
	lines, err := players.ReadLines[players.TallyLine](r.log)
	if err != nil {
		return err
	}
	seen := branchesSeen{orders: map[messages.OrderID]branchOrder{}, lines: lines}
	var races []messages.OrderID
	for _, o := range fleet.orders {
		b := branchOrder{branchWork: r.plan[o.n], end: o.end}
		got, err := r.conn.Orders().Get(ctx, &orderv1.GetRequest{Id: string(o.id)}, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("get %s: %w", o.id, err)
		}
		b.output = got.GetOrder().GetOutput()
		seen.orders[o.id] = b
		if b.kind == branchRace {
			races = append(races, o.id)
		}
	}
	seen.told = map[messages.OrderID][]*orderv1.HistoryEvent{}
	if f["without_history"], err = readHistories(ctx, r.conn, races, func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
		seen.told[id] = events
		return nil
	}); err != nil {
		return err
	}
	maps.Copy(f, seen.judge())
	for _, wrong := range seen.wrong[:min(len(seen.wrong), maxWrong)] {
		r.sayf("branches: %s", wrong)
	}
	return nil
}

// itemsText is a list of the names of so many items, as an order leaves it.
func itemsText(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("item-", i)
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err.Error() // it is none that an order leaves
	}
	return string(text)
}

func branchesBars(s *site) bars {
	rounds, kills := branchRounds(s)
	least := float64(rounds * (branchItemsOf(s) + 4*forkBranches))
	return bars{
		"orders": exactly(float64(len(branchPlan(s)))), "effects": atLeast(least), "kills": atLeast(float64(kills)),
		// If nothing is undone, and nobody loses a race after its effect, the row shows nothing.
		"undone": atLeast(float64(rounds * 20)), "cancelled": atLeast(float64(rounds)), "losers_applied": atLeast(1),
	}.none("lost", "twice", "wrong", "lost_orders", "wrong_answers", "without_history")
}
