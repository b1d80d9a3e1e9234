package definition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

func (c *compiler) doTask(o object, t *workflow.Task, s scope) {
	t.Kind = &workflow.Do{List: c.taskList(o.get("do"), s.below(t, "/do", s.vars))}
}

func (c *compiler) setTask(o object, t *workflow.Task, s scope) {
	n := o.get("set")
	switch {
	case n.kind == objectKind && len(n.items) > 0, n.isExpression():
		t.Kind = &workflow.Set{Value: c.template(n, placeTask, s.vars)}
	default:
		c.atf(n, "\"set\" must be an object with at least one property, such as {ready: true}, or an expression in ${ }, but is %s",
			n.describe())
	}
}

func (c *compiler) waitTask(o object, t *workflow.Task, s scope) {
	t.Kind = &workflow.WaitFor{Time: c.duration(o.get("wait"), placeTask, s.vars)}
}

func (c *compiler) switchTask(o object, t *workflow.Task, s scope) {
	n := o.get("switch")
	if n.kind != listKind || len(n.items) == 0 {
		c.atf(n, "\"switch\" must be a list of at least one case, such as [{ready: {when: .ready, then: next}}], but is %s",
			n.describe())
		return
	}
	choice := &workflow.Switch{}
	t.Kind = choice
	otherwise := ""
	for _, item := range n.items {
		name, body := c.item(item, "case")
		if body == nil {
			continue
		}
		if slices.ContainsFunc(choice.Cases, func(k workflow.Case) bool { return k.Name == name }) {
			c.atKeyf(item, item.keys[0], "another case of this switch is called %q: rename one", name)
		}
		k := c.object(body, "a case", "when", "then")
		when := k.get("when")
		if k.ok && when == nil {
			if otherwise != "" {
				c.atf(body, "the cases %q and %q both lack \"when\", but there can be only one default: add a condition",
					otherwise, name)
			}
			otherwise = name
		}
		kase := workflow.Case{Name: name}
		if when != nil {
			kase.When = c.condition(when, "when", placeTask, s.vars)
		}
		if then := k.required("then"); then != nil {
			kase.Then = c.then(then, t.In, s)
		}
		choice.Cases = append(choice.Cases, kase)
	}
}

func (c *compiler) raiseTask(o object, t *workflow.Task, s scope) {
	r := c.object(o.get("raise"), "the property \"raise\"", "error")
	n := r.required("error")
	if n == nil {
		return
	}
	if n.kind == stringKind {
		n = c.named(n, "errors")
	}
	if n != nil {
		t.Kind = c.errorDefinition(n, s.vars)
	}
}

var absoluteURI = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$`)

// errorDefinition reads an error that can be raised.
func (c *compiler) errorDefinition(n *node, vars []string) *workflow.Raise {
	o := c.object(n, "an error", "type", "status", "instance", "title", "detail")
	if !o.ok {
		return nil
	}
	part := func(name string, v *node) workflow.Expr {
		if v == nil || !c.isString(v, name) {
			return nil
		}
		if !isExpression(v.text) {
			switch {
			case name == "type" && !absoluteURI.MatchString(v.text):
				c.atf(v, "\"type\" must be a URI such as \"https://example.com/errors/no-credit\" or %q, or an expression in ${ }, but is %s",
					workflow.ErrorTypeRuntime, v.describe())
			case name == "instance" && v.text != "" && !strings.HasPrefix(v.text, "/"):
				c.atf(v, "\"instance\" must be a JSON pointer such as \"/do/0/name\", but is %s", v.describe())
			}
		}
		return c.template(v, placeTask, vars)
	}
	r := &workflow.Raise{
		Type:     part("type", o.required("type")),
		Title:    part("title", o.get("title")),
		Detail:   part("detail", o.get("detail")),
		Instance: part("instance", o.get("instance")),
	}
	if v := o.required("status"); v != nil {
		r.Status = c.status(v)
	}
	return r
}

func (c *compiler) status(n *node) int32 {
	i, ok := c.integer(n, "status", 0, 999)
	if !ok {
		return 0
	}
	return int32(i) //nolint:gosec // at most 999
}

// integer reads a whole number between two bounds.
func (c *compiler) integer(n *node, name string, least, most int64) (int64, bool) {
	i, ok := n.integer()
	if !ok || i < least || i > most {
		c.atf(n, "%q must be a whole number from %d to %d, but is %s", name, least, most, n.describe())
		return 0, false
	}
	return i, true
}

// activityPattern is adapter.activity, with what stands for a version, and a catalog.
var activityPattern = regexp.MustCompile(
	`^([a-zA-Z0-9_-]{1,63}\.[a-zA-Z0-9][a-zA-Z0-9_.-]{0,126})(?::([^@]+))?(?:@[a-zA-Z0-9._-]+)?$`)

// protocols are the calls that the language defines.
var protocols = []string{"asyncapi", "grpc", "http", "openapi", "a2a", "mcp"}

func (c *compiler) callTask(o object, t *workflow.Task, s scope) {
	n := o.get("call")
	if !c.isString(n, "call") {
		return
	}
	var with workflow.Expr
	if v := o.get("with"); v != nil && c.object(v, "the property \"with\"", anyProperty).ok && !slices.Contains(protocols, n.text) {
		with = c.template(v, placeTask, s.vars)
	}
	if body := c.components["functions"].get(n.text); body != nil {
		c.used[body] = true
		do := c.functionCall(n, n.text, body, t, s)
		do.Input = with
		t.Kind = do
		return
	}
	if address := c.functionAddress(n); address != "" {
		c.remoteCall(n, address, with, t, s)
		return
	}
	found := activityPattern.FindStringSubmatch(n.text)
	_, catalog, _ := strings.Cut(n.text, "@")
	switch {
	case n.text == "http":
		if v := o.required("with"); v != nil {
			c.httpCall(v, t, s)
		}
	case n.text == "openapi":
		if v := o.required("with"); v != nil {
			c.openapiCall(v, t, s)
		}
	case n.text == "grpc":
		if v := o.required("with"); v != nil {
			c.grpcCall(v, t, s)
		}
	case n.text == "asyncapi":
		if v := o.required("with"); v != nil {
			c.asyncapiCall(v, t, s)
		}
	case slices.Contains(protocols, n.text):
		c.atf(n, notYet+", or call an activity of an adapter", fmt.Sprintf("the call %q", n.text))
	case strings.Contains(n.text, "${"):
		c.atf(n, "\"call\" must name what is called, but is %s: choose between several calls with a \"switch\"", n.describe())
	case c.catalogs[catalog] != "":
		c.atf(n, "the function of a catalog must be written as \"name:1.0.0@%s\", but is %s", catalog, n.describe())
	case catalog != "" && catalog != "default":
		c.atf(n, "there is no catalog %s in \"use.catalogs\": %s", shorten(catalog, 60),
			hint(catalog, sortedNames(c.catalogs), "define it there, or use @default"))
	case found == nil, found[2] != "" && !messages.IsVersion(found[2]):
		c.atf(n, "%s is no activity such as \"hss.createSubscriber\" or \"hss.createSubscriber:1.0.0@default\", "+
			"and no function of \"use.functions\": %s", shorten(n.text, 60),
			hint(n.text, c.components["functions"].names(), "name one"))
	case catalog != "" && found[2] == "":
		c.atf(n, "the function %q of a catalog needs a version: write %s:1.0.0@%s", n.text, found[1], catalog)
	case builtin[adapterOf(found[1])] != "":
		c.atf(n, "the activities of the adapter %q can't be called by their names: write %s", adapterOf(found[1]), builtin[adapterOf(found[1])])
	default:
		activity := found[1]
		if found[2] != "" {
			activity += ":" + found[2]
		}
		t.Kind = &workflow.Call{Activity: activity, With: with}
	}
}

// adapterOf returns the adapter of an activity.
func adapterOf(activity string) string {
	adapter, _, _ := strings.Cut(activity, ".")
	return adapter
}

// maxCalls is how deep functions can call each other.
const maxCalls = 16

// functionCall compiles a call of a function: a list that holds a copy of the function's task, by its name there.
func (c *compiler) functionCall(call *node, name string, body *node, t *workflow.Task, s scope) *workflow.Do {
	l := &workflow.List{ByName: map[string]int{name: 0}}
	do := &workflow.Do{List: l}
	if slices.Contains(s.functions, call.text) {
		c.atf(call, "the function %q calls itself, by %s: functions can't be recursive",
			call.text, strings.Join(append(slices.Clone(s.functions), call.text), " → "))
		return do
	}
	if len(s.functions) >= maxCalls {
		c.atf(call, "functions call each other more than %d deep: flatten them", maxCalls)
		return do
	}
	inner := s.below(t, "/call", nil) // a function sees no variables of its callers
	inner.functions = append(slices.Clone(s.functions), call.text)
	if !c.count(call) {
		return do
	}
	l.Tasks = append(l.Tasks, c.task(body, &workflow.Task{
		Ref: inner.ref + "/0/" + messages.EscapePointer(name), Name: name, In: l, Parent: t,
	}, inner))
	return do
}

// checkFunction checks a function by itself.
func (c *compiler) checkFunction(n *node) {
	before := c.tasks
	l := &workflow.List{ByName: map[string]int{n.name: 0}}
	t := &workflow.Task{Ref: n.pointer(), Name: n.name, In: l}
	l.Tasks = append(l.Tasks, c.task(n, t, scope{ref: n.pointer(), functions: []string{n.name}, check: true}))
	c.tasks = before
}
