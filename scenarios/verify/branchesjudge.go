package main

import (
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// branchOrder is an order of the row branches, and what became of it.
type branchOrder struct {
	branchWork

	end    orderv1.Status
	output []byte
}

// branchesSeen is what was seen of these orders.
type branchesSeen struct {
	orders map[messages.OrderID]branchOrder
	told   map[messages.OrderID][]*orderv1.HistoryEvent // of races
	lines  []players.TallyLine
	wrong  []string
}

// branchEffects are the effects of an order, by item: the keys of those that were had, and how many were undone.
type branchEffects struct {
	applied map[string][]string
	undone  map[string]int
}

// judge compares what the adapter wrote down with what the orders were to do.
func (s *branchesSeen) judge() figures {
	f := figures{"effects": 0, "undone": 0, "cancelled": 0, "losers_applied": 0, "lost": 0, "twice": 0, "wrong": 0}
	count := func(name string) { f[name] = f[name].(int) + 1 } //nolint:errcheck,forcetypeassert // set above
	wrongf := func(name string, id messages.OrderID, format string, args ...any) {
		count(name)
		s.wrong = append(s.wrong, fmt.Sprintf("%s: %s %s: ", name, s.orders[id].kind, id)+fmt.Sprintf(format, args...))
	}
	effects := map[messages.OrderID]branchEffects{}
	for id := range s.orders {
		effects[id] = branchEffects{map[string][]string{}, map[string]int{}}
	}
	for _, l := range s.lines {
		e, known := effects[l.Order]
		switch {
		case !known:
			wrongf("wrong", l.Order, "%s was %s, and nobody has submitted the order", l.Item, l.What)
		case l.What == players.TallyApplied:
			count("effects")
			e.applied[l.Item] = append(e.applied[l.Item], l.Key)
		default:
			count("undone")
			e.undone[l.Item]++
		}
	}
	for id, o := range s.orders {
		e := effects[id]
		for item, keys := range e.applied {
			if len(keys) > 1 {
				wrongf("twice", id, "%s was applied as %q", item, keys)
			}
			if n := 0; item != itemName(item, &n) || n >= o.all {
				wrongf("wrong", id, "%s was applied, and there is no such item", item)
			}
		}
		s.judgeOrder(id, o, e, count, wrongf)
	}
	return f
}

// itemName reads the number of an item, and returns how one with that number is called.
func itemName(item string, n *int) string {
	if _, err := fmt.Sscanf(item, "item-%d", n); err != nil || *n < 0 {
		return ""
	}
	return fmt.Sprint("item-", *n)
}

func (s *branchesSeen) judgeOrder(
	id messages.OrderID, o branchOrder, e branchEffects, count func(string), wrongf func(string, messages.OrderID, string, ...any),
) {
	undone := o.kind == branchFailing
	switch {
	case o.end == orderv1.Status_STATUS_CANCELLED:
		count("cancelled")
		undone = true
	case o.kind == branchRace:
		s.judgeRace(id, e, count, wrongf)
	case o.kind == branchItems || o.kind == branchForked:
		for n := range o.all {
			if item := fmt.Sprint("item-", n); len(e.applied[item]) == 0 {
				wrongf("lost", id, "%s was not applied", item)
			}
		}
		if want := itemsText(o.all); string(o.output) != want {
			wrongf("wrong", id, "it leaves %.200s, not %.200s", o.output, want)
		}
	}
	for item := range e.applied {
		if undone && e.undone[item] == 0 {
			wrongf("wrong", id, "%s was applied, and not undone", item)
		}
	}
	for item, n := range e.undone {
		if !undone || n > 1 || len(e.applied[item]) == 0 {
			wrongf("wrong", id, "%s was undone %d times, and applied as %q", item, n, e.applied[item])
		}
	}
}

// judgeRace compares what an order whose branches compete has in its history with what was done: whoever has lost has done what it is said
// to have done, and nothing is undone.
func (s *branchesSeen) judgeRace(
	id messages.OrderID, e branchEffects, count func(string), wrongf func(string, messages.OrderID, string, ...any),
) {
	var succeeded, applied []string
	for _, ev := range s.told[id] {
		switch ev.GetEventType() {
		case eventtype.AttemptSucceeded:
			succeeded = append(succeeded, ev.GetKey())
		case eventtype.AttemptInDoubt:
			wrongf("wrong", id, "%s is in doubt", ev.GetKey())
		default:
		}
	}
	for _, keys := range e.applied {
		applied = append(applied, keys...)
	}
	slices.Sort(succeeded)
	slices.Sort(applied)
	if !slices.Equal(succeeded, applied) {
		wrongf("wrong", id, "%q have succeeded, and %q were applied", succeeded, applied)
	}
	if len(applied) == 0 {
		wrongf("lost", id, "nobody has won")
	}
	for range max(0, len(applied)-1) {
		count("losers_applied")
	}
}
