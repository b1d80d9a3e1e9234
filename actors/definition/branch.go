package definition

import (
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

func (c *compiler) forkTask(o object, t *workflow.Task, s scope) {
	k := c.object(o.get("fork"), "the property \"fork\"", "branches", "compete")
	fork := &workflow.Fork{}
	t.Kind = fork
	if v := k.required("branches"); v != nil {
		fork.Lists = c.branches(v, s.below(t, "/fork/branches", s.vars))
	}
	if v := k.get("compete"); v != nil {
		fork.Compete, _ = c.boolean(v, "compete")
	}
}

// The variables of a loop that names none.
const (
	defaultItemVariable  = "item"
	defaultIndexVariable = "index"
)

// maxParallel is how many items of a loop can be gone through at a time.
const maxParallel = 1000

func (c *compiler) forTask(o object, t *workflow.Task, s scope) {
	k := c.object(o.get("for"), "the property \"for\"", "each", "in", "at")
	loop := &workflow.For{
		Each: c.variable(k.get("each"), "each", defaultItemVariable), At: c.variable(k.get("at"), "at", defaultIndexVariable),
	}
	t.Kind = loop
	if loop.Each == loop.At {
		c.atf(k.n, "item and index can't both be $%s: rename one, by \"each\" or \"at\"", loop.Each)
	}
	if v := k.required("in"); v != nil {
		loop.Items = c.bare(v, "in", placeTask, s.vars)
	}
	vars := append(slices.Clone(s.vars), loop.Each, loop.At)
	if v := o.get("while"); v != nil {
		loop.While = c.condition(v, "while", placeTask, vars)
	}
	if v := o.required("do"); v != nil {
		loop.List = c.taskList(v, s.below(t, "/do", vars))
	}
}

// parallel reads how many items of a loop are gone through at a time.
func (c *compiler) parallel(n *node, loop *workflow.For) {
	if most, ok := c.integer(n, "parallel", 1, maxParallel); ok {
		loop.Parallel = int(most)
	}
	if loop.While != nil {
		c.atf(n, "\"while\" decides before each item on what the one before it has left, and with \"parallel\" there is none: remove one")
	}
}

var variablePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,62}$`)

// variable reads the name of a variable; without one it is that of the language.
func (c *compiler) variable(n *node, property, otherwise string) string {
	switch {
	case n == nil || !c.isString(n, property):
	case !variablePattern.MatchString(n.text) || strings.HasPrefix(n.text, "__"):
		c.atf(n, "%q must be a name of letters, digits and _, not beginning with a digit or __, but is %s", property, shorten(n.text, 60))
	case slices.Contains(reserved, n.text):
		c.atf(n, "%q can't be %q, $%s means something else: choose another name", property, n.text, n.text)
	default:
		return n.text
	}
	return otherwise
}
