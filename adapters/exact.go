package adapters

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/jsonscan"
)

// The standard decoder takes a property for a field whose name differs in case, if there is no other. What a workflow's
// schema checked under one name must not be read from another: properties are read as they are written. A property that
// differs in case from a field which the object doesn't name is a mistake: the function would be called without what it was
// sent. Where the object names the field as well, the property is another one, and is blanked before the decoder sees it.

// shape is what the decoder looks for in a JSON value of some type. Nil stands for a type in which no names are looked for.
type shape struct {
	// isStruct: the properties of an object are the fields of a struct.
	isStruct bool
	fields   map[string]*shape
	// element is that of the values of a list or map.
	element *shape
}

// shapes are the shapes of the types seen so far, by reflect.Type. There are as many as the program has types of inputs.
var shapes sync.Map

// shapeOf returns the shape of a type.
func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		s, _ := known.(*shape) // it holds nothing else
		return s
	}
	s := (&shaper{known: make(map[reflect.Type]*shape)}).of(t)
	shapes.Store(t, s)
	return s
}

// shaper finds out shapes. Types may refer to themselves.
type shaper struct{ known map[reflect.Type]*shape }

var (
	jsonDecoder = reflect.TypeFor[json.Unmarshaler]()
	textDecoder = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decodesItself tells whether a type reads its JSON by itself, as it sees fit.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonDecoder) || p.Implements(textDecoder)
}

func (b *shaper) of(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	if decodesItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		if s, ok := b.known[t]; ok {
			return s
		}
		s := &shape{isStruct: true, fields: make(map[string]*shape)}
		b.known[t] = s
		for name, f := range fieldsOf(t) {
			s.fields[name] = b.of(f)
		}
		return s
	case reflect.Slice, reflect.Array, reflect.Map:
		if s, ok := b.known[t]; ok {
			return s
		}
		s := &shape{}
		b.known[t] = s
		s.element = b.of(t.Elem())
		return s
	default:
		return nil
	}
}

// field is a candidate for a name of a property.
type field struct {
	of     reflect.Type
	tagged bool
	count  int
}

// fieldsOf returns the names of properties that the decoder reads into fields of a struct, with the types of those. It
// follows the decoder's rules: the fields of embedded structs count as those of the struct; of equal names the one least
// deep counts, then the one with a tag; if there are still several, none does.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	result := make(map[string]reflect.Type)
	hidden := make(map[string]bool)
	visited := make(map[reflect.Type]bool)
	for level := map[reflect.Type]int{t: 1}; len(level) > 0; {
		next := make(map[reflect.Type]int)
		found := make(map[string]field)
		for of, times := range level {
			visited[of] = true
			for f := range of.Fields() {
				collect(f, times, found, next)
			}
		}
		for name, f := range found {
			if !hidden[name] && f.count == 1 {
				result[name] = f.of
			}
			hidden[name] = true
		}
		for of := range next {
			if visited[of] {
				delete(next, of)
			}
		}
		level = next
	}
	return result
}

// collect adds a field to those found on its level, or, if it is an embedded struct, to the next level.
func collect(f reflect.StructField, times int, found map[string]field, next map[reflect.Type]int) {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return
	}
	name, _, _ := strings.Cut(tag, ",")
	if !isName(name) {
		name = ""
	}
	of := f.Type
	if of.Kind() == reflect.Pointer && of.Name() == "" {
		of = of.Elem()
	}
	switch {
	case !f.IsExported() && (!f.Anonymous || of.Kind() != reflect.Struct):
		return
	case f.Anonymous && name == "" && of.Kind() == reflect.Struct:
		next[of] = min(next[of]+times, 2)
		return
	}
	c := field{of: f.Type, tagged: name != "", count: times}
	if name == "" {
		name = f.Name
	}
	switch old, ok := found[name]; {
	case ok && old.tagged && !c.tagged:
		return
	case ok && old.tagged == c.tagged:
		c.count += old.count
	}
	found[name] = c
}

// isName tells whether the decoder takes a name that stands in a tag.
func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c)
	}) < 0
}

// exact returns an input without the properties whose names differ from those of fields in nothing but case. It is the input itself if it
// has none. Such properties are replaced by spaces, so that offsets in messages stay right.
func exact(input []byte, s *shape) ([]byte, error) {
	if s == nil {
		return input, nil
	}
	e := exacter{Scanner: jsonscan.Scanner{Data: input}}
	e.Space()
	err := e.value(s)
	if errors.Is(err, errNotJSON) || e.copied && !json.Valid(input) {
		return input, nil // what is not JSON is for the decoder to complain about
	}
	return e.Data, err
}

// errNotJSON ends the search: what follows is not JSON.
var errNotJSON = errors.New("is not a JSON value")

// misnamed is a property whose name is that of a field but for the case. Its path is that of the object, the innermost
// step first.
type misnamed struct {
	property, field string
	path            []string
}

func (e *misnamed) Error() string {
	return fmt.Sprintf("has the property %q%s, where %q is expected: names are read exactly as they are written",
		messages.Clip(e.property, jsonscan.MostTold), jsonscan.Place(e.path), e.field)
}

// inside adds a step to the path of what is misnamed.
func inside(err error, step string) error {
	if m, ok := errors.AsType[*misnamed](err); ok {
		m.path = append(m.path, step)
	}
	return err
}

type exacter struct {
	jsonscan.Scanner

	// copied tells that Data may be changed.
	copied bool
	// names are those of the fields that the objects around have named so far.
	names [][]byte
}

// value passes a value.
func (e *exacter) value(s *shape) error {
	switch c := e.Peek(); {
	case s != nil && c == '{':
		return e.object(s)
	case s != nil && c == '[':
		e.Begin()
		for i := 0; e.More(']'); i++ {
			if err := e.value(s.element); err != nil {
				return inside(err, strconv.Itoa(i))
			}
		}
		return nil
	default:
		return e.skip()
	}
}

func (e *exacter) skip() error {
	if !e.Skip() {
		return errNotJSON
	}
	return nil
}

func (e *exacter) object(s *shape) error {
	e.Begin()
	first := len(e.names)
	var alike []string // the properties whose names are those of fields but for the case
	previous := e.At   // the end of the property before, that was not blanked
	for e.More('}') {
		start := e.At
		quoted, ok := e.Name()
		if !ok {
			return errNotJSON
		}
		name := unquote(quoted)
		below, isField := s.element, false
		if s.isStruct {
			below, isField = s.fields[string(name)]
		}
		switch {
		case isField:
			e.names = append(e.names, name)
		case s.isStruct && s.resembles(string(name)):
			alike = append(alike, string(name))
			if err := e.skip(); err != nil {
				return err
			}
			e.blank(previous, start)
			continue
		}
		if err := e.value(below); err != nil {
			return inside(err, string(name))
		}
		previous = e.At
	}
	for _, name := range alike {
		if field := s.missing(name, e.names[first:]); field != "" {
			return &misnamed{property: name, field: field}
		}
	}
	e.names = e.names[:first]
	return nil
}

func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		decoded, _ := jsonscan.Unquote(quoted)
		return []byte(decoded)
	}
	return quoted[1 : len(quoted)-1]
}

// resembles tells whether the decoder would take a property for a field of another name.
func (s *shape) resembles(name string) bool {
	for field := range s.fields {
		if strings.EqualFold(field, name) {
			return true
		}
	}
	return false
}

// missing returns the first of the fields that a property resembles and that are not among those named; "" if there is none.
func (s *shape) missing(name string, named [][]byte) string {
	result := ""
	for field := range s.fields {
		if strings.EqualFold(field, name) && (result == "" || field < result) &&
			!slices.ContainsFunc(named, func(n []byte) bool { return string(n) == field }) {
			result = field
		}
	}
	return result
}

// blank writes spaces over a property that starts somewhere and has just been passed, and over the comma that follows. If
// none follows, it is the one before, after the end of the previous property.
func (e *exacter) blank(previous, start int) {
	if !e.copied {
		e.Data, e.copied = bytes.Clone(e.Data), true
	}
	end := e.At
	e.Space()
	if e.Peek() == ',' {
		end = e.At + 1
	} else {
		start = previous
	}
	e.At = end
	for i := start; i < end; i++ {
		e.Data[i] = ' '
	}
}
