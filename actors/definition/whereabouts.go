package definition

import (
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// Whereabouts tell where in a document the tasks of its definition stand.
type Whereabouts struct{ root *node }

// WhereaboutsOf reads a document that compiles.
func WhereaboutsOf(document []byte, limits Limits) *Whereabouts {
	text, _, err := messages.SplitResources(document)
	if err != nil {
		return &Whereabouts{}
	}
	return &Whereabouts{new(mistakes).parse(text, limits.WithDefaults())}
}

// Of returns where a task stands by its reference, or something inside it by a JSON pointer, from 1: where its name is written. A task of
// a function or an extension stands there; one of a function that is elsewhere, where it is called. 0: the document can't be read.
func (w *Whereabouts) Of(ref string) (line, column int) {
	if w.root == nil {
		return 0, 0
	}
	n := w.root
	line, column = n.line, n.column
	steps := strings.Split(strings.TrimPrefix(ref, "/"), "/")
	for len(steps) > 0 {
		var k key
		if n, k, steps = w.next(n, steps); n == nil {
			break
		}
		line, column = k.line, k.column
	}
	return line, column
}

// next follows the first steps of a pointer. It returns the node there, where its name is written, and the further steps; nil if there is
// none.
func (w *Whereabouts) next(n *node, steps []string) (*node, key, []string) {
	name := messages.UnescapePointer(steps[0])
	switch n.kind {
	case objectKind:
		for i, k := range n.keys {
			if k.name == name {
				return n.items[i], k, steps[1:]
			}
		}
		if name == "extensions" && len(steps) > 1 { // what is around a task of which this is the reference
			for _, item := range w.root.get("use").get("extensions").children() {
				if e := item.get(messages.UnescapePointer(steps[1])); e != nil {
					return e, item.keys[0], steps[2:]
				}
			}
		}
	case listKind:
		if i, err := strconv.Atoi(name); err == nil && 0 <= i && i < len(n.items) {
			item := n.items[i]
			return item, key{name, item.line, item.column}, steps[1:]
		}
	case stringKind: // the call of a function: its name follows an index
		functions := w.root.get("use").get("functions")
		if f := functions.get(n.text); f != nil && len(steps) > 1 {
			for _, k := range functions.keys {
				if k.name == n.text {
					return f, k, steps[2:]
				}
			}
		}
	case numberKind, boolKind, nullKind:
	}
	return nil, key{}, nil
}
