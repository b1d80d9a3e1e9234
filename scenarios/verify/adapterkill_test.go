package main

import (
	"maps"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

func TestJudgeFrail(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var lines []players.FrailLine
	write := func(process int, order, step string, whats ...string) {
		for _, what := range whats {
			lines = append(lines, players.FrailLine{
				At: start, Process: process, Order: messages.OrderID(order), Key: order + "/" + step, Step: step, What: what,
			})
		}
	}
	event := func(order, step string, typ orderv1.EventType) *orderv1.HistoryEvent {
		return &orderv1.HistoryEvent{EventType: typ, Key: order + "/" + step, Activity: "keeps.charge"}
	}
	completed, compensated := &orderv1.HistoryEvent{EventType: eventtype.OrderCompleted}, &orderv1.HistoryEvent{EventType: eventtype.CompensationStarted}
	all := []string{players.FrailBegan, players.FrailApplied, players.FrailEnded}
	told := map[messages.OrderID][]*orderv1.HistoryEvent{}

	// All is well.
	write(1, "well", "first", all...)
	write(1, "well", "second", all...)
	told["well"] = []*orderv1.HistoryEvent{
		event("well", "first", eventtype.AttemptSucceeded), event("well", "second", eventtype.AttemptSucceeded), completed,
	}
	// It panicked, and was undone.
	write(1, "panics", "first", all...)
	write(1, "panics", "second", all...)
	write(1, "panics", "first", players.FrailUndone)
	write(1, "panics", "second", players.FrailUndone)
	told["panics"] = []*orderv1.HistoryEvent{
		event("panics", "first", eventtype.AttemptSucceeded), event("panics", "second", eventtype.AttemptInDoubt), compensated, completed,
	}
	// It was killed while it was executed, and found out about.
	write(2, "found", "first", players.FrailBegan, players.FrailApplied)
	write(3, "found", "second", all...)
	told["found"] = []*orderv1.HistoryEvent{
		{EventType: eventtype.AttemptSent, Key: "found/first", MaybeStarted: true},
		event("found", "first", eventtype.AttemptSucceeded),
		event("found", "second", eventtype.AttemptSucceeded), completed,
	}
	// It was killed before it wrote anything, while it counted as begun.
	told["unwritten"] = []*orderv1.HistoryEvent{
		{EventType: eventtype.AttemptLost, Key: "unwritten/first", Suspect: true}, event("unwritten", "first", eventtype.AttemptInDoubt), compensated, completed,
	}
	// All that must not be.
	write(3, "twice", "first", append(all, players.FrailApplied)...)
	write(3, "twice", "second", all...)
	told["twice"] = []*orderv1.HistoryEvent{event("twice", "first", eventtype.AttemptSucceeded), completed}
	told["never"] = []*orderv1.HistoryEvent{event("never", "first", eventtype.AttemptSucceeded), compensated, completed}
	write(3, "failed", "first", all...)
	told["failed"] = []*orderv1.HistoryEvent{event("failed", "first", eventtype.AttemptFailed), compensated, {EventType: eventtype.OrderFaulted}}
	write(3, "doubt", "first", all...)
	write(3, "doubt", "first", players.FrailUndone)
	told["doubt"] = []*orderv1.HistoryEvent{event("doubt", "first", eventtype.AttemptInDoubt), compensated, completed}

	seen := frailSeen{
		killed: map[int]time.Time{2: start.Add(time.Millisecond), 3: start.Add(time.Minute), 4: start},
		hows:   map[messages.OrderID]string{"panics": players.FrailPanics}, told: told, lines: lines,
	}
	want := figures{
		"hits": 1, "applied": 11, "undone": 3, "in_doubt": 3, "in_doubt_unwritten": 1, "recovered": 1, "unreported": 0,
		"applied_twice": 1, "succeeded_without_effect": 2, "doubt_unexplained": 1, "failed_with_effect": 1, "not_undone": 1,
		"undone_wrongly": 1, "not_completed": 1,
	}
	if got := seen.judge(); !maps.Equal(got, want) {
		t.Errorf("judged %v, want %v: %v", got, want, seen.wrong)
	}
}
