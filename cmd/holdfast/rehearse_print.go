package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/rehearsal"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/client/shown"
)

// shownCase is what came of a case, as JSON.
type shownCase struct {
	File     string         `json:"file"`
	Line     int            `json:"line"`
	Case     string         `json:"case"`
	Passed   bool           `json:"passed"`
	Outcome  string         `json:"outcome"`
	Took     string         `json:"took"`
	Failures []shownFailure `json:"failures"`
	Path     []shownTask    `json:"path"`
	Orders   []shownOrder   `json:"orders,omitempty"`
}

type shownFailure struct {
	What    string     `json:"what"`
	Details []string   `json:"details"`
	Task    *shownTask `json:"task,omitempty"`
}

// shownTask is a task, and where it stands.
type shownTask struct {
	Task   string `json:"task"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// shownOrder is an order of a case, and its history.
type shownOrder struct {
	ID         string        `json:"id"`
	Definition string        `json:"definition"`
	History    []shown.Event `json:"history"`
}

// shownCoverage is what of a definition the cases have reached, as JSON.
type shownCoverage struct {
	File    string       `json:"file"`
	Reached int          `json:"reached"`
	All     int          `json:"all"`
	Missed  []shownPoint `json:"missed"`
}

type shownPoint struct {
	shownTask

	What string `json:"what"`
}

// print tells what came of a case.
func (r *rehearse) print(s *suite, c *rehearsal.Result) error {
	if r.output == outputJSON {
		return r.printJSON(r.shownCase(s, c))
	}
	word := "PASS"
	if !c.Passed() {
		word = "FAIL"
	}
	fmt.Fprintln(r.stdout, clean(fmt.Sprintf("%s  %s: %s (%s)", word, s.definition, c.Case.Name, rehearsal.Text(c.Took))))
	for _, line := range r.report(s, c) {
		fmt.Fprintln(r.stdout, clean("      "+line))
	}
	if !r.verbose {
		return nil
	}
	for _, o := range c.Orders {
		fmt.Fprintln(r.stdout, clean(fmt.Sprintf("      order %s of %s:", o.ID, o.Definition.Ref)))
		t := r.newEventTable()
		if err := r.printEvents(t, view.Told(o.Events)); err != nil {
			return err
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

// mostPath is how many tasks of a path are told.
const mostPath = 50

// report tells why a case has failed, and what led there, in lines; none if it has passed.
func (r *rehearse) report(s *suite, c *rehearsal.Result) []string {
	if c.Passed() {
		return nil
	}
	lines := []string{fmt.Sprintf("the case: %s:%d:%d", s.file, c.Case.Line, c.Case.Column)}
	for _, f := range c.Failures {
		line := f.What
		if t := r.taskOf(f.Definition, f.Task); t != nil {
			line += fmt.Sprintf(" [%s at %s:%d:%d]", t.Task, t.File, t.Line, t.Column)
		}
		lines = append(lines, line)
		for _, d := range f.Details {
			lines = append(lines, "  "+d)
		}
	}
	path := c.Path
	var steps []string
	if more := len(path) - mostPath; more > 0 {
		steps, path = append(steps, fmt.Sprintf("… %d more", more)), path[more:]
	}
	for _, t := range path {
		line, column := s.of.places.Of(t.Ref)
		steps = append(steps, fmt.Sprintf("%s (%d:%d)", t.Name, line, column))
	}
	if len(steps) > 0 {
		lines = append(lines, "the path: "+strings.Join(steps, " → "))
	}
	for _, u := range c.Unused {
		lines = append(lines, fmt.Sprintf("the stub on line %d was not used", u.Line))
	}
	return lines
}

// taskOf tells where a task stands; nil if there is none.
func (r *rehearse) taskOf(def *workflow.Definition, ref string) *shownTask {
	for _, d := range r.defs {
		if d.def == def && ref != "" {
			line, column := d.places.Of(ref)
			return &shownTask{ref, d.file, line, column}
		}
	}
	return nil
}

func (r *rehearse) shownCase(s *suite, c *rehearsal.Result) shownCase {
	out := shownCase{
		File: s.file, Line: c.Case.Line, Case: c.Case.Name, Passed: c.Passed(), Outcome: string(c.Outcome), Took: rehearsal.Text(c.Took),
		Failures: []shownFailure{}, Path: []shownTask{},
	}
	for _, f := range c.Failures {
		details := f.Details
		if details == nil {
			details = []string{}
		}
		out.Failures = append(out.Failures, shownFailure{f.What, details, r.taskOf(f.Definition, f.Task)})
	}
	for _, t := range c.Path {
		if at := r.taskOf(s.of.def, t.Ref); at != nil {
			out.Path = append(out.Path, *at)
		}
	}
	if !r.verbose {
		return out
	}
	for _, o := range c.Orders {
		order := shownOrder{ID: string(o.ID), Definition: o.Definition.Ref.String()}
		for _, ev := range view.Told(o.Events) {
			order.History = append(order.History, shown.EventOf(ev))
		}
		out.Orders = append(out.Orders, order)
	}
	return out
}

// printCoverage tells what the cases have not reached, and how many percent they have of all.
func (r *rehearse) printCoverage() (percent int, err error) {
	if !r.coverage {
		return 0, nil
	}
	reached, all := 0, 0
	for _, d := range r.defs {
		if d.coverage == nil {
			continue
		}
		out := r.covers(d)
		reached, all = reached+out.Reached, all+out.All
		if r.output == outputJSON {
			if err := r.printJSON(out); err != nil {
				return 0, err
			}
			continue
		}
		fmt.Fprintln(r.stdout, clean(fmt.Sprintf("coverage: %s: %d of %d reached (%d %%)",
			d.file, out.Reached, out.All, percentOf(out.Reached, out.All))))
		for _, p := range out.Missed {
			fmt.Fprintln(r.stdout, clean(fmt.Sprintf("      %s:%d:%d: no case reaches the %s %s", p.File, p.Line, p.Column, p.What, p.Task)))
		}
	}
	return percentOf(reached, all), nil
}

// covers tells what of a definition was reached. What stands at one place counts once, however many tasks call or have it.
func (r *rehearse) covers(d *rehearsed) shownCoverage {
	type place struct {
		line, column int
		what         string
	}
	var order []place
	missed := map[place]*shownPoint{} // nil: it was reached
	for _, p := range d.coverage.Points() {
		at := shownPoint{*r.taskOf(d.def, p.Ref), p.What}
		key := place{at.Line, at.Column, at.What}
		if _, seen := missed[key]; !seen {
			order = append(order, key)
			missed[key] = &at
		}
		if p.Reached > 0 {
			missed[key] = nil
		}
	}
	out := shownCoverage{File: d.file, All: len(order), Missed: []shownPoint{}}
	for _, key := range order {
		if missed[key] != nil {
			out.Missed = append(out.Missed, *missed[key])
		}
	}
	out.Reached = out.All - len(out.Missed)
	slices.SortStableFunc(out.Missed, func(a, b shownPoint) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return out
}

// percentOf is how many whole percent a part has; only all of it has 100.
func percentOf(part, all int) int {
	if all == 0 {
		return 100
	}
	return 100 * part / all
}
