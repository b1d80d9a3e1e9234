package rehearsal

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
)

const (
	anExpectation, formExpectation = "the property \"expect\"", "{output: {sent: true}}"
	formPath                       = "[reserve, send]"
)

// expectation reads what is expected of an order. Without any, it is that the order completes.
func (f *reader) expectation(n definition.Node) Expectation {
	e := Expectation{Outcome: Completed}
	if !n.Object(anExpectation, formExpectation, "outcome", "fault", "output", "outputContains", "path", "compensated", "emitted", "calls",
		"waits", "took") {
		return e
	}
	if n.Get("fault").Is() {
		e.Outcome = Faulted
	}
	if v := n.Get("outcome"); v.Is() {
		known(v, "no outcome is called", outcomes)
		if v.IsText() {
			e.Outcome = Outcome(v.Text())
		}
	}
	e.Output = comparison(n, "output")
	e.Fault = f.fault(n.Get("fault"))
	switch {
	case e.Output != nil && e.Outcome != Completed:
		n.Mistakef("only an order that completes has an output: remove that, or \"fault\" and \"outcome\"")
	case e.Fault != nil && e.Outcome != Faulted:
		n.Mistakef("a fault is only that of an order whose outcome is \"faulted\": remove one of them")
	}
	e.Path = f.path(n.Get("path"))
	e.Compensated = f.names(n.Get("compensated"), "\"compensated\"", "[reserve]", "no task whose work can be undone is called", f.words.undone)
	if v := n.Get("emitted"); v.Is() {
		events := []json.RawMessage{}
		for _, item := range v.List("\"emitted\"", "[{type: com.example.paid}]") {
			if item.Object("an event", "{type: com.example.paid}", "*") {
				events = append(events, item.JSON())
			}
		}
		e.Emitted = &events
	}
	e.Calls = f.calls(n.Get("calls"))
	if v := n.Get("waits"); v.Is() {
		waits := []time.Duration{}
		for _, item := range v.List("\"waits\"", "[PT1M, PT2M]") {
			waits = append(waits, item.Duration())
		}
		e.Waits = &waits
	}
	e.Least, e.Most = f.took(n.Get("took"))
	return e
}

func (f *reader) fault(n definition.Node) *Fault {
	if !n.Object("the property \"fault\"", "{status: 503}", "type", "status", "title", "detail", "task") {
		return nil
	}
	e := &Fault{Type: n.Get("type").Text(), Title: n.Get("title").Text(), Task: n.Get("task").Text()}
	known(n.Get("task"), "no task is called", f.words.path)
	if v := n.Get("status"); v.Is() {
		status := int32(v.Integer(0, 999)) //nolint:gosec // it is small
		e.Status = &status
	}
	if v := n.Get("detail"); v.Is() {
		pattern, err := regexp.Compile(v.Text())
		if err != nil {
			v.Mistakef("\"detail\" must be a regular expression (RE2): %v", err)
		}
		e.Detail = pattern
	}
	return e
}

func (f *reader) path(n definition.Node) *Path {
	const wrong = "no task is called"
	switch {
	case !n.Is():
		return nil
	case !n.IsObject():
		return &Path{Exactly: f.names(n, "\"path\"", formPath, wrong, f.words.path)}
	}
	p := &Path{}
	if !n.Object("the property \"path\"", formPath, "exactly", "contains", "not") {
		return p
	}
	if len(n.Items()) == 0 {
		n.Mistakef("\"path\" says nothing: give it \"exactly\", \"contains\" or \"not\", or a list of tasks")
	}
	p.Exactly = f.names(n.Get("exactly"), "\"exactly\"", formPath, wrong, f.words.path)
	for name, to := range map[string]*[]string{"contains": &p.Contains, "not": &p.Not} {
		if tasks := f.names(n.Get(name), "\""+name+"\"", formPath, wrong, f.words.path); tasks != nil {
			*to = *tasks
		}
	}
	return p
}

// names reads a list of names that there are; nil if there is no list.
func (f *reader) names(n definition.Node, what, form, wrong string, words []string) *[]string {
	if !n.Is() {
		return nil
	}
	names := []string{}
	for _, item := range n.List(what, form) {
		known(item, wrong, words)
		names = append(names, item.Text())
	}
	return &names
}

func (f *reader) calls(n definition.Node) map[string]int {
	if !n.Object("the property \"calls\"", "{send: 1}", "*") {
		return nil
	}
	calls := map[string]int{}
	words := slices.Concat(f.words.stubs, f.words.activities, f.words.workflows)
	for _, item := range n.Items() {
		if !slices.Contains(words, item.Name()) {
			item.NameMistakef("nothing that is called has the name %s: %s", definition.Quote(item.Name()), hint(item.Name(), words))
		}
		calls[item.Name()] = int(item.Integer(0, math.MaxInt32))
	}
	return calls
}

// took reads how long an order takes: a duration, or bounds of it.
func (f *reader) took(n definition.Node) (least, most *time.Duration) {
	if !n.IsObject() {
		if n.Is() {
			d := n.Duration()
			return &d, &d
		}
		return nil, nil
	}
	n.Object("the property \"took\"", "{atMost: PT1H}", "atLeast", "atMost")
	for name, to := range map[string]**time.Duration{"atLeast": &least, "atMost": &most} {
		if v := n.Get(name); v.Is() {
			d := v.Duration()
			*to = &d
		}
	}
	if least == nil && most == nil {
		n.Mistakef("\"took\" says nothing: give it \"atLeast\" or \"atMost\", or a duration such as PT1H")
	}
	return least, most
}
