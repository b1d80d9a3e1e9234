package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	keysClients = 8
	// keysEach is how many orders there are of each key.
	keysEach = 20
	// keysAtOnce is of how many keys there are orders at any time: so each has a long queue.
	keysAtOnce = 100
	// keysSleep is how long an activity takes.
	keysSleep = "10ms"
)

func keyCount(s *site) int {
	if s.ci() {
		return 100
	}
	return 1000
}

func keysKills(s *site) int {
	if s.ci() {
		return 2
	}
	return 5
}

// keyed are the orders of the row.
type keyed struct {
	s *site
	// dial connects to the node, or to the nodes; kill kills one of them, kills times.
	dial    func() (*client.Client, error)
	kill    func(context.Context) error
	kills   int
	clients [keysClients]*fleet
	conns   [keysClients]*client.Client
}

// keys has many clients submit orders of the same keys, kills the node, and sees in which order they ran.
func keys(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true)
	if err != nil {
		return nil, err
	}
	if err := node.Ready(ctx); err != nil {
		return nil, err
	}
	k := &keyed{
		s: s, kills: keysKills(s), dial: func() (*client.Client, error) { return node.Dial() },
		kill: func(ctx context.Context) error { _, err := node.Kill(ctx); return err },
	}
	f, err := k.run(ctx, st, node.Server)
	if err != nil {
		err = why(ctx, err)
	}
	return f, err
}

// run has the orders run at nodes that are there, and judges.
func (k *keyed) run(ctx context.Context, st *stage.Stage, servers ...string) (figures, error) {
	log := k.s.dir + "/executions.jsonl"
	_, err := st.Start(ctx, stage.Spec{Name: players.Sleeper, Path: k.s.self, Args: []string{
		players.Sleeper, "-server", strings.Join(servers, ","), "-log", log, "-for", keysSleep,
	}})
	if err != nil {
		return nil, err
	}
	for i := range k.conns {
		if k.conns[i], err = k.dial(); err != nil {
			return nil, err
		}
		defer k.conns[i].Close() //nolint:errcheck // it fails only if it was closed before
	}
	if err := deploy(ctx, k.conns[0], "keys"); err != nil {
		return nil, err
	}
	k.prepare(k.s.chance())
	f := figures{"keys": keyCount(k.s)}
	if err := k.sail(ctx, f); err != nil {
		return f, err
	}
	executions, err := players.ReadLines[players.Execution](log)
	if err != nil {
		return f, err
	}
	return f, k.judge(ctx, f, executions)
}

// prepare decides which client submits orders of which key when: those of some keys, shuffled, then those of the next.
func (k *keyed) prepare(chance *rand.Rand) {
	var order []string
	for first := 0; first < keyCount(k.s); first += keysAtOnce {
		var some []string
		for key := first; key < min(first+keysAtOnce, keyCount(k.s)); key++ {
			for range keysEach {
				some = append(some, fmt.Sprint("key-", key))
			}
		}
		chance.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		order = append(order, some...)
	}
	for c := range k.clients {
		k.clients[c] = newFleet(func(n int) *orderv1.WorkOrder {
			return &orderv1.WorkOrder{Definition: "verify/keys:1.0.0", OrderKey: order[n*keysClients+c]}
		})
		k.clients[c].most = len(order) / keysClients
	}
}

// sail has the clients submit all, while the node is killed.
func (k *keyed) sail(ctx context.Context, f figures) error {
	var fleets sync.WaitGroup
	sailing, sink := context.WithCancelCause(ctx)
	defer sink(nil)
	errs := make([]error, keysClients)
	for c, client := range k.clients {
		fleets.Go(func() {
			// Half of the orders of the keys at hand: as one ends, the next is submitted, behind others that were acknowledged.
			errs[c] = client.run(sailing, k.conns[c], keysAtOnce*keysEach/keysClients/2)
			if errs[c] != nil && !errors.Is(errs[c], errStall) {
				sink(errs[c])
			}
		})
	}
	err := k.massacre(sailing)
	if err != nil {
		sink(err)
	}
	fleets.Wait()
	f["kills"] = k.kills
	for _, client := range k.clients {
		for _, wrong := range client.wrong {
			k.s.sayf("%s: %v", k.s.row, wrong)
		}
	}
	if err != nil {
		return err
	}
	return context.Cause(sailing)
}

// massacre kills a node, each time after its share of the orders has ended.
func (k *keyed) massacre(ctx context.Context) error {
	one := k.clients[0]
	for n := range k.kills {
		share := one.most * (n + 1) / (k.kills + 1)
		if err := one.await(ctx, func(c counts) bool { return c.ended >= share }); err != nil {
			return err
		}
		if err := k.kill(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ran is from when an order began to be executed until that was over.
type ran struct {
	*order

	began, over time.Time
}

// judge compares what the clients saw with what the adapter wrote down, and with the histories.
func (k *keyed) judge(ctx context.Context, f figures, executions []players.Execution) error {
	var all []*order
	total := counts{}
	wrong := 0
	for _, client := range k.clients {
		c := client.counts()
		total.accepted, total.ended, total.completed = total.accepted+c.accepted, total.ended+c.ended, total.completed+c.completed
		total.resubmitted += c.resubmitted
		all = append(all, client.orders...)
		wrong += len(client.wrong)
	}
	f["acknowledged"], f["lost"], f["not_completed"] = total.accepted, total.lost(), total.ended-total.completed
	f["resubmitted"], f["wrong_answers"] = total.resubmitted, wrong
	byAdapter, started := map[messages.OrderID]*ran{}, map[string]int{}
	for _, e := range executions {
		r := byAdapter[e.Order]
		if r == nil {
			r = &ran{began: e.At}
			byAdapter[e.Order] = r
		}
		r.over = e.At
		if !e.Over {
			started[e.Key]++
		}
	}
	f["executed"], f["executed_twice"] = len(started), 0
	for _, n := range started {
		if n > 1 {
			f["executed_twice"] = f["executed_twice"].(int) + n - 1 //nolint:errcheck,forcetypeassert // set above
		}
	}
	f["overlaps"], f["inversions"], f["pairs"] = disorder(all, byAdapter)
	told, err := histories(ctx, k.conns[0], all)
	if err != nil {
		return err
	}
	f["histories"] = len(told)
	f["history_overlaps"], f["history_inversions"], _ = disorder(all, told)
	return nil
}

// histories reads when the orders were started, and when they ended.
func histories(ctx context.Context, conn *client.Client, orders []*order) (map[messages.OrderID]*ran, error) {
	client := conn.Orders()
	told := make(map[messages.OrderID]*ran, len(orders))
	for _, o := range orders {
		events, err := readHistory(ctx, client, o.id)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", o.id, err)
		}
		r := &ran{}
		for _, e := range events {
			switch e.GetEventType() {
			case eventtype.OrderStarted:
				r.began = e.GetAt().AsTime()
			case eventtype.OrderCompleted:
				r.over = e.GetAt().AsTime()
			default:
			}
		}
		if !r.began.IsZero() && !r.over.IsZero() {
			told[o.id] = r
		}
	}
	return told, nil
}

// disorder counts, of the orders with the same key, those that ran while another did, and those that ran before another
// that was acknowledged before they were submitted. It tells of how many pairs the latter could be said.
func disorder(orders []*order, spans map[messages.OrderID]*ran) (overlaps, inversions, pairs int) {
	byKey := map[string][]ran{}
	for _, o := range orders {
		if r := spans[o.id]; r != nil {
			key := o.request.GetOrderKey()
			byKey[key] = append(byKey[key], ran{o, r.began, r.over})
		}
	}
	for _, all := range byKey {
		slices.SortFunc(all, func(a, b ran) int { return cmp.Or(a.began.Compare(b.began), a.over.Compare(b.over)) })
		for i, later := range all {
			if i > 0 && later.began.Before(all[i-1].over) {
				overlaps++
			}
			for _, earlier := range all[:i] {
				switch {
				case !earlier.accepted.IsZero() && earlier.accepted.Before(later.submitted):
					pairs++
				case !later.accepted.IsZero() && later.accepted.Before(earlier.submitted):
					pairs++
					inversions++
				}
			}
		}
	}
	return overlaps, inversions, pairs
}

func keysBars(s *site) bars { return keyedBars(s, keysKills(s)) }

func keyedBars(s *site, kills int) bars {
	orders := float64(keyCount(s) * keysEach)
	return bars{
		"acknowledged": atLeast(orders), "executed": atLeast(2 * orders), "histories": atLeast(orders), "kills": atLeast(float64(kills)),
		// Most orders of a key are submitted after others of it were acknowledged; if not, the row shows nothing.
		"pairs": atLeast(orders),
	}.none("overlaps", "inversions", "history_overlaps", "history_inversions", "lost", "not_completed", "wrong_answers")
}
