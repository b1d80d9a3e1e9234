package definition

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/jsonscan"
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
	args.Meter.Count(0, int64(len(whole)))
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
	s := jsonscan.Scanner{Data: value}
	for _, step := range steps {
		s.Space()
		switch c := s.Peek(); {
		case c == 'n':
			return nil, nil
		case c == '{' && !step.isIndex:
			start, end, err := property(&s, step.key)
			if err != nil || start < 0 {
				return nil, err
			}
			s = jsonscan.Scanner{Data: s.Data[start:end]}
		case c == '[' && step.isIndex:
			start, end, err := element(&s, step.index)
			if err != nil || start < 0 {
				return nil, err
			}
			s = jsonscan.Scanner{Data: s.Data[start:end]}
		case step.isIndex:
			return nil, fmt.Errorf("can't take element %d of %s: a list was expected", step.index, kindOf(c))
		default:
			return nil, fmt.Errorf("can't take property %q of %s: an object was expected", step.key, kindOf(c))
		}
	}
	return bytes.TrimSpace(s.Data), nil
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

// property returns where the value of an object's property stands, -1 if there is none. Of two the last counts, as it
// does when the value is decoded.
func property(s *jsonscan.Scanner, name string) (start, end int, err error) {
	start = -1
	s.Begin()
	for s.More('}') {
		quoted, ok := s.Name()
		if !ok {
			return 0, 0, errNotJSON
		}
		valueAt := s.At
		if !s.Skip() {
			return 0, 0, errNotJSON
		}
		if jsonscan.IsName(quoted, name) {
			start, end = valueAt, s.At
		}
	}
	return start, end, nil
}

// element returns where an element of a list stands, -1 if there is none. A negative index counts from the end.
func element(s *jsonscan.Scanner, index int) (start, end int, err error) {
	var places [][2]int
	s.Begin()
	for s.More(']') {
		at := s.At
		if !s.Skip() {
			return 0, 0, errNotJSON
		}
		if index == 0 {
			return at, s.At, nil
		}
		if index > 0 {
			index--
			continue
		}
		places = append(places, [2]int{at, s.At})
	}
	if index += len(places); index < 0 || index >= len(places) {
		return -1, 0, nil
	}
	return places[index][0], places[index][1], nil
}

// nestsDeeper tells whether objects and lists nest deeper than a limit in valid JSON.
func nestsDeeper(data []byte, limit int) bool {
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= limit {
		return false
	}
	s := jsonscan.Scanner{Data: data}
	depth := 0
	for s.At < len(data) {
		switch data[s.At] {
		case '"':
			s.Skip()
			continue
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
		s.At++
	}
	return false
}
