package definition

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// construct is a kind of task.
type construct struct {
	// name is the property that tells the kind, with the others that go with it.
	name string
	with []string
	// extensions are the properties that its metadata may have under holdfast.
	extensions []string
	// parse compiles it into t; nil if it is not supported yet.
	parse func(c *compiler, o object, t *workflow.Task, s scope)
}

// constructs are all kinds of tasks of the language. Of two that fit, as "for" with its "do", the first counts.
var constructs []construct

func init() { //nolint:gochecknoinits // the table and the parsers refer to each other
	constructs = []construct{
		{name: "for", with: []string{"while", "do"}, extensions: []string{"parallel"}, parse: (*compiler).forTask},
		{name: "fork", parse: (*compiler).forkTask},
		{name: "listen", with: []string{"foreach"}, parse: (*compiler).listenTask},
		{name: "emit", extensions: []string{"keepFor"}, parse: (*compiler).emitTask},
		{
			name: "run", parse: (*compiler).runTask,
			extensions: []string{"compensate", "compensateRetry", "startWithin", "runWithin", "idempotent", "orderKey", "pointOfNoReturn"},
		},
		{
			name: "call", with: []string{"with"},
			extensions: []string{"compensate", "compensateRetry", "startWithin", "runWithin", "idempotent", "pointOfNoReturn"},
			parse:      (*compiler).callTask,
		},
		{name: "set", parse: (*compiler).setTask},
		{name: "switch", parse: (*compiler).switchTask},
		{
			name: "try", with: []string{"catch"}, extensions: []string{"compensate"}, parse: (*compiler).tryTask,
		},
		{name: "raise", parse: (*compiler).raiseTask},
		{name: "wait", parse: (*compiler).waitTask},
		{name: "do", parse: (*compiler).doTask},
	}
}

// common are the properties of every task.
var common = []string{"if", "input", "output", "export", "timeout", "then", "metadata"}

// scope is where a list of tasks stands.
type scope struct {
	// ref is the reference of the list.
	ref    string
	parent *workflow.Task
	// vars are the variables of the enclosing catch clauses and loops.
	vars []string
	// functions are those being compiled, to find recursion.
	functions []string
	// compensation is set within a compensation, and within the functions called there.
	compensation bool
	// extends is the task that the tasks of an extension are there for.
	extends *workflow.Task
	// check is set when a function is checked by itself: its tasks are no part of the definition.
	check bool
	// schedule is set in the schedule, where there is no order yet.
	schedule bool
}

// place is that of expressions which are no part of something that has a place of its own.
func (s scope) place() place {
	if s.schedule {
		return placeSchedule
	}
	return placeTask
}

// below returns the scope of a list that belongs to a task.
func (s scope) below(t *workflow.Task, path string, vars []string) scope {
	s.ref, s.parent, s.vars = t.Ref+path, t, vars
	return s
}

// maxTaskName is the length of the longest name of a task, in bytes: references hold it.
const maxTaskName = 128

// The flow directives that are no names of tasks.
const (
	thenContinue = "continue"
	thenExit     = "exit"
	thenEnd      = "end"
)

// taskList compiles a list of tasks.
func (c *compiler) taskList(n *node, s scope) *workflow.List {
	l := &workflow.List{ByName: make(map[string]int)}
	// All names are known before the first task is read: a task may go on with a later one.
	for i, b := range c.tasksOf(n, l) {
		if !c.count(b.n) {
			return l
		}
		l.Tasks = append(l.Tasks, c.task(b.n, s.holds(l, i, b.name), s))
	}
	return l
}

// branches compiles a list of tasks each of which is alone in a list.
func (c *compiler) branches(n *node, s scope) []*workflow.List {
	var all []*workflow.List
	for i, b := range c.tasksOf(n, &workflow.List{ByName: make(map[string]int)}) {
		if !c.count(b.n) {
			return all
		}
		l := &workflow.List{ByName: map[string]int{b.name: 0}}
		t := s.holds(l, i, b.name)
		t.Index = 0
		l.Tasks = append(l.Tasks, c.task(b.n, t, s))
		all = append(all, l)
	}
	return all
}

// holds makes a task of a list that stands in the scope.
func (s scope) holds(l *workflow.List, index int, name string) *workflow.Task {
	return &workflow.Task{
		Ref: s.ref + "/" + strconv.Itoa(index) + "/" + messages.EscapePointer(name), Name: name, In: l, Index: index, Parent: s.parent,
	}
}

// namedTask is a task that is not compiled yet.
type namedTask struct {
	name string
	n    *node
}

// tasksOf reads a list of tasks, and notes their names.
func (c *compiler) tasksOf(n *node, l *workflow.List) []namedTask {
	switch {
	case n.kind != listKind:
		c.atf(n, "%q must be a list of tasks such as [{name: {set: …}}], but is %s", n.property(), n.describe())
		return nil
	case len(n.items) == 0:
		c.atf(n, "the list of tasks is empty: add a task")
	}
	var all []namedTask
	for _, item := range n.items {
		if name, body := c.item(item, "task"); body != nil && c.taskName(l, item, name, len(all)) {
			all = append(all, namedTask{name, body})
		}
	}
	return all
}

// count counts one more task. It tells whether there is room for it.
func (c *compiler) count(n *node) bool {
	if c.tasks++; c.tasks == c.limits.Tasks+1 {
		c.atf(n, "the definition has more than %d tasks, those of each call of a function counted: split the workflow",
			c.limits.Tasks)
	}
	return c.tasks <= c.limits.Tasks
}

// item reads an item of a list of named things, an object with one property.
func (c *compiler) item(n *node, what string) (string, *node) {
	if n.kind != objectKind || len(n.keys) != 1 {
		got := n.describe()
		if n.kind == objectKind {
			got = fmt.Sprintf("an object with %d", len(n.keys))
		}
		c.atf(n, "each %s of the list must be an object with one property, its name, but this is %s", what, got)
		return "", nil
	}
	return n.keys[0].name, n.items[0]
}

// taskName checks the name of a task and gives it its place in the list.
func (c *compiler) taskName(l *workflow.List, item *node, name string, index int) bool {
	k := item.keys[0]
	switch first, twice := l.ByName[name]; {
	case name == "":
		c.atKeyf(item, k, "the name of the task is empty: name it")
	case len(name) > maxTaskName:
		c.atKeyf(item, k, "the name of the task has more than %d bytes: shorten it", maxTaskName)
	case !isPrintable(name):
		c.atKeyf(item, k, "the name of the task has characters that don't print: remove them")
	case name == thenContinue || name == thenExit || name == thenEnd:
		c.atKeyf(item, k, "no task can be called %q, \"then: %s\" means something else: rename it", name, name)
	case twice:
		c.atKeyf(item, k, "another task of this list is called %q, the one at %d: rename one", name, first)
	default:
		l.ByName[name] = index
		return true
	}
	return false
}

func isPrintable(s string) bool {
	return !slices.ContainsFunc([]rune(s), func(r rune) bool { return !unicode.IsPrint(r) })
}

// task compiles what all tasks have in common, then the rest by its kind.
func (c *compiler) task(n *node, t *workflow.Task, s scope) *workflow.Task {
	if !s.check {
		c.def.Tasks[t.Ref] = t
	}
	kind, ok := c.construct(n)
	if !ok {
		return t
	}
	allowed := append(append([]string{kind.name}, kind.with...), common...)
	o := c.object(n, "a task of the kind \""+kind.name+"\"", allowed...)
	t.Raw = n.value()
	if v := o.get("if"); v != nil {
		t.If = c.condition(v, "if", placeTaskIf, s.vars)
	}
	t.Input = c.input(o.get("input"), placeTaskInput, s.vars)
	t.Output = c.output(o.get("output"), placeTaskOutput, s.vars)
	t.Export = c.export(o.get("export"), s.vars)
	t.Timeout = c.timeout(o.get("timeout"), placeTask, s.vars)
	if v := o.get("then"); v != nil {
		t.Then = c.then(v, t.In, s)
	}
	t.Of = s.extends
	kind.parse(c, o, t, s)
	c.taskMetadata(o.get("metadata"), kind, t, s)
	return c.extended(t, kind.name, n, s)
}

// construct finds out the kind of a task.
func (c *compiler) construct(n *node) (construct, bool) {
	if n.kind != objectKind {
		c.atf(n, "a task must be an object, but is %s", n.describe())
		return construct{}, false
	}
	var names []string
	for _, k := range constructs {
		names = append(names, k.name)
		i := slices.IndexFunc(n.keys, func(key key) bool { return key.name == k.name })
		if i < 0 {
			continue
		}
		if k.parse == nil {
			c.atKeyf(n, n.keys[i], notYet, fmt.Sprintf("the task %q", k.name))
			return construct{}, false
		}
		return k, true
	}
	for _, k := range n.keys {
		if k.name == "execute" {
			c.atKeyf(n, k, "there is no task of the kind \"execute\": since 1.0.0-alpha2 it is \"do\" for what runs sequentially, and \"fork\" "+
				"for what runs concurrently")
			return construct{}, false
		}
		if !slices.Contains(common, k.name) {
			c.atKeyf(n, k, "there is no task of the kind %s: %s", shorten(k.name, 60), didYouMean(k.name, names, supported()))
			return construct{}, false
		}
	}
	c.atf(n, "the task does nothing: give it one of the properties %s", quoted(supported()))
	return construct{}, false
}

func supported() []string {
	var names []string
	for _, k := range constructs {
		if k.parse != nil {
			names = append(names, k.name)
		}
	}
	return names
}

// then reads a flow directive of a task or case of the list.
func (c *compiler) then(n *node, l *workflow.List, s scope) string {
	if !c.isString(n, "then") {
		return ""
	}
	if n.text == thenEnd && s.compensation {
		c.atf(n, "a compensation, or a function that one calls, can't end the workflow: use \"exit\" to leave the list")
		return ""
	}
	if _, known := l.ByName[n.text]; known {
		return n.text
	}
	switch n.text {
	case thenContinue, thenExit, thenEnd:
		return n.text
	}
	if strings.Contains(n.text, "${") {
		c.atf(n, "\"then\" must be the name of a task, but is %s: choose between several with a \"switch\"", n.describe())
		return ""
	}
	names := slices.SortedFunc(maps.Keys(l.ByName), func(a, b string) int { return l.ByName[a] - l.ByName[b] })
	if !s.compensation {
		names = append([]string{thenEnd}, names...)
	}
	names = append([]string{thenContinue, thenExit}, names...)
	c.atf(n, "there is no task %s in this list, and only tasks of the same list can be next: %s",
		shorten(n.text, 60), hint(n.text, names, ""))
	return ""
}

// input, output and export read the properties of these names.

func (c *compiler) input(n *node, p place, vars []string) workflow.Input {
	o := c.object(n, "the property \"input\"", "schema", "from")
	return workflow.Input{Schema: c.schema(o.get("schema")), From: c.transform(o.get("from"), "from", p, vars)}
}

func (c *compiler) output(n *node, p place, vars []string) workflow.Output {
	o := c.object(n, "the property \"output\"", "schema", "as")
	return workflow.Output{Schema: c.schema(o.get("schema")), As: c.transform(o.get("as"), "as", p, vars)}
}

func (c *compiler) export(n *node, vars []string) workflow.Export {
	o := c.object(n, "the property \"export\"", "schema", "as")
	return workflow.Export{
		Schema: c.schema(o.get("schema")), As: c.transform(o.get("as"), "as", placeTaskExport, vars),
	}
}

// transform reads a string that is an expression or an object that is a template.
func (c *compiler) transform(n *node, name string, p place, vars []string) workflow.Expr {
	switch {
	case n == nil:
		return nil
	case n.kind == stringKind:
		return c.bare(n, name, p, vars)
	case n.kind == objectKind:
		return c.template(n, p, vars)
	default:
		c.atf(n, "%q must be an expression or an object, but is %s", name, n.describe())
		return nil
	}
}
