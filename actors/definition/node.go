package definition

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/holdfast-run/holdfast/messages"
)

type kind int

const (
	objectKind kind = iota + 1
	listKind
	stringKind
	numberKind
	boolKind
	nullKind
)

func (k kind) String() string {
	return [...]string{"", "an object", "a list", "a string", "a number", "true or false", "null"}[k]
}

// node is a part of a document, with its place.
type node struct {
	kind kind
	// From 1.
	line, column int
	// inner is set if the text of a string stands in the document as it is, from column inner of line.
	inner  int
	parent *node
	// name is what the parent calls the node: the name of a property, or an index.
	name string
	// text is a string, or a number as JSON writes it, or true or false.
	text string
	// keys are the names of an object's properties, items their values or those of a list.
	keys  []key
	items []*node

	decoded any
	isDone  bool
	// elsewhere is set at the root of a resource.
	elsewhere *elsewhere
}

type key struct {
	name         string
	line, column int
}

// maxName is the length of the longest name of a property, in bytes.
const maxName = 1024

// pointer returns the JSON pointer of the node in the document.
func (n *node) pointer() string {
	if n == nil || n.parent == nil {
		return ""
	}
	return n.parent.pointer() + "/" + messages.EscapePointer(n.name)
}

// place returns where what is wrong with a node is told. Of one in a resource that is where the definition refers to it, and in says the
// rest, with the line there.
func (n *node) place(there int) (line, column int, pointer, in string) {
	root := n
	for root.parent != nil {
		root = root.parent
	}
	if root.elsewhere == nil {
		return n.line, n.column, n.pointer(), ""
	}
	from := root.elsewhere.from
	line, column, pointer, in = from.place(from.line)
	return line, column, pointer, fmt.Sprintf(" (line %d of %s)", there, shorten(root.elsewhere.address, 200)) + in
}

// get returns the property of that name, or nil.
func (n *node) get(name string) *node {
	if n == nil || n.kind != objectKind {
		return nil
	}
	for i, k := range n.keys {
		if k.name == name {
			return n.items[i]
		}
	}
	return nil
}

// add appends a child; for an object its key has been appended already.
func (n *node) add(child *node) {
	child.parent = n
	if n.kind == objectKind {
		child.name = n.keys[len(n.keys)-1].name
	} else {
		child.name = strconv.Itoa(len(n.items))
	}
	n.items = append(n.items, child)
}

// value returns the node decoded, as expressions see it. Nobody may change it.
func (n *node) value() any {
	if n.isDone {
		return n.decoded
	}
	n.isDone = true
	switch n.kind {
	case objectKind:
		m := make(map[string]any, len(n.keys))
		for i, k := range n.keys {
			m[k.name] = n.items[i].value()
		}
		n.decoded = m
	case listKind:
		l := make([]any, len(n.items))
		for i, item := range n.items {
			l[i] = item.value()
		}
		n.decoded = l
	case stringKind:
		n.decoded = n.text
	case numberKind:
		n.decoded = json.Number(n.text)
	case boolKind:
		n.decoded = n.text == "true"
	case nullKind:
	}
	return n.decoded
}

// checkNames finds properties that are named twice.
func (m *mistakes) checkNames(n *node) bool {
	ok := true
	seen := make(map[string]int, len(n.keys))
	for _, k := range n.keys {
		if line, twice := seen[k.name]; twice {
			m.atKeyf(n, k, "the property %q appears twice, first on line %d: remove one", k.name, line)
			ok = false
		}
		seen[k.name] = k.line
	}
	for _, item := range n.items {
		ok = m.checkNames(item) && ok
	}
	return ok
}

// size counts the nodes.
func (n *node) size() int {
	size := 1
	for _, item := range n.items {
		size += item.size()
	}
	return size
}

// integer returns a whole number.
func (n *node) integer() (int64, bool) {
	if n.kind != numberKind {
		return 0, false
	}
	if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// isNumber tells whether s is a number as JSON writes it.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || '0' <= s[0] && s[0] <= '9') && json.Valid([]byte(s))
}

// property names a node by the property that it is of, or is listed in: args, or args[0].
func (n *node) property() string {
	switch {
	case n.parent == nil:
		return ""
	case n.parent.kind == listKind:
		return n.parent.property() + "[" + n.name + "]"
	}
	return n.name
}

// describe names what a node is, for messages.
func (n *node) describe() string {
	switch n.kind {
	case stringKind:
		if n.isExpression() {
			return fmt.Sprintf("the expression %s, which is not evaluated here", shorten(n.text, 40))
		}
		return "the string " + shorten(n.text, 40)
	case numberKind:
		return "the number " + messages.Clip(n.text, 40)
	case boolKind:
		return n.text
	case objectKind:
		if len(n.items) == 0 {
			return "an empty object"
		}
	case listKind:
		if len(n.items) == 0 {
			return "an empty list"
		}
	case nullKind:
	}
	return n.kind.String()
}

// shorten cuts a text for a message.
func shorten(s string, limit int) string {
	q := strconv.Quote(s)
	if len(q) <= limit {
		return q
	}
	return messages.Clip(q, limit) + `"`
}
