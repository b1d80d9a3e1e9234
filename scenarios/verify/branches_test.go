package main

import (
	"fmt"
	"maps"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// TestJudgeBranches: what was lost, done twice, left or undone wrongly is found.
func TestJudgeBranches(t *testing.T) {
	t.Parallel()
	const completed, cancelled = orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_CANCELLED
	line := func(item int, what string) players.TallyLine {
		return players.TallyLine{Order: "o", Key: fmt.Sprint("k", item), Item: fmt.Sprint("item-", item), What: what}
	}
	applied, undone := players.TallyApplied, players.TallyUndone
	work := func(kind string, end orderv1.Status) branchOrder {
		return branchOrder{branchWork{kind, 2, false}, end, []byte(itemsText(2))}
	}
	for name, c := range map[string]struct {
		order branchOrder
		lines []players.TallyLine
		told  []string // keys that have succeeded
		want  figures  // but what is 0
	}{
		"as it should be": {
			work(branchItems, completed), []players.TallyLine{line(1, applied), line(0, applied)}, nil, figures{"effects": 2},
		},
		"lost": {work(branchForked, completed), []players.TallyLine{line(1, applied)}, nil, figures{"effects": 1, "lost": 1}},
		"twice": {
			work(branchForked, completed),
			[]players.TallyLine{line(1, applied), line(0, applied), line(1, applied)},
			nil,
			figures{"effects": 3, "twice": 1},
		},
		"in another order": {
			branchOrder{branchWork{branchItems, 2, false}, completed, []byte(`["item-1","item-0"]`)},
			[]players.TallyLine{line(1, applied), line(0, applied)},
			nil,
			figures{"effects": 2, "wrong": 1},
		},
		"undone for nothing": {
			work(branchItems, completed),
			[]players.TallyLine{line(1, applied), line(0, applied), line(0, undone)},
			nil,
			figures{"effects": 2, "undone": 1, "wrong": 1},
		},
		"cancelled": {
			work(branchItems, cancelled),
			[]players.TallyLine{line(1, applied), line(1, undone)},
			nil,
			figures{"effects": 1, "undone": 1, "cancelled": 1},
		},
		"cancelled, and left": {
			work(branchItems, cancelled), []players.TallyLine{line(1, applied)}, nil, figures{"effects": 1, "cancelled": 1, "wrong": 1},
		},
		"undone, and never done": {
			work(branchFailing, completed), []players.TallyLine{line(1, undone)}, nil, figures{"undone": 1, "wrong": 1},
		},
		"no such item": {
			work(branchFailing, completed),
			[]players.TallyLine{line(2, applied), line(2, undone)},
			nil,
			figures{"effects": 1, "undone": 1, "wrong": 1},
		},
		"a race": {
			work(branchRace, completed),
			[]players.TallyLine{line(1, applied), line(0, applied)},
			[]string{"k1", "k0"},
			figures{"effects": 2, "losers_applied": 1},
		},
		"a race whose loser is not told": {
			work(branchRace, completed),
			[]players.TallyLine{line(1, applied), line(0, applied)},
			[]string{"k1"},
			figures{"effects": 2, "losers_applied": 1, "wrong": 1},
		},
		"a race without a winner": {work(branchRace, completed), nil, nil, figures{"lost": 1}},
	} {
		seen := branchesSeen{
			orders: map[messages.OrderID]branchOrder{"o": c.order}, lines: c.lines, told: map[messages.OrderID][]*orderv1.HistoryEvent{},
		}
		for _, key := range c.told {
			seen.told["o"] = append(seen.told["o"], &orderv1.HistoryEvent{EventType: eventtype.AttemptSucceeded, Key: key})
		}
		want := figures{"effects": 0, "undone": 0, "cancelled": 0, "losers_applied": 0, "lost": 0, "twice": 0, "wrong": 0}
		maps.Copy(want, c.want)
		if got := seen.judge(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v: %q", name, got, want, seen.wrong)
		}
	}
}
