package main

import (
	"context"
	"fmt"
	"maps"
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
	// poisonInFlight is how many orders are under way.
	poisonInFlight = 200
	// poisonDeaths is after how many deaths alone a node sets a task apart.
	poisonDeaths = 3
	// quarantined is the type of the error of such a task.
	quarantined = "https://holdfast.run/errors/quarantined"
)

// poisonCounts is how many orders there are that kill their adapter, harmless how many others.
func poisonCounts(s *site) (poisons, harmless int) {
	if s.ci() {
		return 1, 200
	}
	return 3, 1000
}

// poisoned has orders kill their adapter, among others of the same adapter, and sees what becomes of both.
func poisoned(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, log, err := startMortal(ctx, s, st)
	if err != nil {
		return nil, why(ctx, err)
	}
	conn, err := prepared(ctx, node, "poison")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	poisons, harmless := poisonCounts(s)
	every := (poisons + harmless) / (poisons + 1)
	isPoison := func(n int) bool { return n > 0 && n%every == 0 && n/every <= poisons }
	client := newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{Definition: "verify/poison:1.0.0", Input: fmt.Appendf(nil, `{"n": %d, "poison": %t}`, n, isPoison(n))}
	})
	client.want = []orderv1.Status{orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED}
	client.most = poisons + harmless
	if err := client.run(ctx, conn, poisonInFlight); err != nil {
		return nil, why(ctx, err)
	}
	for _, wrong := range client.wrong {
		s.sayf("poison: %v", wrong)
	}
	seen := mortalSeen{poisonous: map[messages.OrderID]bool{}, told: map[messages.OrderID][]*orderv1.HistoryEvent{}}
	slowest := time.Duration(0)
	for _, o := range client.orders {
		seen.poisonous[o.id] = isPoison(o.n)
		if !isPoison(o.n) {
			slowest = max(slowest, o.ended.Sub(o.accepted))
		}
	}
	f := figures{"poisons": poisons, "harmless": harmless, "wrong_answers": len(client.wrong), "slowest_s": round(slowest.Seconds(), 1)}
	if f["without_history"], err = seen.read(ctx, conn, client.orders); err != nil {
		return f, err
	}
	if seen.lines, err = players.ReadLines[players.MortalLine](log); err != nil {
		return f, err
	}
	maps.Copy(f, seen.judge())
	return f, node.Live(ctx)
}

// startMortal starts a node, and an adapter that is started again when it dies, and writes a log.
func startMortal(ctx context.Context, s *site, st *stage.Stage) (node *stage.Node, log string, err error) {
	if node, err = st.StartNode(ctx, s.holdfast, false); err != nil {
		return nil, "", err
	}
	if err = node.Ready(ctx); err != nil {
		return nil, "", err
	}
	log = s.dir + "/executions.jsonl"
	_, err = st.Start(ctx, stage.Spec{
		Name: players.Mortal, Path: s.self, Args: []string{players.Mortal, "-server", node.Server, "-log", log}, Restart: true,
	})
	return node, log, err
}

// mortalSeen is what was seen of orders at the adapter mortal.
type mortalSeen struct {
	poisonous map[messages.OrderID]bool // all orders: whether they are
	told      map[messages.OrderID][]*orderv1.HistoryEvent
	lines     []players.MortalLine
}

// read reads the histories, and counts those that the node knows nothing of.
func (m *mortalSeen) read(ctx context.Context, conn *client.Client, orders []*order) (untold int, err error) {
	var mu sync.Mutex
	return readHistories(ctx, conn, idsOf(orders), func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
		mu.Lock()
		defer mu.Unlock()
		m.told[id] = events
		return nil
	})
}

// judge counts what became of the orders, and which executions ended with a process that executed something else, too.
func (m *mortalSeen) judge() figures {
	f := figures{}
	for _, name := range []string{
		"deaths", "deaths_in_company", "applied_again", "completed", "set_apart", "deaths_alone", "lost", "in_doubt", "in_doubt_unbegun",
		"harmless_set_apart", "otherwise",
	} {
		f[name] = 0
	}
	count := func(name string) { f[name] = f[name].(int) + 1 } //nolint:errcheck,forcetypeassert // set above
	began := m.judgeLog(count)
	for id, events := range m.told {
		m.judgeHistory(id, events, began, count)
	}
	return f
}

// judgeLog counts what was executed, and returns the keys that were begun. Only what is idempotent may be applied again.
func (m *mortalSeen) judgeLog(count func(string)) map[string]bool {
	began, applied, underWay := map[string]bool{}, map[string]int{}, map[int]map[string]bool{}
	for _, l := range m.lines {
		if underWay[l.Process] == nil {
			underWay[l.Process] = map[string]bool{}
		}
		switch l.What {
		case players.MortalBegan:
			if m.poisonous[l.Order] {
				count("deaths")
				if len(underWay[l.Process]) > 0 {
					count("deaths_in_company")
				}
			}
			began[l.Key], underWay[l.Process][l.Key] = true, true
		case players.MortalOver:
			delete(underWay[l.Process], l.Key)
			if applied[l.Key]++; applied[l.Key] == 2 && strings.HasSuffix(l.Key, "/charge") {
				count("applied_again")
			}
		}
	}
	return began
}

func (m *mortalSeen) judgeHistory(id messages.OrderID, events []*orderv1.HistoryEvent, began map[string]bool, count func(string)) {
	last := &orderv1.HistoryEvent{}
	for _, last = range events {
		switch {
		case last.GetEventType() == eventtype.AttemptLost:
			count("lost")
			if last.GetAlone() && m.poisonous[id] {
				count("deaths_alone")
			}
		case last.GetEventType() == eventtype.AttemptInDoubt && !m.poisonous[id]:
			count("in_doubt")
			if !began[last.GetKey()] {
				count("in_doubt_unbegun")
			}
		}
	}
	switch apart := last.GetError().GetType() == quarantined; {
	case last.GetEventType() == eventtype.OrderCompleted && !m.poisonous[id]:
		count("completed")
	case apart && m.poisonous[id]:
		count("set_apart")
	case apart:
		count("harmless_set_apart")
	default:
		count("otherwise")
	}
}

func poisonBars(s *site) bars {
	poisons, harmless := poisonCounts(s)
	some := float64(poisons)
	return bars{
		"completed": atLeast(float64(harmless)), "set_apart": atLeast(some),
		// Each kills once among others, at the most, and then alone until it is set apart.
		"deaths": atMost(some * (poisonDeaths + 1)), "deaths_in_company": atMost(some),
		"deaths_alone": {Min: new(some * poisonDeaths), Max: new(some * poisonDeaths)},
		"slowest_s":    s.within(60),
	}.none("in_doubt", "in_doubt_unbegun", "harmless_set_apart", "otherwise", "applied_again", "wrong_answers", "without_history")
}
