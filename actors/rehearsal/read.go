package rehearsal

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Read reads a file of cases of a definition. If anything is wrong with it, there are no cases, and the mistakes tell everything that was
// found, in the order of the file. Names that no definition has are mistakes, too.
func Read(
	document []byte, def *workflow.Definition, others *Definitions, limits Limits,
) ([]*Case, []*definitionv1.Mistake) {
	r, root := definition.Read(document, "a file of cases", limits.WithDefaults().Definition)
	f := &reader{words: others.vocabulary(def), lines: map[string]int{}}
	cases := f.file(root)
	if found := r.Mistakes(); len(found) > 0 {
		return nil, found
	}
	return cases, nil
}

// reader reads a file of cases.
type reader struct {
	words vocabulary
	lines map[string]int // those of the cases, by their names
}

// What parts of a file are called in messages, and how they may look.
const (
	aFile, formFile   = "a file of cases", "{cases: [{name: it is sent, input: {}, expect: {output: {sent: true}}}]}"
	aCase, formCase   = "a test case", "{name: it is sent, input: {}, expect: {output: {sent: true}}}"
	aStub, formStub   = "a stub", "{task: send, result: {sent: true}}"
	anEvent, formWith = "an event", "{event: {type: com.example.paid, data: {order: 7}}}"
	formFault         = "{status: 503, title: Busy}"
)

func (f *reader) file(root definition.Node) []*Case {
	if !root.Object(aFile, formFile, "cases", "stubs") {
		return nil
	}
	shared := f.stubs(root.Get("stubs"))
	for _, s := range shared {
		s.Shared = true
	}
	list := root.Required(aFile, "cases")
	items := list.List("\"cases\"", "[{name: it is sent, input: {}}]")
	if list.IsList() && len(items) == 0 {
		list.Mistakef("there are no cases: add one, such as %s", formCase)
	}
	var cases []*Case
	for _, n := range items {
		c := f.one(n)
		c.Stubs = append(c.Stubs, shared...)
		cases = append(cases, c)
	}
	return cases
}

func (f *reader) one(n definition.Node) *Case {
	c := &Case{ID: "case", Start: defaultStart, Input: json.RawMessage("{}")}
	c.Line, c.Column = n.Place()
	if !n.Object(aCase, formCase, "name", "id", "orderKey", "start", "deadline", "input", "stubs", "events", "cancel", "expect") {
		return c
	}
	name := n.Required(aCase, "name")
	switch c.Name = name.Text(); {
	case c.Name == "":
	case f.lines[c.Name] != 0:
		name.Mistakef("another case has the same name, on line %d: rename one", f.lines[c.Name])
	default:
		f.lines[c.Name] = c.Line
	}
	if id := n.Get("id"); id.Is() {
		c.ID = messages.OrderID(id.Text())
		if err := c.ID.Validate(); err != nil && c.ID != "" {
			id.Mistakef("\"id\" %v", err)
		}
	}
	c.Key = n.Get("orderKey").Text()
	if most := (workflow.Limits{}).WithDefaults().Key; len(c.Key) > most {
		n.Get("orderKey").Mistakef("\"orderKey\" has %d bytes, more than %d: shorten it", len(c.Key), most)
	}
	if start := n.Get("start"); start.Is() {
		at, err := time.Parse(time.RFC3339Nano, start.Text())
		switch year := at.UTC().Year(); {
		case err != nil && start.IsText():
			start.Mistakef("\"start\" must be a time such as 2030-01-31T12:00:00Z, but is %s", start.Describe())
		case err == nil && (year < firstYear || year > lastYear):
			start.Mistakef("\"start\" must be in the years %d to %d", firstYear, lastYear)
		}
		c.Start = at.UTC()
	}
	c.Deadline = n.Get("deadline").Duration()
	if input := n.Get("input"); input.Is() {
		c.Input = input.JSON()
	}
	c.Stubs = f.stubs(n.Get("stubs"))
	c.Events = f.events(n.Get("events"))
	c.Cancel = f.cancel(n.Get("cancel"))
	c.Expect = f.expectation(n.Get("expect"))
	return c
}

// defaultStart is when the order of a case is accepted that does not say when.
var defaultStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// The years in which a case may start: times are kept in nanoseconds, which end in 2262, and durations go up to a hundred years.
const firstYear, lastYear = 1970, 2150

func (f *reader) stubs(list definition.Node) []*Stub {
	var out []*Stub
	for _, n := range list.List("\"stubs\"", "["+formStub+"]") {
		out = append(out, f.stub(n))
	}
	return out
}

func (f *reader) stub(n definition.Node) *Stub {
	s := &Stub{}
	s.Line, s.Column = n.Place()
	further := []string{"input", "inputContains", "times", "after", "idempotent"}
	if !n.Object(aStub, formStub, slices.Concat(stubbed, answers, further)...) {
		return s
	}
	f.exactlyOne(n, aStub, stubbed, "say what it answers for")
	s.Task, s.Activity, s.Workflow = n.Get("task").Text(), n.Get("activity").Text(), n.Get("workflow").Text()
	known(n.Get("task"), "no task that calls something is called", f.words.stubs)
	known(n.Get("activity"), "no task calls the activity", f.words.activities)
	known(n.Get("workflow"), "no task runs", f.words.workflows)
	s.Input = comparison(n, "input")
	if times := n.Get("times"); times.Is() {
		s.Times = int(times.Integer(1, math.MaxInt32))
	}
	s.After = n.Get("after").Duration()
	if again := n.Get("idempotent"); again.Is() {
		is := again.Boolean()
		s.Idempotent = &is
	}
	f.answer(n, s)
	return s
}

// stubbed are the properties of a stub that say what it answers for, answers those that say what.
var (
	stubbed = []string{"task", "activity", "workflow"}
	answers = []string{"result", "fault", "inDoubt", "never", "noAdapter"}
)

// exactlyOne notes if a node does not have exactly one of some properties.
func (f *reader) exactlyOne(n definition.Node, what string, names []string, advice string) {
	given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !n.Get(name).Is() })
	if len(given) != 1 {
		n.Mistakef("%s must have one of the properties %s, but has %d of them: %s", what, listed(names), len(given), advice)
	}
}

// listed lists words for people.
func listed(words []string) string {
	last := len(words) - 1
	return `"` + strings.Join(words[:last], `", "`) + `" and "` + words[last] + `"`
}

func (f *reader) answer(n definition.Node, s *Stub) {
	f.exactlyOne(n, aStub, answers, "say what it answers")
	a := &s.Answer
	if v := n.Get("result"); v.Is() {
		a.Result = v.JSON()
	}
	a.Fault, a.Doubt = problem(n.Get("fault")), problem(n.Get("inDoubt"))
	for name, to := range map[string]*bool{"never": &a.Never, "noAdapter": &a.NoAdapter} {
		v := n.Get(name)
		if *to = v.Boolean(); v.Is() && !*to {
			v.Mistakef("%q can only be true: remove it", name)
		}
		if after := n.Get("after"); v.Is() && after.Is() {
			after.Mistakef("\"after\" is how long an answer takes, and with %q there is none: remove one", name)
		}
	}
	if s.Workflow == "" && (s.Task == "" || !f.words.runs[s.Task] || f.words.calls[s.Task]) {
		return
	}
	for _, name := range []string{"inDoubt", "noAdapter", "idempotent"} {
		n.Get(name).Mistakef("%q is for activities, and %s is the run of a workflow: remove it", name, definition.Quote(s.what()))
	}
}

// problem reads an error; nil if there is none.
func problem(n definition.Node) *problemv1.Problem {
	if !n.Object("an error", formFault, "type", "status", "title", "detail") {
		return nil
	}
	return &problemv1.Problem{
		Type: n.Get("type").Text(), Title: n.Get("title").Text(), Detail: n.Get("detail").Text(),
		Status: int32(n.Get("status").Integer(0, 999)), //nolint:gosec // it is small
	}
}

// comparison reads what a value is compared with: the property of a name, or that of the name and Contains.
func comparison(n definition.Node, name string) *Comparison {
	exact, subset := n.Get(name), n.Get(name+"Contains")
	switch {
	case exact.Is() && subset.Is():
		subset.NameMistakef("%q says it all: remove this", name)
	case exact.Is():
		return &Comparison{Value: exact.JSON()}
	case subset.Is():
		return &Comparison{Value: subset.JSON(), Subset: true}
	}
	return nil
}

// known notes if a text is not one of those that there are.
func known(n definition.Node, wrong string, names []string) {
	if n.IsText() && !slices.Contains(names, n.Text()) {
		n.Mistakef("%s %s: %s", wrong, definition.Quote(n.Text()), hint(n.Text(), names))
	}
}

// hint says what a name may have been meant to be. References are for those who write one.
func hint(name string, names []string) string {
	isReference := func(name string) bool { return strings.HasPrefix(name, "/") }
	if !isReference(name) {
		names = slices.DeleteFunc(slices.Clone(names), isReference)
	}
	return definition.Hint(name, names)
}

func (f *reader) events(list definition.Node) []*Publication {
	var out []*Publication
	for _, n := range list.List("\"events\"", "["+formWith+"]") {
		p := &Publication{}
		p.Line, p.Column = n.Place()
		out = append(out, p)
		if !n.Object(anEvent, formWith, "at", "namespace", "event") {
			continue
		}
		if at := n.Get("at"); at.Is() {
			d := at.Duration()
			p.At = &d
		}
		p.Namespace = n.Get("namespace").Text()
		e := n.Required(anEvent, "event")
		if !e.Object("the property \"event\"", "{type: com.example.paid, data: {order: 7}}", "*") {
			continue
		}
		p.Event = e.JSON()
		e.Required("the property \"event\"", "type").Text()
		if err := complete(p.Event, 1, defaultStart).Check(); err != nil && e.Get("type").IsText() {
			e.Mistakef("%v", err)
		}
	}
	return out
}

func (f *reader) cancel(n definition.Node) *Cancellation {
	if !n.Object("the property \"cancel\"", "{at: PT5M, compensate: true}", "at", "compensate", "reason") {
		return nil
	}
	return &Cancellation{
		At: n.Required("the property \"cancel\"", "at").Duration(), Compensate: n.Get("compensate").Boolean(), Reason: n.Get("reason").Text(),
	}
}
