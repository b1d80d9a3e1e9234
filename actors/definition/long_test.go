package definition

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

type turns struct {
	large, long func()
	show        func() time.Duration
}

func (t turns) Large() {
	if t.large != nil {
		t.large()
	}
}

func (turns) Checking() {}

func (t turns) Long() {
	if t.long != nil {
		t.long()
	}
}

func (t turns) Show() time.Duration { return t.show() }

// TestLong checks that an evaluation that takes long waits for its turns, which doesn't count as its time.
func TestLong(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	programs := newPrograms(Limits{Now: func() time.Time { return now }}.WithDefaults())
	for text, want := range map[string]string{
		"[range(1000)] | length":         "",
		"[range(30000)] | length":        "long, shown",
		"[range(30000)] | error(\"no\")": "long, shown",
	} {
		e, err := programs.compile(text, placeTask, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		_, err = e.Eval(value("{}"), &workflow.Args{Meter: &workflow.Meter{Turns: turns{
			long: func() { got += "long"; now = now.Add(time.Hour) }, // others are evaluated
			show: func() time.Duration {
				if got == "long" {
					got += ", shown"
				}
				now = now.Add(time.Hour)
				return time.Hour
			},
		}}})
		if got != want || err != nil && !strings.Contains(err.Error(), "no") {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

// An evaluation that makes much says so once, before it does.
func TestLarge(t *testing.T) {
	t.Parallel()
	programs := newPrograms(Limits{}.WithDefaults())
	for text, want := range map[string]int{
		`"x" * 100000`:                         0,
		`"x" * 300000 | length`:                1,
		`[range(3) | "x" * 300000] | join("")`: 1,
		`"x" * 1000000000`:                     0, // it is not done
	} {
		e, err := programs.compile(text, placeTask, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		_, _ = e.Eval(value("{}"), &workflow.Args{Meter: &workflow.Meter{Turns: turns{large: func() { got++ }}}})
		if got != want {
			t.Errorf("%s: told %d times, want %d", text, got, want)
		}
	}
}
