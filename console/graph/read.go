package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-run/holdfast/messages"
)

// value is a part of a document. Its methods take nil, and a value of another shape, for one that is not there.
type value struct {
	shape shape
	// text is what a scalar says.
	text string
	// keys are the names of an object's properties, items their values or those of a list.
	keys  []string
	items []*value
	// at is the place of each key, once there are many and one was asked for.
	at map[string]int
}

type shape int

const (
	scalar shape = iota
	object
	list
)

// read reads a document, YAML or JSON, without the resources behind it.
func read(document []byte, c Config) (*value, error) {
	if len(document) > c.Document {
		return nil, fmt.Errorf("the document has %d bytes, with what it refers to, more than the %d allowed: split the workflow",
			len(document), c.Document)
	}
	document, _, err := messages.SplitResources(document)
	if err != nil {
		return nil, err
	}
	document = bytes.TrimPrefix(document, []byte("\xEF\xBB\xBF"))
	r := reader{depth: c.Depth}
	switch {
	case !utf8.Valid(document):
		return nil, errors.New("the document is not UTF-8: save it as UTF-8")
	case json.Valid(document):
		d := json.NewDecoder(bytes.NewReader(document))
		d.UseNumber()
		return r.json(d, 1)
	}
	var root yaml.Node
	switch err := yaml.NewDecoder(bytes.NewReader(document)).Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the document is empty: give a workflow definition")
	case err != nil:
		return nil, fmt.Errorf("the document is neither JSON nor YAML: %s", messages.Clip(strings.TrimPrefix(err.Error(), "yaml: "), 200))
	case root.Kind != yaml.DocumentNode || len(root.Content) != 1:
		return nil, errors.New("the document is empty: give a workflow definition")
	}
	return r.yaml(root.Content[0], 1)
}

// reader bounds how deep what it reads is nested.
type reader struct{ depth int }

func (r reader) tooDeep() error {
	return fmt.Errorf("objects and lists nest more than %d deep: flatten the document", r.depth)
}

// json reads a value of what is known to be valid JSON.
func (r reader) json(d *json.Decoder, depth int) (*value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	delim, nested := token.(json.Delim)
	if !nested {
		if token == nil {
			return &value{}, nil
		}
		return &value{text: fmt.Sprint(token)}, nil
	}
	if depth > r.depth {
		return nil, r.tooDeep()
	}
	v := &value{shape: list}
	if delim == '{' {
		v.shape = object
	}
	for d.More() {
		if v.shape == object {
			key, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("read the document: %w", err)
			}
			v.keys = append(v.keys, fmt.Sprint(key))
		}
		item, err := r.json(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return v, nil
}

// yaml reads a value of YAML. Aliases are refused, as definitions can't have any: what they stand for could be very much.
func (r reader) yaml(n *yaml.Node, depth int) (*value, error) {
	v := &value{}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return nil, fmt.Errorf("line %d: YAML anchors and aliases are refused: repeat the value, or use the reusable components of \"use\"",
			n.Line)
	case n.Kind == yaml.ScalarNode:
		if n.ShortTag() != "!!null" {
			v.text = n.Value
		}
		return v, nil
	case depth > r.depth:
		return nil, r.tooDeep()
	}
	v.shape = list
	if n.Kind == yaml.MappingNode {
		v.shape = object
	}
	for i, content := range n.Content {
		if v.shape == object && i%2 == 0 {
			if content.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: the name of a property must be a string", content.Line)
			}
			v.keys = append(v.keys, content.Value)
			continue
		}
		item, err := r.yaml(content, depth+1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	return v, nil
}

// get returns what a path of properties leads to, or nil.
func (v *value) get(path ...string) *value {
	for _, name := range path {
		if v == nil || v.shape != object {
			return nil
		}
		i := v.find(name)
		if i < 0 {
			return nil
		}
		v = v.items[i]
	}
	return v
}

// find returns the place of a property of an object, -1 if there is none.
func (v *value) find(name string) int {
	const few = 16
	if len(v.keys) <= few {
		return slices.Index(v.keys, name)
	}
	if v.at == nil {
		v.at = make(map[string]int, len(v.keys))
		for i, k := range slices.Backward(v.keys) { // of two that are alike the first counts
			v.at[k] = i
		}
	}
	if i, known := v.at[name]; known {
		return i
	}
	return -1
}

// is tells whether a property is an object or a list.
func (v *value) is(s shape) bool { return v != nil && v.shape == s }

// word returns what a scalar says, "" if it is none.
func (v *value) word() string {
	if v == nil || v.shape != scalar {
		return ""
	}
	return v.text
}

// named is something with a name, and where it stands in its list.
type named struct {
	index int
	name  string
	body  *value
}

// named returns what is in a list of objects with one property each.
func (v *value) named() []named {
	if !v.is(list) {
		return nil
	}
	var all []named
	for i, item := range v.items {
		if item.shape == object && len(item.keys) == 1 {
			all = append(all, named{i, item.keys[0], item.items[0]})
		}
	}
	return all
}

// longest is the length of the longest text that a graph has of a document, in bytes; what is longer is clipped.
const longest = 500

// show is a value in one line, objects and lists as YAML writes them in one.
func (v *value) show() string {
	var b strings.Builder
	v.write(&b)
	return oneLine(b.String())
}

func (v *value) write(b *strings.Builder) {
	if v == nil || b.Len() > longest {
		return
	}
	switch v.shape {
	case scalar:
		b.WriteString(messages.Cut(v.text, longest+4)) // so that it is seen that something is left out
		return
	case object:
		b.WriteByte('{')
	case list:
		b.WriteByte('[')
	}
	for i, item := range v.items {
		if b.Len() > longest {
			return
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if v.shape == object {
			b.WriteString(messages.Cut(v.keys[i], longest) + ": ")
		}
		item.write(b)
	}
	if v.shape == object {
		b.WriteByte('}')
	} else {
		b.WriteByte(']')
	}
}

// oneLine makes a text one line that prints, and clips it.
func oneLine(s string) string {
	return messages.Clip(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(messages.Cut(s, 4*longest)), " ")), longest)
}
