package graph

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// maxName is the length of the longest name of a task, in bytes: references hold it.
const maxName = 128

// builder makes the graph of one document.
type builder struct {
	Config

	graph *Graph
	// use is what the document says of components, expanded the functions among them that are shown where they are called.
	use      *value
	expanded map[string]bool
	// ends are the nodes at which the workflow ends that were made so far, by the node that leads there.
	ends  map[string]*Node
	ids   int
	tasks int
	err   error
}

// build makes the graph of a document.
func build(root *value, c Config) (*Graph, error) {
	if len(root.get("do").named()) == 0 {
		return nil, errors.New("the document is no workflow definition: it lacks \"do\", a list of tasks")
	}
	document := root.get("document")
	b := &builder{
		Config: c, use: root.get("use"), expanded: make(map[string]bool), ends: make(map[string]*Node),
		graph: &Graph{Title: document.get("title").show()},
	}
	b.graph.Definition = oneLine(document.get("namespace").word() + "/" + document.get("name").word() + ":" + document.get("version").word())
	start := b.add(b.node(Start, "", "", "start"))
	start.Lines = append(schedule(root.get("schedule")), b.timeout(root.get("timeout"))...)
	end := b.node(End, "", "", "end")
	b.list(root.get("do"), scope{ref: "/do", from: start.ID, next: end.ID, exit: end.ID, end: end.ID})
	b.add(end)
	b.components()
	if b.err != nil {
		return nil, b.err
	}
	b.graph.reach()
	return b.graph, nil
}

// node makes a node, which add puts into the graph.
func (b *builder) node(kind Kind, in, ref, name string) *Node {
	b.ids++
	return &Node{ID: "n" + strconv.Itoa(b.ids), Kind: kind, In: in, Reference: ref, Name: oneLine(name)}
}

func (b *builder) add(n *Node) *Node {
	b.graph.Nodes = append(b.graph.Nodes, n)
	return n
}

// link adds an edge.
func (b *builder) link(from, to string, kind EdgeKind, label string) {
	if len(b.graph.Edges) >= b.Edges {
		b.failf("the definition has more than %d edges from one task to another: split the workflow", b.Edges)
		return
	}
	b.graph.Edges = append(b.graph.Edges, &Edge{From: from, To: to, Kind: kind, Label: oneLine(label)})
}

func (b *builder) failf(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// scope is where a list of tasks stands.
type scope struct {
	// ref is the reference of the list, and in the ID of the group it is in.
	ref, in string
	// from is where the list is entered from, kind and label how.
	from  string
	kind  EdgeKind
	label string
	// next is where it goes on behind the last task of the list, exit where "exit" leads, and end where "end" does; "": to an end of its own.
	next, exit, end string
	// functions are those that are being expanded, and plain says that no extension extends the tasks.
	functions []string
	plain     bool
}

// inside returns the scope of a list that belongs to a task.
func (s scope) inside(group *Node, path string) scope {
	return scope{
		ref: group.Reference + path, in: group.ID, from: group.ID, next: group.ID, exit: group.ID, functions: s.functions, plain: s.plain,
	}
}

// step is a task of a list that has its node.
type step struct {
	named

	node *Node
}

// list makes the nodes of a list of tasks, and the edges between them. It returns the first node, nil if there is none.
func (b *builder) list(l *value, s scope) *Node {
	var steps []step
	for _, n := range l.named() {
		node := b.task(n.body, n.name, s.ref+"/"+strconv.Itoa(n.index)+"/"+messages.EscapePointer(n.name), s)
		if b.err != nil {
			return nil
		}
		steps = append(steps, step{n, node})
	}
	if len(steps) == 0 {
		b.link(s.from, s.next, Flow, s.label)
		return nil
	}
	kind := s.kind
	if kind == "" {
		kind = Flow
	}
	b.link(s.from, steps[0].node.ID, kind, s.label)
	byName := make(map[string]int, len(steps))
	for i, t := range steps {
		if _, twice := byName[t.name]; !twice {
			byName[t.name] = i
		}
	}
	for i := range steps {
		b.leave(steps, i, byName, s)
	}
	return steps[0].node
}

// leave makes the edges from a task of a list to what may come next.
func (b *builder) leave(steps []step, i int, byName map[string]int, s scope) {
	t := steps[i]
	next := s.next
	if i+1 < len(steps) {
		next = steps[i+1].node.ID
	}
	target := func(then string) (string, EdgeKind) {
		if j, known := byName[then]; known && then != "" && j != i+1 {
			return steps[j].node.ID, Jump
		}
		switch then {
		case "exit":
			return s.exit, Jump
		case "end":
			return b.end(t.node, s), Jump
		}
		return next, Flow
	}
	conditional := t.body.get("if") != nil
	to, kind := target(t.body.get("then").word())
	switch t.node.Kind {
	case Raise:
		to = ""
	case Switch:
		otherwise := true
		for _, c := range t.body.get("switch").named() {
			label, always := caseLabel(c)
			otherwise = otherwise && !always
			to, _ := target(c.body.get("then").word())
			b.link(t.node.ID, to, Case, label)
		}
		if otherwise {
			b.link(t.node.ID, to, Case, "otherwise")
		}
	default:
		b.link(t.node.ID, to, kind, "")
	}
	if conditional && (to != next || t.node.Kind == Switch) {
		b.link(t.node.ID, next, Skip, "if not")
	}
}

// caseLabel is what stands at the edge of a case, and whether it is the default.
func caseLabel(c named) (label string, always bool) {
	when := c.body.get("when")
	switch {
	case when != nil:
		return c.name + ": " + bare(when), false
	case c.name == "default":
		return c.name, true
	default:
		return c.name + " (default)", true
	}
}

// end returns where the workflow ends after a task. That is the end of the workflow in its own list, elsewhere a node beside the task: an
// edge that leaves all groups would say no more, and hide much.
func (b *builder) end(from *Node, s scope) string {
	if s.end != "" {
		return s.end
	}
	n := b.ends[from.ID]
	if n == nil {
		n = b.add(b.node(End, s.in, "", "end"))
		b.ends[from.ID] = n
	}
	return n.ID
}

// count counts one more task.
func (b *builder) count(name string) {
	if b.tasks++; b.tasks > b.Tasks {
		b.failf("the definition has more than %d tasks: split the workflow", b.Tasks)
	}
	if len(name) > maxName {
		b.failf("the name of the task %s has more than %d bytes: shorten it", messages.Clip(name, 40), maxName)
	}
}

// task makes the node of a task, with all that is in it.
func (b *builder) task(body *value, name, ref string, s scope) *Node {
	b.count(name)
	n := b.add(b.node(kindOf(body), s.in, ref, name))
	if b.err != nil {
		return n
	}
	n.Lines = b.lines(n.Kind, body, s)
	switch n.Kind {
	case Do:
		b.group(n, body.get("do"), s.inside(n, "/do"))
	case For:
		b.loop(n, body, s)
	case Fork:
		b.fork(n, body, s)
	case Try:
		b.try(n, body, s)
	case Listen:
		b.each(n, body.get("foreach"), "/foreach", s)
	case Call:
		b.each(n, body.get("with", "subscription", "foreach"), "/with/subscription/foreach", s)
		b.expand(n, body, s)
	default:
	}
	if undo := body.get("metadata", "holdfast", "compensate"); undo.is(object) {
		inner := scope{in: s.in, functions: s.functions, plain: true}
		b.link(n.ID, b.task(undo, "compensate", ref+"/metadata/holdfast/compensate", inner).ID, Compensate, "")
	}
	return n
}

// group puts a list of tasks into a node.
func (b *builder) group(n *Node, l *value, s scope) {
	if len(l.named()) > 0 {
		n.Group = true
		b.list(l, s)
	}
}

// loop puts the tasks of a loop into its node, and how it goes on with the next item.
func (b *builder) loop(n *Node, body *value, s scope) {
	if len(body.get("do").named()) == 0 {
		return
	}
	n.Group = true
	parallel := body.get("metadata", "holdfast", "parallel") != nil
	next := b.node(Next, n.ID, "", "next $"+orElse(body.get("for", "each").word(), "item"))
	if parallel {
		next.Name = "all done"
	}
	inner := s.inside(n, "/do")
	inner.next, inner.exit = next.ID, next.ID
	first := b.list(body.get("do"), inner)
	b.add(next)
	if first != nil && !parallel {
		b.link(next.ID, first.ID, Loop, "")
	}
	b.link(next.ID, n.ID, Flow, "")
}

// each puts what is done for each event into a node: a task with a list of its own.
func (b *builder) each(n *Node, foreach *value, path string, s scope) {
	if len(foreach.get("do").named()) == 0 {
		return
	}
	n.Group = true
	b.count("")
	item := orElse(foreach.get("item").word(), "item")
	task := b.add(b.node(Foreach, n.ID, n.Reference+path, ""))
	task.Lines = []string{oneLine("for each event $" + item)}
	b.link(n.ID, task.ID, Flow, "")
	b.group(task, foreach.get("do"), s.inside(task, "/do"))
	next := b.add(b.node(Next, n.ID, "", "next $"+item))
	b.link(task.ID, next.ID, Flow, "")
	b.link(next.ID, task.ID, Loop, "")
	b.link(next.ID, n.ID, Flow, "")
}

// fork puts the branches into a node, side by side.
func (b *builder) fork(n *Node, body *value, s scope) {
	inner := s.inside(n, "/fork/branches")
	for _, branch := range body.get("fork", "branches").named() {
		n.Group = true
		ref := inner.ref + "/" + strconv.Itoa(branch.index) + "/" + messages.EscapePointer(branch.name)
		b.alone(branch, ref, inner)
	}
}

// alone makes the node of a task that is the only one of a list, and its edges.
func (b *builder) alone(t named, ref string, s scope) {
	node := b.task(t.body, t.name, ref, s)
	if b.err != nil {
		return
	}
	b.link(s.from, node.ID, Flow, "")
	b.leave([]step{{t, node}}, 0, map[string]int{t.name: 0}, s)
}

// try puts into a node what is tried, what is caught, and what is done then.
func (b *builder) try(n *Node, body *value, s scope) {
	tried := body.get("try")
	if len(tried.named()) == 0 {
		return
	}
	n.Group = true
	group := b.add(b.node(Body, n.ID, "", ""))
	b.link(n.ID, group.ID, Flow, "")
	inner := s.inside(group, "")
	inner.ref = n.Reference + "/try"
	b.group(group, tried, inner)
	b.link(group.ID, n.ID, Flow, "")

	clause := body.get("catch")
	if clause == nil {
		return
	}
	catch := b.add(b.node(Catch, n.ID, "", "catch"))
	catch.Lines = catchLines(clause)
	b.link(group.ID, catch.ID, Error, "")
	after := s.inside(n, "/catch/do")
	after.from = catch.ID
	retry := clause.get("retry")
	if retry != nil {
		b.link(catch.ID, group.ID, Retry, b.retry(retry))
		after.label = "otherwise"
	}
	switch do := clause.get("do"); {
	case len(do.named()) > 0:
		b.list(do, after)
	case retry == nil:
		b.link(catch.ID, n.ID, Flow, "")
	}
}

// maxCalls is how deep functions can call each other.
const maxCalls = 16

// expand puts the task of a function into the node that calls it, if functions are to be shown so.
func (b *builder) expand(n *Node, body *value, s scope) {
	name := body.get("call").word()
	function := b.use.get("functions").get(name)
	if !b.Expand || !function.is(object) || n.Group || len(s.functions) >= maxCalls || slices.Contains(s.functions, name) {
		return
	}
	n.Group = true
	b.expanded[name] = true
	inner := s.inside(n, "/call")
	inner.functions = append(slices.Clone(s.functions), name)
	b.alone(named{0, name, function}, inner.ref+"/0/"+messages.EscapePointer(name), inner)
}

// components shows the functions that are not shown where they are called, and the extensions, each in a group of its own.
func (b *builder) components() {
	if functions := b.use.get("functions"); functions.is(object) {
		for i, name := range functions.keys {
			if b.expanded[name] || !functions.items[i].is(object) || b.err != nil {
				continue
			}
			group := b.add(b.node(Function, "", "", name))
			group.Group = true
			group.Lines = []string{"function"}
			inner := scope{in: group.ID, from: group.ID, next: group.ID, exit: group.ID, functions: []string{name}}
			b.alone(named{0, name, functions.items[i]}, "/use/functions/"+messages.EscapePointer(name), inner)
		}
	}
	for _, e := range b.use.get("extensions").named() {
		b.extension(e)
	}
}

// extension shows an extension: its tasks, and what stands for the task that it extends between them.
func (b *builder) extension(e named) {
	if b.err != nil {
		return
	}
	group := b.add(b.node(Extension, "", "", e.name))
	group.Group = true
	group.Lines = []string{oneLine("extends " + orElse(e.body.get("extend").word(), "nothing"))}
	if when := e.body.get("when"); when != nil {
		group.Lines = append(group.Lines, "when "+bare(when))
	}
	task := b.node(Extended, group.ID, "", "the task")
	ref := "/use/extensions/" + strconv.Itoa(e.index) + "/" + messages.EscapePointer(e.name)
	before := scope{ref: ref + "/before", in: group.ID, from: group.ID, next: task.ID, exit: group.ID, plain: true}
	b.list(e.body.get("before"), before)
	b.add(task)
	after := before
	after.ref, after.from, after.next = ref+"/after", task.ID, group.ID
	b.list(e.body.get("after"), after)
}

// reach finds the nodes that no edges lead to. A group is left when something in it leads to its end, or by its error.
func (g *Graph) reach() {
	byID := make(map[string]*Node, len(g.Nodes))
	for _, n := range g.Nodes {
		byID[n.ID] = n
		n.Unreachable = true
	}
	edges := make(map[string][]*Edge)
	for _, e := range g.Edges {
		edges[e.From] = append(edges[e.From], e)
	}
	left := make(map[string]bool)
	var open []*Node
	enter := func(n *Node) {
		if n.Unreachable {
			n.Unreachable = false
			open = append(open, n)
		}
	}
	for _, n := range g.Nodes {
		if n.Kind == Start || n.In == "" && (n.Kind == Function || n.Kind == Extension) {
			enter(n)
		}
	}
	for len(open) > 0 {
		n := open[len(open)-1]
		open = open[:len(open)-1]
		for _, e := range edges[n.ID] {
			to := byID[e.To]
			switch inside := to.In == n.ID; {
			case to.ID == n.In: // the end of the group
				if !left[to.ID] {
					left[to.ID] = true
					open = append(open, to)
				}
			case inside, !n.Group, left[n.ID], e.Kind == Error, e.Kind == Compensate, e.Kind == Skip:
				enter(to)
			}
		}
	}
}

// orElse is a text, or another one if that is empty.
func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// bare is an expression without ${ }.
func bare(v *value) string {
	s := strings.TrimSpace(v.show())
	if strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}") {
		s = strings.TrimSpace(s[2 : len(s)-1])
	}
	return s
}
