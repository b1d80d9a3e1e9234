package definition

import (
	"maps"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// extension extends tasks of a kind: it has tasks run before and after each of them.
type extension struct {
	name          string
	kinds         []string // nil: all
	when          *node
	before, after *node
	ref           string
}

// extendable are the kinds of tasks that can be extended, by what extensions call them.
var extendable = map[string][]string{
	"call": {"call"}, "composite": {"do", "fork"}, "emit": {"emit"}, "for": {"for"}, "listen": {"listen"}, "raise": {"raise"},
	"run": {"run"}, "set": {"set"}, "switch": {"switch"}, "try": {"try"}, "wait": {"wait"}, "all": nil,
}

// useExtensions reads the extensions.
func (c *compiler) useExtensions(n *node) {
	switch {
	case n == nil:
		return
	case n.kind != listKind:
		c.atf(n, "\"extensions\" must be a list such as [{logging: {extend: all, before: […]}}], but is %s", n.describe())
		return
	}
	for _, item := range n.items {
		name, body := c.item(item, "extension")
		o := c.object(body, "an extension", "extend", "when", "before", "after")
		if body == nil || !o.ok {
			continue
		}
		e := &extension{name: name, when: o.get("when"), before: o.get("before"), after: o.get("after"), ref: body.pointer()}
		if v := o.required("extend"); v != nil && c.isString(v, "extend") {
			kinds, known := extendable[v.text]
			if !known {
				names := slices.Sorted(maps.Keys(extendable))
				c.atf(v, "\"extend\" must be a kind of task, %s: %s", quoted(names), hint(v.text, names, "name one"))
			}
			e.kinds = kinds
		}
		if e.before == nil && e.after == nil {
			c.atf(body, "the extension does nothing: give it tasks, in \"before\" or \"after\"")
		}
		c.extensions = append(c.extensions, e)
	}
}

// extended returns a task, or what runs it with the tasks of the extensions of its kind around it: a list in its place. The task keeps its
// reference. Tasks of extensions, and those that undo something, are not extended.
func (c *compiler) extended(t *workflow.Task, kind string, n *node, s scope) *workflow.Task {
	if s.compensation || s.extends != nil {
		return t
	}
	var before, after []*workflow.Task
	list := &workflow.List{ByName: map[string]int{}}
	outer := &workflow.Task{Ref: t.Ref + "/extensions", Name: t.Name, In: t.In, Index: t.Index, Parent: t.Parent, Raw: t.Raw, If: t.If}
	for _, e := range c.extensions {
		if e.kinds != nil && !slices.Contains(e.kinds, kind) {
			continue
		}
		before = append(before, c.around(e, e.before, "before", outer, t, n, s)...)
		after = append(c.around(e, e.after, "after", outer, t, n, s), after...)
	}
	if len(before)+len(after) == 0 {
		return t
	}
	outer.Kind = &workflow.Do{List: list}
	t.If, t.Extended, t.Parent = nil, true, outer
	for i, x := range slices.Concat(before, []*workflow.Task{t}, after) {
		x.In, x.Index = list, i
		list.ByName[x.Ref] = i
		list.Tasks = append(list.Tasks, x)
	}
	if !s.check {
		c.def.Tasks[outer.Ref] = outer
	}
	return outer
}

// around compiles the tasks that an extension has run before or after a task. They may go on with each other by name, and so their
// directives are by reference in the list where they stand.
func (c *compiler) around(e *extension, n *node, where string, outer, t *workflow.Task, of *node, s scope) []*workflow.Task {
	if n == nil {
		return nil
	}
	s.extends, s.parent, s.ref = t, outer, outer.Ref+"/"+e.name+"/"+where
	l := c.taskList(n, s)
	var when workflow.Expr
	if e.when != nil {
		when = c.condition(e.when, "when", placeTaskIf, s.vars)
	}
	ref := func(then string) string {
		if i, named := l.ByName[then]; named && i < len(l.Tasks) {
			return l.Tasks[i].Ref
		}
		return then
	}
	for _, x := range l.Tasks {
		x.Beside, x.Then = true, ref(x.Then)
		if choice, is := x.Kind.(*workflow.Switch); is {
			for i := range choice.Cases {
				choice.Cases[i].Then = ref(choice.Cases[i].Then)
			}
		}
		if when != nil {
			x.If = &applies{when, x.If}
		}
	}
	c.count(of)
	return l.Tasks
}

// applies holds if an extension is about a task, and a task of it is to run. An extension is not about a task of which its condition can't
// be evaluated: it has to do with what other tasks have.
type applies struct{ when, runs workflow.Expr }

// Eval implements workflow.Expr.
func (a *applies) Eval(in *workflow.Value, args *workflow.Args) (*workflow.Value, error) {
	ok, err := a.Bool(in, args)
	if err != nil {
		return nil, err
	}
	return workflow.NewDecoded(strconv.AppendBool(nil, ok), ok), nil
}

// Bool implements workflow.Expr.
func (a *applies) Bool(in *workflow.Value, args *workflow.Args) (bool, error) {
	if ok, err := a.when.Bool(in, args); err != nil || !ok {
		return false, nil //nolint:nilerr // it does not apply
	}
	if a.runs == nil {
		return true, nil
	}
	return a.runs.Bool(in, args)
}

// checkExtension checks an extension by itself.
func (c *compiler) checkExtension(e *extension) {
	before := c.tasks
	t := &workflow.Task{Ref: e.ref, Name: e.name}
	for where, n := range map[string]*node{"before": e.before, "after": e.after} {
		c.around(e, n, where, t, t, n, scope{ref: e.ref, check: true})
	}
	c.tasks = before
}
