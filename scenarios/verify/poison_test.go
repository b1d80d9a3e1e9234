package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

func TestJudgeMortal(t *testing.T) {
	t.Parallel()
	line := func(process int, order, activity, what string) players.MortalLine {
		return players.MortalLine{Process: process, Order: messages.OrderID(order), Key: order + ":/do/" + activity, What: what}
	}
	seen := mortalSeen{
		poisonous: map[messages.OrderID]bool{"p": true, "a": false, "b": false, "c": false},
		told: map[messages.OrderID][]*orderv1.HistoryEvent{
			"p": {
				{EventType: eventtype.AttemptLost},
				{EventType: eventtype.AttemptLost, Alone: true},
				{EventType: eventtype.AttemptInDoubt, Key: "p:/do/apply"},
				{EventType: eventtype.OrderFaulted, Error: &problemv1.Problem{Type: quarantined}},
			},
			"a": {{EventType: eventtype.AttemptInDoubt, Key: "a:/do/charge"}, {EventType: eventtype.OrderCompleted}},
			"b": {{EventType: eventtype.AttemptInDoubt, Key: "b:/do/charge"}, {EventType: eventtype.OrderFaulted}},
			"c": {{EventType: eventtype.AttemptLost, Alone: true}, {EventType: eventtype.OrderFaulted, Error: &problemv1.Problem{Type: quarantined}}},
		},
		lines: []players.MortalLine{
			line(1, "a", "apply", players.MortalBegan), line(1, "p", "apply", players.MortalBegan), // a is lost with it
			line(2, "a", "apply", players.MortalBegan), line(2, "a", "apply", players.MortalOver), line(2, "p", "apply", players.MortalBegan),
			line(3, "a", "apply", players.MortalOver),
			line(3, "a", "charge", players.MortalBegan), line(3, "a", "charge", players.MortalOver), line(4, "a", "charge", players.MortalOver),
		},
	}
	want := figures{
		"deaths": 2, "deaths_in_company": 1, "applied_again": 1, "completed": 1, "set_apart": 1, "deaths_alone": 1, "lost": 3,
		"in_doubt": 2, "in_doubt_unbegun": 1, "harmless_set_apart": 1, "otherwise": 1,
	}
	if got := seen.judge(); !maps.Equal(got, want) {
		t.Errorf("judged %v, want %v", got, want)
	}
}

func TestChangedHistories(t *testing.T) {
	t.Parallel()
	s := &site{log: t.Output()}
	honestly := func(output string, changes ...func([]*orderv1.HistoryEvent) []*orderv1.HistoryEvent) []*orderv1.HistoryEvent {
		var events []*orderv1.HistoryEvent
		for name := range strings.FieldsSeq(honest) {
			typ := eventtype.Named(name)
			e := &orderv1.HistoryEvent{EventType: typ}
			if typ == eventtype.AttemptSucceeded {
				e.Data = []byte(output)
			}
			events = append(events, e)
		}
		for _, change := range changes {
			events = change(events)
		}
		return events
	}
	more := func(e *orderv1.HistoryEvent) func([]*orderv1.HistoryEvent) []*orderv1.HistoryEvent {
		return func(events []*orderv1.HistoryEvent) []*orderv1.HistoryEvent { return append(events, e) }
	}
	fine := `{"poison":false,"n":1}`
	for name, tt := range map[string]struct {
		told []*orderv1.HistoryEvent
		want int
	}{
		"honest":       {honestly(fine), 0},
		"own is lost":  {honestly(fine, more(&orderv1.HistoryEvent{EventType: eventtype.AttemptLost, Task: "/do/0/own"})), 0},
		"lost":         {honestly(fine, more(&orderv1.HistoryEvent{EventType: eventtype.AttemptLost, Task: "/do/1/charge"})), 1},
		"late":         {honestly(fine, more(&orderv1.HistoryEvent{EventType: eventtype.ResultLate})), 1},
		"a lie":        {honestly(fine, func(e []*orderv1.HistoryEvent) []*orderv1.HistoryEvent { e[2].Data = []byte(`"a lie"`); return e }), 1},
		"other output": {honestly(`{"poison":false,"n":2}`), 1},
		"none":         {nil, 1},
	} {
		told := map[messages.OrderID][]*orderv1.HistoryEvent{"o": tt.told}
		if got := changed(s, []*order{{id: "o", n: 1}}, told); got != tt.want {
			t.Errorf("%s: %d are changed, want %d", name, got, tt.want)
		}
	}
}
