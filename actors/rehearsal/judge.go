package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// result judges what came of the case.
func (w *world) result() *Result {
	r := &Result{Case: w.c, Outcome: w.outcome(), Path: w.story.path, Failures: w.failed}
	for _, i := range w.accepted {
		r.Orders = append(r.Orders, Order{ID: i.id, Definition: i.state.Definition(), Events: i.history})
	}
	for n, s := range w.c.Stubs {
		if w.uses[n] == 0 && !s.Shared {
			r.Unused = append(r.Unused, s)
		}
	}
	if w.root != nil {
		r.Took = w.now.Sub(w.c.Start)
		if w.root.state.Ended() {
			r.Took = w.root.state.EndedAt().Sub(w.c.Start)
		}
	}
	if len(w.failed) == 0 {
		j := &judge{w: w, r: r, e: w.c.Expect}
		j.all()
	}
	return r
}

func (w *world) outcome() Outcome {
	if w.root == nil {
		return Refused
	}
	switch w.root.state.Status() {
	case orderv1.Status_STATUS_COMPLETED:
		return Completed
	case orderv1.Status_STATUS_FAULTED:
		return Faulted
	case orderv1.Status_STATUS_CANCELLED:
		return Cancelled
	default:
		return Waiting
	}
}

// judge compares what was expected with what is so.
type judge struct {
	w *world
	r *Result
	e Expectation
}

func (j *judge) failf(details []string, format string, args ...any) *Failure {
	j.r.Failures = append(j.r.Failures, Failure{What: fmt.Sprintf(format, args...), Details: details})
	return &j.r.Failures[len(j.r.Failures)-1]
}

// all compares all that was expected. If the order has ended otherwise, all else follows from that.
func (j *judge) all() {
	if !j.outcome() || j.r.Outcome == Refused {
		return
	}
	j.fault()
	j.output()
	j.path()
	s := &j.w.story
	if j.e.Compensated != nil {
		j.names("compensated", *j.e.Compensated, s.compensated)
	}
	j.emitted()
	j.calls()
	if want := j.e.Waits; want != nil && !slices.Equal(*want, s.waits) {
		j.failf([]string{"expected: " + texts(*want), "found:    " + texts(s.waits)}, "waits: the order has waited otherwise")
	}
	j.took()
	if c := j.w.c.Cancel; c != nil && !j.w.cancelled {
		j.failf(nil, "cancel: the order had ended after %s, before it was to be cancelled after %s", Text(j.r.Took), Text(c.At))
	}
	for n, p := range j.w.c.Events {
		if p.At == nil && !j.w.published[n] {
			j.failf(nil, "events: the event on line %d was not published, as no order has listened for its type", p.Line)
		}
	}
}

func (j *judge) took() {
	least, most := "at least ", "at most "
	if j.e.Least == j.e.Most {
		least, most = "", ""
	}
	switch took := j.r.Took; {
	case j.e.Least != nil && took < *j.e.Least:
		j.failf(nil, "took: expected %s%s, found %s", least, Text(*j.e.Least), Text(took))
	case j.e.Most != nil && took > *j.e.Most:
		j.failf(nil, "took: expected %s%s, found %s", most, Text(*j.e.Most), Text(took))
	}
}

// outcome tells whether the order has ended as it was to.
func (j *judge) outcome() bool {
	if j.r.Outcome == j.e.Outcome {
		return true
	}
	var details []string
	var p *problemv1.Problem
	switch j.r.Outcome {
	case Refused:
		details = []string{"the definition does not take the input: " + j.w.refused.Error()}
	case Faulted:
		p = j.w.root.state.Error()
		details = []string{problemText(p)}
	case Cancelled:
		if reason := j.w.root.state.Reason(); reason != "" {
			details = []string{"reason: " + reason}
		}
	case Waiting:
		details = j.w.standing()
	case Completed:
		details = []string{"output: " + clipped(j.w.root.state.Output().JSON())}
	}
	j.failf(details, "outcome: expected %s, found %s", j.e.Outcome, j.r.Outcome).of(j.w, p)
	return false
}

// of says that a failure is about the task of an error.
func (f *Failure) of(w *world, p *problemv1.Problem) {
	if def := w.main; def.Tasks[p.GetInstance()] != nil {
		f.Task, f.Definition = p.GetInstance(), def
	}
}

func (j *judge) fault() {
	want := j.e.Fault
	if want == nil {
		return
	}
	p := j.w.root.state.Error()
	var wrong []string
	differs := func(what, expected, found string) {
		wrong = append(wrong, fmt.Sprintf("%s: expected %s, found %s", what, expected, found))
	}
	if want.Type != "" && workflow.CanonicalErrorType(want.Type) != workflow.CanonicalErrorType(p.GetType()) {
		differs("type", want.Type, p.GetType())
	}
	if want.Status != nil && *want.Status != p.GetStatus() {
		differs("status", fmt.Sprint(*want.Status), fmt.Sprint(p.GetStatus()))
	}
	if want.Title != "" && want.Title != p.GetTitle() {
		differs("title", shown(want.Title), shown(p.GetTitle()))
	}
	if want.Detail != nil && !want.Detail.MatchString(p.GetDetail()) {
		differs("detail", "a match of "+want.Detail.String(), shown(p.GetDetail()))
	}
	if t := j.w.main.Tasks[p.GetInstance()]; want.Task != "" && (t == nil || !isNamed(t, want.Task)) {
		differs("task", want.Task, shown(p.GetInstance()))
	}
	if len(wrong) > 0 {
		j.failf(append(wrong, "the error: "+problemText(p)), "fault: the order has faulted with another error").of(j.w, p)
	}
}

func (j *judge) output() {
	if j.e.Output == nil {
		return
	}
	found := j.w.root.state.Output().JSON()
	if differences := j.e.Output.differences(found); len(differences) > 0 {
		j.failf(append(differences, "the output: "+clipped(found)), "output: it is another one")
	}
}

func (j *judge) path() {
	want := j.e.Path
	if want == nil {
		return
	}
	path := j.w.story.path
	if want.Exactly != nil {
		j.names("path", *want.Exactly, path)
	}
	at := 0
	for _, name := range want.Contains {
		for at < len(path) && !isNamed(path[at], name) {
			at++
		}
		if at == len(path) {
			j.failf([]string{"expected, in this order: " + strings.Join(want.Contains, ", "), "found: " + namesOf(path)},
				"path: task %s was not entered, or not in this order", name)
			break
		}
		at++
	}
	for _, name := range want.Not {
		if i := slices.IndexFunc(path, func(t *workflow.Task) bool { return isNamed(t, name) }); i >= 0 {
			f := j.failf([]string{"found: " + namesOf(path)}, "path: task %s was entered", name)
			f.Task, f.Definition = path[i].Ref, j.w.main
		}
	}
}

// names compares tasks with the names or references that are expected.
func (j *judge) names(what string, want []string, found []*workflow.Task) {
	if slices.EqualFunc(want, found, func(name string, t *workflow.Task) bool { return isNamed(t, name) }) {
		return
	}
	at := 0
	for at < len(want) && at < len(found) && isNamed(found[at], want[at]) {
		at++
	}
	wanted, is := "nothing more", "nothing more"
	if at < len(want) {
		wanted = want[at]
	}
	if at < len(found) {
		is = found[at].Name
	}
	j.failf([]string{"expected: " + strings.Join(want, ", "), "found:    " + namesOf(found)},
		"%s: expected %s at %d, found %s", what, wanted, at+1, is)
}

func (j *judge) emitted() {
	if j.e.Emitted == nil {
		return
	}
	want, found := *j.e.Emitted, j.w.story.emitted
	for i := range min(len(want), len(found)) {
		c := &Comparison{Value: want[i], Subset: true}
		if differences := c.differences(found[i]); len(differences) > 0 {
			j.failf(append(differences, "the event: "+clipped(found[i])), "emitted: event %d is another one", i+1)
		}
	}
	if len(want) != len(found) {
		var details []string
		for i, e := range found {
			details = append(details, fmt.Sprintf("event %d: %s", i+1, clipped(e)))
		}
		j.failf(details, "emitted: expected %d events, found %d", len(want), len(found))
	}
}

func (j *judge) calls() {
	for _, name := range slices.Sorted(maps.Keys(j.e.Calls)) {
		n := 0
		for _, c := range j.w.story.calls {
			if isNamed(c.task, name) || c.called == name || withoutVersion(c.called) == name {
				n++
			}
		}
		if n != j.e.Calls[name] {
			j.failf(nil, "calls: expected %d of %s, found %d", j.e.Calls[name], name, n)
		}
	}
}

func namesOf(tasks []*workflow.Task) string {
	names := make([]string, 0, len(tasks))
	for _, t := range tasks {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// problemText tells an error in one line.
func problemText(p *problemv1.Problem) string {
	parts := []string{strings.TrimSpace(fmt.Sprintf("%s (%d)", p.GetType(), p.GetStatus()))}
	for _, more := range []string{p.GetTitle(), p.GetDetail()} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	text := strings.Join(parts, ": ")
	if p.GetInstance() != "" {
		text += ", at " + p.GetInstance()
	}
	return text
}

func texts(durations []time.Duration) string {
	out := make([]string, 0, len(durations))
	for _, d := range durations {
		out = append(out, Text(d))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// Text is a duration as definitions and cases write it, such as P1DT2H or PT0.1S.
func Text(d time.Duration) string {
	const day = 24 * time.Hour
	if d <= 0 {
		return "PT0S"
	}
	text := "P"
	if days := d / day; days > 0 {
		text += fmt.Sprintf("%dD", days)
	}
	if d %= day; d > 0 {
		text += "T"
	}
	if h := d / time.Hour; h > 0 {
		text += fmt.Sprintf("%dH", h)
	}
	if m := d % time.Hour / time.Minute; m > 0 {
		text += fmt.Sprintf("%dM", m)
	}
	if s := d % time.Minute; s > 0 {
		text += strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.9f", s.Seconds()), "0"), ".") + "S"
	}
	return text
}
