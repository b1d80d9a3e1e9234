package definition

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

const (
	// maxFilters is how many filters a task can listen with, and maxCorrelations how many correlations a filter can have.
	maxFilters      = 100
	maxCorrelations = 8
	// maxRoutes is how many bytes the routes of a definition can have: each node keeps them in memory.
	maxRoutes = 16 << 10
)

// withOfEvent is what the attributes of an event, or of a filter, are called in messages.
const withOfEvent = "the property \"with\" of an event"

func (c *compiler) emitTask(o object, t *workflow.Task, s scope) {
	emit := &workflow.Emit{}
	t.Kind = emit
	event := c.object(c.object(o.get("emit"), "the property \"emit\"", "event").required("event"), "the property \"event\"", "with")
	w := c.object(event.required("with"), withOfEvent, anyProperty)
	if !w.ok {
		return
	}
	w.required("source")
	w.required("type")
	for k, v := range w.properties() {
		c.eventProperty(w.n, k, v)
	}
	emit.Event = c.template(w.n, placeTask, s.vars)
}

var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// eventProperty checks an attribute of an event.
func (c *compiler) eventProperty(n *node, k key, v *node) {
	switch {
	case k.name == "data":
	case !attributeName.MatchString(k.name):
		c.atKeyf(n, k, "the attribute %s must have a name of a to z and 0 to 9: rename it, or move it to \"data\"", shorten(k.name, 60))
	case v.isExpression():
	case v.kind == objectKind, v.kind == listKind, v.kind == nullKind:
		c.atf(v, "the attribute %q of an event must be a text, a number or a boolean, but is %s: move it to \"data\"", k.name, v.describe())
	case slices.Contains([]string{"id", "source", "type"}, k.name) && (v.kind != stringKind || v.text == ""):
		c.atf(v, "%q of an event must be a text that is not empty, but is %s", k.name, v.describe())
	case slices.Contains([]string{"subject", "time", "datacontenttype", "dataschema"}, k.name) && v.kind != stringKind:
		c.newlyf(v, "%q of an event must be a text, but is %s", k.name, v.describe())
	case k.name == "specversion" && v.text != "1.0":
		c.atf(v, "\"specversion\" of an event must be '1.0', in quotes, but is %s", v.describe())
	case k.name == "time" && v.kind == stringKind:
		if _, err := time.Parse(time.RFC3339, v.text); err != nil {
			c.atf(v, "\"time\" of an event must be a time such as '2030-01-31T12:00:00Z', but is %s", v.describe())
		}
	}
}

// keepFor reads how long an event is kept that a task publishes.
func (c *compiler) keepFor(n *node, emit *workflow.Emit) {
	d, fixed := c.duration(n, placeTask, nil).(span)
	if !fixed || d.months != 0 {
		c.atf(n, "\"keepFor\" must be a duration without months, and no expression, such as PT1H, but is %s", n.describe())
		return
	}
	emit.Keep = d.rest
}

func (c *compiler) listenTask(o object, t *workflow.Task, s scope) {
	listen := &workflow.Listen{Item: defaultItemVariable, At: defaultIndexVariable}
	t.Kind = listen
	l := c.object(o.get("listen"), "the property \"listen\"", "to", "read")
	if to := l.required("to"); to != nil {
		listen.To, listen.Until, listen.UntilEvents = c.consumption(to, s, true)
	}
	if v := l.get("read"); v != nil && c.isString(v, "read") {
		reads := []string{"data", "envelope", "raw"}
		i := slices.Index(reads, v.text)
		if i < 0 {
			c.atf(v, "\"read\" must be one of %s, but is %s", quoted(reads), v.describe())
		}
		listen.Read = workflow.Read(max(i, 0))
	}
	if v := o.get("foreach"); v != nil {
		c.eachEvent(v, listen, t, s)
	}
	if len(listen.Filters()) > maxFilters {
		c.atf(l.n, "the task listens with more than %d filters: split it", maxFilters)
	}
}

// consumption reads which events are to be consumed. With ends it may say until when.
func (c *compiler) consumption(n *node, s scope, ends bool) (to workflow.Consumption, until workflow.Expr, events *workflow.Consumption) {
	names := []string{"all", "any", "one"}
	o := c.object(n, "the property \""+n.property()+"\"", append(slices.Clone(names), "until")...)
	if !o.ok {
		return to, nil, nil
	}
	given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return o.get(name) == nil })
	if len(given) != 1 {
		c.atf(n, "%s must have one of the properties %s, but has %d of them", o.what, quoted(names), len(given))
		return to, nil, nil
	}
	to.All = given[0] == "all"
	switch v := o.get(given[0]); {
	case given[0] == "one":
		to.Filters = append(to.Filters, c.eventFilter(v, s))
	case v.kind != listKind, to.All && len(v.items) == 0:
		c.atf(v, "%q must be a list of filters, such as [{with: {type: com.example.paid}}], but is %s", given[0], v.describe())
	case len(v.items) == 0:
		to.Filters = []*workflow.EventFilter{{}} // any event at all
	default:
		for _, item := range v.items {
			to.Filters = append(to.Filters, c.eventFilter(item, s))
		}
	}
	switch v := o.get("until"); {
	case v == nil:
	case !ends:
		c.atf(v, "what ends the listening has no end of its own: remove this \"until\"")
	case given[0] != "any":
		c.warnf(v, "\"until\" is about \"any\" alone, and is ignored beside %q: remove it", given[0])
	case v.kind == objectKind:
		of, _, _ := c.consumption(v, s, false)
		events = &of
	default:
		until = c.condition(v, "until", s.place(), s.vars)
	}
	return to, until, events
}

// eventFilter reads what an event must be like.
func (c *compiler) eventFilter(n *node, s scope) *workflow.EventFilter {
	f := &workflow.EventFilter{}
	o := c.object(n, "a filter of events", "with", "correlate")
	w := c.object(o.required("with"), withOfEvent, anyProperty)
	if w.ok && len(w.n.items) == 0 {
		c.atf(w.n, "\"with\" must have at least one attribute of the event, such as {type: com.example.paid}")
	}
	for k, v := range w.properties() {
		if v.isExpression() || k.name == "data" {
			if c.alpha && v.kind == objectKind && !c.written(v) {
				c.atf(v, "in a filter each expression of \"data\" was a condition about its property in 1.0.0-alpha5 and before, and yields since "+
					"what it must be equal to: write one expression, such as ${ .temperature > 38 }")
			}
			if e := c.template(v, placeEvent, nil); e != nil {
				f.Conditions = append(f.Conditions, workflow.Condition{Attribute: k.name, Holds: e})
			}
			continue
		}
		c.eventProperty(w.n, k, v)
		condition := workflow.Condition{Attribute: k.name, Is: v.text}
		if v.kind == stringKind && strings.ContainsAny(v.text, `\^$*+?()[]{}|`) {
			if p, err := compilePattern("^(?:" + v.text + ")$"); err == nil { // one that is no expression is meant as it is
				condition.Like = p.re
			} else if _, err := syntax.Parse(v.text, syntax.Perl); err == nil {
				c.atf(v, "%q: the regular expression is too large: shorten it", k.name)
			}
		} else if k.name == "type" {
			f.Type = v.text
			continue
		}
		f.Conditions = append(f.Conditions, condition)
	}
	correlate := c.object(o.get("correlate"), "the property \"correlate\"", anyProperty)
	for k, v := range correlate.properties() {
		f.Correlations = append(f.Correlations, c.correlation(k.name, v, s))
	}
	if len(f.Correlations) > maxCorrelations {
		c.atf(correlate.n, "\"correlate\" has more than %d correlations: leave some out", maxCorrelations)
	}
	slices.SortFunc(f.Correlations, func(a, b workflow.Correlation) int {
		return cmp.Or(cmp.Compare(a.Text, b.Text), cmp.Compare(a.Name, b.Name))
	})
	return f
}

func (c *compiler) correlation(name string, n *node, s scope) workflow.Correlation {
	o := c.object(n, "a correlation", "from", "expect")
	out := workflow.Correlation{Name: name}
	if v := o.required("from"); v != nil {
		if out.From = c.bare(v, "from", placeEvent, nil); out.From != nil {
			out.Text = strings.TrimSpace(inner(v.text))
		}
	}
	if v := o.get("expect"); v != nil {
		out.Expect = c.template(v, s.place(), s.vars)
	}
	return out
}

// eachEvent reads what is done for each event: a task of its own, in a list alone.
func (c *compiler) eachEvent(n *node, listen *workflow.Listen, t *workflow.Task, s scope) {
	const name = "foreach"
	o := c.object(n, "the property \"foreach\"", "item", "at", "do", "output", "export")
	listen.Item = c.variable(o.get("item"), "item", defaultItemVariable)
	listen.At = c.variable(o.get("at"), "at", defaultIndexVariable)
	if listen.Item == listen.At {
		c.atf(n, "item and index can't both be $%s: rename one, by \"item\" or \"at\"", listen.Item)
	}
	if !o.ok || !c.count(n) {
		return
	}
	vars := append(slices.Clone(s.vars), listen.Item, listen.At)
	l := &workflow.List{ByName: map[string]int{name: 0}}
	each := &workflow.Task{Ref: t.Ref + "/" + name, Name: name, In: l, Parent: t, Raw: n.value()}
	if !s.check {
		c.def.Tasks[each.Ref] = each
	}
	each.Output = c.output(o.get("output"), placeTaskOutput, vars)
	each.Export = c.export(o.get("export"), vars)
	if v := o.get("do"); v != nil {
		each.Kind = &workflow.Do{List: c.taskList(v, s.below(each, "/do", vars))}
	} else if e, err := c.programs.compile("$"+listen.Item, placeTask, vars); err == nil {
		each.Kind = &workflow.Set{Value: e}
	}
	l.Tasks = []*workflow.Task{each}
	listen.Each = l
}

// routes are those of all events that the tasks and the schedule listen for.
func (c *compiler) routes() []*journalv1.Route {
	known := map[string]*journalv1.Route{}
	for _, ref := range append(slices.Collect(maps.Keys(c.def.Tasks)), workflow.ScheduleRef) {
		for _, f := range c.def.FiltersOf(ref) {
			r := f.Route()
			known[messages.RouteKey(r)] = r
		}
	}
	var out []*journalv1.Route
	for _, k := range slices.Sorted(maps.Keys(known)) {
		out = append(out, known[k])
	}
	if size := proto.Size(&journalv1.DefinitionRow{Routes: out}); size > maxRoutes {
		c.add(0, 0, "", fmt.Sprintf("the types of the events that are listened for, and the expressions of correlations, have %d bytes, more "+
			"than %d: split the workflow", size, maxRoutes))
	}
	return out
}

// EventExpression compiles an expression about an event, as it stands in a Route.
func EventExpression(text string, limits Limits) (workflow.Expr, error) {
	return newPrograms(limits.WithDefaults()).compile(text, placeEvent, nil)
}
