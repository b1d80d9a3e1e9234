package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// path is an expression such as .a.b[0] or $context.a. It picks the bytes out of the value, without decoding it.
type path struct {
	// root is empty for the input.
	root  string
	from  func(in *workflow.Value, args *workflow.Args) *workflow.Value
	steps []step
}

// step is the name of a property or an index.
type step struct {
	key     string
	index   int
	isIndex bool
}

// resolve finds out what the root stands for. It tells whether the path can be evaluated without jq.
func (p *path) resolve(vars []string) bool {
	part := func(names ...string) bool {
		return len(p.steps) > 0 && !p.steps[0].isIndex && slices.Contains(names, p.steps[0].key)
	}
	switch p.root {
	case "":
		p.from = func(in *workflow.Value, _ *workflow.Args) *workflow.Value { return in }
	case "$context":
		p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value { return args.Context }
	case "$input":
		p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value { return args.Input }
	case "$output":
		p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value { return args.Output }
	case "$workflow":
		switch {
		case part("input"):
			p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value { return args.Workflow.Input }
		case part("id"):
			p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value {
				return textValue(string(args.Workflow.ID))
			}
		default:
			return false
		}
		p.steps = p.steps[1:]
	case "$task":
		if !part("input", "output", "name", "reference") {
			return false
		}
		name := p.steps[0].key
		p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value { return taskPart(args.Task, name) }
		p.steps = p.steps[1:]
	default:
		name := p.root[1:]
		if !slices.Contains(vars, name) {
			return false
		}
		p.from = func(_ *workflow.Value, args *workflow.Args) *workflow.Value { return variableValue(args, name) }
	}
	return true
}

func taskPart(t *workflow.TaskArg, name string) *workflow.Value {
	switch {
	case t == nil:
		return nil
	case name == "input":
		return t.Input
	case name == "output":
		return t.Output
	case name == "name":
		return textValue(t.Task.Name)
	default:
		return textValue(t.Task.Ref)
	}
}

func textValue(s string) *workflow.Value {
	var b bytes.Buffer
	writeString(&b, s)
	return workflow.NewDecoded(b.Bytes(), s)
}

// variableValue returns the innermost variable of that name, nil if there is none.
func variableValue(args *workflow.Args, name string) *workflow.Value {
	for _, v := range slices.Backward(args.Vars) {
		if v.Name == name {
			return v.Value
		}
	}
	return nil
}

var null = workflow.NewDecoded([]byte("null"), nil)

func (p *path) Eval(in *workflow.Value, args *workflow.Args) (*workflow.Value, error) {
	v := p.from(in, args)
	if v == nil {
		return null, nil
	}
	if len(p.steps) == 0 {
		return v, nil
	}
	whole := v.JSON()
	found, err := pick(whole, p.steps)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return null, nil
	}
	if len(found) < len(whole)/2 {
		found = bytes.Clone(found) // a small part must not keep a large whole in memory
	}
	return workflow.NewValue(found), nil
}

func (p *path) Bool(in *workflow.Value, args *workflow.Args) (bool, error) {
	v, err := p.Eval(in, args)
	if err != nil {
		return false, err
	}
	return truth(v), nil
}

var errNotJSON = errors.New("the value is not JSON")

// pick returns the part of a JSON value that the steps lead to; nil if there is none, which is null.
func pick(value []byte, steps []step) ([]byte, error) {
	s := scanner{data: value}
	for _, step := range steps {
		s.space()
		switch c := s.peek(); {
		case c == 'n':
			return nil, nil
		case c == '{' && !step.isIndex:
			start, end, err := s.property(step.key)
			if err != nil || start < 0 {
				return nil, err
			}
			s = scanner{data: s.data[start:end]}
		case c == '[' && step.isIndex:
			start, end, err := s.element(step.index)
			if err != nil || start < 0 {
				return nil, err
			}
			s = scanner{data: s.data[start:end]}
		case step.isIndex:
			return nil, fmt.Errorf("can't take element %d of %s: a list was expected", step.index, kindOf(c))
		default:
			return nil, fmt.Errorf("can't take property %q of %s: an object was expected", step.key, kindOf(c))
		}
	}
	return bytes.TrimSpace(s.data), nil
}

// kindOf names the kind of a JSON value by its first byte.
func kindOf(c byte) kind {
	switch c {
	case '{':
		return objectKind
	case '[':
		return listKind
	case '"':
		return stringKind
	case 't', 'f':
		return boolKind
	default:
		return numberKind
	}
}

// scanner goes through JSON that is known to be valid. Invalid JSON is an error, or is passed by.
type scanner struct {
	data []byte
	at   int
}

func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// property returns where the value of an object's property stands, -1 if there is none. Of two the last counts, as it
// does when the value is decoded.
func (s *scanner) property(name string) (start, end int, err error) {
	start = -1
	s.at++
	for s.space(); s.peek() != '}'; s.space() {
		if s.peek() == ',' {
			s.at++
			s.space()
		}
		keyAt := s.at
		if s.peek() != '"' || !s.text() {
			return 0, 0, errNotJSON
		}
		matches := isKey(s.data[keyAt:s.at], name)
		if s.space(); s.peek() != ':' {
			return 0, 0, errNotJSON
		}
		s.at++
		s.space()
		valueAt := s.at
		if !s.skip() {
			return 0, 0, errNotJSON
		}
		if matches {
			start, end = valueAt, s.at
		}
	}
	return start, end, nil
}

// element returns where an element of a list stands, -1 if there is none. A negative index counts from the end.
func (s *scanner) element(index int) (start, end int, err error) {
	var places [][2]int
	s.at++
	for s.space(); s.peek() != ']'; s.space() {
		if s.peek() == ',' {
			s.at++
			s.space()
		}
		at := s.at
		if !s.skip() {
			return 0, 0, errNotJSON
		}
		if index == 0 {
			return at, s.at, nil
		}
		if index > 0 {
			index--
			continue
		}
		places = append(places, [2]int{at, s.at})
	}
	if index += len(places); index < 0 || index >= len(places) {
		return -1, 0, nil
	}
	return places[index][0], places[index][1], nil
}

// isKey tells whether a quoted string is the name.
func isKey(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	var decoded string
	return json.Unmarshal(quoted, &decoded) == nil && decoded == name
}

// text passes a string.
func (s *scanner) text() bool {
	for s.at++; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return true
		}
	}
	return false
}

// skip passes a value.
func (s *scanner) skip() bool {
	switch s.peek() {
	case '"':
		return s.text()
	case '{', '[':
		depth := 0
		for s.at < len(s.data) {
			switch s.data[s.at] {
			case '"':
				if !s.text() {
					return false
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					s.at++
					return true
				}
			}
			s.at++
		}
		return false
	}
	start := s.at
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return s.at > start
		}
		s.at++
	}
	return s.at > start
}

// nestsDeeper tells whether objects and lists nest deeper than a limit in valid JSON.
func nestsDeeper(data []byte, limit int) bool {
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= limit {
		return false
	}
	s := scanner{data: data}
	depth := 0
	for s.at < len(data) {
		switch data[s.at] {
		case '"':
			s.text()
			continue
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
		s.at++
	}
	return false
}
