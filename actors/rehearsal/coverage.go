package rehearsal

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// Coverage is what of a definition cases have reached: tasks, cases of switches, and the catches of tries. What a function or an extension
// has is there for each task that calls or has it.
type Coverage struct {
	def    *workflow.Definition
	points map[string]*Point
	// always are the defaults of switches that have nothing else, by the references of these.
	always map[string]string
}

// Point is something that a case can reach.
type Point struct {
	// Ref is the reference of the task, with what is inside of it, such as /do/2/choose/switch/0/small.
	Ref string
	// What says what it is: task, case or catch.
	What string
	// Reached is how often cases have reached it.
	Reached int
}

// Cover begins to note what is reached of a definition, which nobody else may run meanwhile: the conditions of its switches are watched.
func Cover(def *workflow.Definition) *Coverage {
	c := &Coverage{def, map[string]*Point{}, map[string]string{}}
	for ref, t := range def.Tasks {
		if !strings.HasSuffix(ref, "/extensions") { // that stands for the tasks around a task, and is none that is written
			c.add(ref, "task")
		}
		switch k := t.Kind.(type) {
		case *workflow.Try:
			c.add(ref+"/catch", "catch")
		case *workflow.Switch:
			c.watch(ref, k)
		}
	}
	return c
}

func (c *Coverage) add(ref, what string) { c.points[ref] = &Point{Ref: ref, What: what} }

func (c *Coverage) reach(ref string) {
	for _, ref := range []string{ref, c.always[ref]} {
		if p := c.points[ref]; p != nil {
			p.Reached++
		}
	}
}

// watch has the conditions of a switch tell which of its cases is chosen: no event does. The last condition that does not hold, and so
// none before it, leaves the default.
func (c *Coverage) watch(ref string, k *workflow.Switch) {
	name := func(i int) string {
		return ref + "/switch/" + strconv.Itoa(i) + "/" + messages.EscapePointer(k.Cases[i].Name)
	}
	otherwise, last := "", -1
	for i := range k.Cases {
		c.add(name(i), "case")
		if k.Cases[i].When == nil {
			otherwise = name(i)
		} else {
			last = i
		}
	}
	if last < 0 {
		c.always[ref] = otherwise
	}
	for i := range k.Cases {
		if k.Cases[i].When == nil {
			continue
		}
		w := &watched{Expr: k.Cases[i].When, chosen: func() { c.reach(name(i)) }, left: func() {}}
		if i == last && otherwise != "" {
			w.left = func() { c.reach(otherwise) }
		}
		k.Cases[i].When = w
	}
}

// watched is the condition of a case that tells what comes of it.
type watched struct {
	workflow.Expr

	chosen, left func()
}

// Bool implements workflow.Expr.
func (w *watched) Bool(in *workflow.Value, args *workflow.Args) (bool, error) {
	holds, err := w.Expr.Bool(in, args)
	switch {
	case err != nil:
	case holds:
		w.chosen()
	default:
		w.left()
	}
	return holds, err
}

// Of returns the definition.
func (c *Coverage) Of() *workflow.Definition { return c.def }

// Points returns all that can be reached, in the order of the references.
func (c *Coverage) Points() []Point {
	out := make([]Point, 0, len(c.points))
	for _, p := range c.points {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Point) int { return cmp.Compare(a.Ref, b.Ref) })
	return out
}
