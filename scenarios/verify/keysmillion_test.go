package main

import (
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

func TestDisorderOfQueues(t *testing.T) {
	t.Parallel()
	type line struct {
		id   messages.OrderID
		over bool
	}
	begin := func(id messages.OrderID) line { return line{id, false} }
	end := func(id messages.OrderID) line { return line{id, true} }
	for name, c := range map[string]struct {
		lines                []line
		overlaps, inversions int
	}{
		"in order": {[]line{begin("key-1-0"), begin("key-2-0"), end("key-1-0"), begin("key-1-1"), end("key-2-0")}, 0, 0},
		"at once":  {[]line{begin("key-1-0"), begin("key-1-1"), end("key-1-0"), end("key-1-1")}, 1, 0},
		"inverted": {[]line{begin("key-1-1"), end("key-1-1"), begin("key-1-0"), end("key-1-0")}, 0, 2},
		"left out": {[]line{begin("key-1-0"), end("key-1-0"), begin("key-1-2"), end("key-1-2")}, 0, 1},
		"twice":    {[]line{begin("key-1-0"), end("key-1-0"), begin("key-1-0"), end("key-1-0")}, 0, 1},
	} {
		var executions []players.Execution
		for _, l := range c.lines {
			executions = append(executions, players.Execution{Order: l.id, Over: l.over})
		}
		f := figures{}
		if err := disorderOfQueues(f, executions); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if f["overlaps"] != c.overlaps || f["inversions"] != c.inversions {
			t.Errorf("%s: %v, want %d overlaps, %d inversions", name, f, c.overlaps, c.inversions)
		}
	}
	if err := disorderOfQueues(figures{}, []players.Execution{{Order: "key-x-1"}}); err == nil {
		t.Error("an order that nobody has submitted is not noticed")
	}
}
