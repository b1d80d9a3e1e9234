package definition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// Reader reads a document that stands beside definitions, such as a file of cases, as strictly as definitions are read: whatever is wrong
// with it is noted, with its place, and all of it is told at once.
type Reader struct{ c *compiler }

// Read reads a document, YAML or JSON, of which people are told as what it is, such as "a file of cases". The node is not there if the
// document can't be read; what is wrong, Mistakes tells.
func Read(document []byte, what string, limits Limits) (*Reader, Node) {
	limits = limits.WithDefaults()
	r := &Reader{&compiler{limits: limits}}
	r.c.wanted = what
	if len(document) > limits.Document {
		r.c.add(0, 0, "", fmt.Sprintf("the document has %d bytes, more than the %d allowed: split it", len(document), limits.Document))
		return r, Node{r.c, nil}
	}
	return r, Node{r.c, r.c.parse(document, limits)}
}

// Mistakes returns what is wrong with the document, as far as it was read, in the order of the document.
func (r *Reader) Mistakes() []*definitionv1.Mistake { return r.c.sorted() }

// Node is a part of a document that is being read, or one that is not there. What is asked of a part that is not there is no mistake, and
// gives nothing.
type Node struct {
	c *compiler
	n *node
}

// Is tells whether the part is there.
func (n Node) Is() bool { return n.n != nil }

// IsObject tells whether the part is an object.
func (n Node) IsObject() bool { return n.Is() && n.n.kind == objectKind }

// IsList tells whether the part is a list.
func (n Node) IsList() bool { return n.Is() && n.n.kind == listKind }

// IsText tells whether the part is a string.
func (n Node) IsText() bool { return n.Is() && n.n.kind == stringKind }

// Name is the name of the property that the part is, or the index in the list that has it.
func (n Node) Name() string {
	if !n.Is() {
		return ""
	}
	return n.n.name
}

// Place is where the part begins, from 1; 0 if it is not there.
func (n Node) Place() (line, column int) {
	if !n.Is() {
		return 0, 0
	}
	return n.n.line, n.n.column
}

// Mistakef notes that something is wrong with the part.
func (n Node) Mistakef(format string, args ...any) {
	if n.Is() {
		n.c.atf(n.n, format, args...)
	}
}

// NameMistakef notes that something is wrong with the name of the property that the part is.
func (n Node) NameMistakef(format string, args ...any) {
	if !n.Is() || n.n.parent == nil {
		return
	}
	for _, k := range n.n.parent.keys {
		if k.name == n.n.name {
			n.c.atKeyf(n.n.parent, k, format, args...)
		}
	}
}

// Describe names what the part is, for messages.
func (n Node) Describe() string {
	if !n.Is() {
		return "nothing"
	}
	return n.n.describe()
}

// Object tells whether the part is an object, and notes if it is something else, and which properties it can't have. What names it in
// messages, form shows one.
func (n Node) Object(what, form string, allowed ...string) bool {
	if n.Is() && n.n.kind != objectKind {
		n.Mistakef("%s must be an object such as %s, but is %s", what, form, n.Describe())
		return false
	}
	return n.Is() && n.c.object(n.n, what, allowed...).ok
}

// Get returns a property of the part.
func (n Node) Get(name string) Node { return Node{n.c, n.n.get(name)} }

// Required returns a property of the part, and notes if the part lacks it. What names the part in messages.
func (n Node) Required(what, name string) Node {
	v := n.Get(name)
	if n.IsObject() && !v.Is() {
		n.Mistakef("%s lacks the property %q: add it", what, name)
	}
	return v
}

// Items returns the values of the properties of an object, or those of a list, in the order of the document.
func (n Node) Items() []Node {
	var out []Node
	for _, item := range n.n.children() {
		out = append(out, Node{n.c, item})
	}
	return out
}

// List returns the items of a list, and notes if the part is something else. What names it in messages, form shows one.
func (n Node) List(what, form string) []Node {
	if n.Is() && !n.IsList() {
		n.Mistakef("%s must be a list such as %s, but is %s", what, form, n.Describe())
		return nil
	}
	return n.Items()
}

// Text returns a string, and notes if the part is something else, or empty.
func (n Node) Text() string {
	switch {
	case !n.Is() || !n.c.isString(n.n, n.n.property()):
		return ""
	case n.n.text == "":
		n.Mistakef("%q is empty: give it a text, or remove it", n.n.property())
	}
	return n.n.text
}

// Boolean returns true or false, and notes if the part is something else.
func (n Node) Boolean() bool {
	if !n.Is() {
		return false
	}
	value, _ := n.c.boolean(n.n, n.n.property())
	return value
}

// Integer returns a whole number, and notes if the part is something else, or beyond the bounds.
func (n Node) Integer(least, most int64) int64 {
	if !n.Is() {
		return 0
	}
	value, _ := n.c.integer(n.n, n.n.property(), least, most)
	return value
}

// Duration returns a duration, as it is written in definitions, and notes if the part is something else. Years and months have no fixed
// length, and expressions are not evaluated.
func (n Node) Duration() time.Duration {
	if !n.Is() {
		return 0
	}
	if n.n.isExpression() {
		n.Mistakef("%q must be a fixed duration such as PT15M, but is %s", n.n.property(), n.Describe())
		return 0
	}
	s, _ := n.c.duration(n.n, place{}, nil).(span)
	if s.months != 0 {
		n.Mistakef("%q has years or months, whose length depends on the calendar: write days, such as P30D", n.n.property())
	}
	return s.rest
}

// JSON returns the part as it is written, encoded.
func (n Node) JSON() json.RawMessage {
	var b bytes.Buffer
	if n.Is() {
		n.n.encode(&b)
	}
	return b.Bytes()
}

// encode writes a node as JSON.
func (n *node) encode(b *bytes.Buffer) {
	switch n.kind {
	case objectKind:
		b.WriteByte('{')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, n.keys[i].name)
			b.WriteByte(':')
			item.encode(b)
		}
		b.WriteByte('}')
	case listKind:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.encode(b)
		}
		b.WriteByte(']')
	case stringKind:
		writeString(b, n.text)
	case numberKind, boolKind, nullKind:
		b.WriteString(n.text)
	}
}

// Hint says what a name that is not known may have been meant to be, or which there are.
func Hint(name string, known []string) string {
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	return hint(name, known, "there is none")
}

// Quote quotes a text for a message, and shortens it.
func Quote(text string) string { return shorten(strings.ToValidUTF8(text, "\uFFFD"), 60) }
