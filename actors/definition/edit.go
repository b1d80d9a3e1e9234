package definition

import (
	"fmt"
	"maps"
	"math"

	"github.com/itchyny/gojq"
)

// edit is a value being changed at many paths. The parts on the way are copied when they are first changed, and then changed in place: so
// many changes of a large value cost no more than its size and their number. An edit belongs to one assignment. A part that was read out
// of it is not changed any more.
type edit struct {
	b    *budget
	root any
	// gone are the paths that are to be deleted in the end.
	gone []any
}

// Lists and objects that were copied. Their parts may be such ones again.
type (
	openList   struct{ of []any }
	openObject struct{ of map[string]any }
)

// put sets the value at a path.
func (e *edit) put(path, value any) error {
	steps, ok := path.([]any)
	if !ok {
		return fmt.Errorf("a path must be a list, but is %s", gojq.Preview(path))
	}
	if !e.b.charge(width(path)) || e.b.tooDeep(len(steps)) {
		return e.b.err
	}
	root, err := e.set(e.root, steps, value)
	e.root = root
	return err
}

func (e *edit) set(v any, path []any, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch step := path[0].(type) {
	case string:
		o, err := e.object(v, step)
		if err != nil {
			return v, err
		}
		o.of[step], err = e.set(o.of[step], path[1:], value)
		return o, err
	case map[string]any:
		return e.setSlice(e.closed(v), step, path[1:], value)
	default:
		l, i, err := e.element(v, step)
		if err != nil {
			return v, err
		}
		l.of[i], err = e.set(l.of[i], path[1:], value)
		return l, err
	}
}

// object returns an object that may be changed.
func (e *edit) object(v any, name string) (*openObject, error) {
	switch v := v.(type) {
	case *openObject:
		e.b.charge(propertySize)
		return v, e.b.err
	case map[string]any:
		if !e.b.charge(width(v) + propertySize) {
			return nil, e.b.err
		}
		copied := make(map[string]any, len(v)+1)
		maps.Copy(copied, v)
		return &openObject{copied}, nil
	case nil:
		e.b.charge(propertySize)
		return &openObject{make(map[string]any, 1)}, e.b.err
	default:
		return nil, fmt.Errorf("can't set property %q of %s: an object was expected", name, gojq.Preview(e.closed(v)))
	}
}

// element returns a list that may be changed, and the index of an element, to which the list has grown if need be.
func (e *edit) element(v, step any) (*openList, int, error) {
	e.b.checkNumber(step)
	i, ok := gojq.ToInt(step)
	l, isOpen := v.(*openList)
	list, isList := v.([]any)
	if isOpen {
		list = l.of
	}
	switch {
	case !ok:
		return nil, 0, fmt.Errorf("%s can't be a step of a path: a string or a number was expected", gojq.Preview(step))
	case !isOpen && !isList && v != nil:
		return nil, 0, fmt.Errorf("can't set element %d of %s: a list was expected", i, gojq.Preview(e.closed(v)))
	case i < 0:
		if i += len(list); i < 0 {
			return nil, 0, fmt.Errorf("there is no element %s in a list of %d", gojq.Preview(step), len(list))
		}
	case i > math.MaxInt32:
		return nil, 0, fmt.Errorf("an index is larger than %d", math.MaxInt32)
	}
	if !isOpen {
		if !e.b.charge(elementSize * int64(1+max(i, len(list)))) {
			return nil, 0, e.b.err
		}
		l = &openList{append(make([]any, 0, max(i+1, len(list))), list...)}
	}
	if !e.b.charge(elementSize * int64(1+max(0, 2*(i-len(l.of))))) {
		return nil, 0, e.b.err
	}
	for len(l.of) <= i {
		l.of = append(l.of, nil)
	}
	return l, i, nil
}

// get returns what is at a path. It is not changed any more.
func (e *edit) get(path any) (any, error) {
	steps, ok := path.([]any)
	if !ok {
		return nil, fmt.Errorf("a path must be a list, but is %s", gojq.Preview(path))
	}
	e.b.charge(width(path))
	result, root, err := e.read(e.root, steps)
	e.root = root
	return result, err
}

// read returns what is at a path, and what takes the place of v.
func (e *edit) read(v any, path []any) (result, instead any, err error) {
	if len(path) == 0 {
		v = e.closed(v)
		return v, v, nil
	}
	switch of := v.(type) {
	case *openObject:
		if name, ok := path[0].(string); ok {
			old, known := of.of[name]
			part, changed, err := e.read(old, path[1:])
			if known {
				of.of[name] = changed
			}
			return part, of, err
		}
	case *openList:
		if i, ok := index(path[0], len(of.of)); ok {
			part, changed, err := e.read(of.of[i], path[1:])
			of.of[i] = changed
			return part, of, err
		}
	}
	v = e.closed(v)
	result, err = getPath(v, path)
	return result, v, err
}

// index returns the place of an element; false if there is none.
func index(step any, length int) (int, bool) {
	i, ok := gojq.ToInt(step)
	if i < 0 {
		i += length
	}
	return i, ok && 0 <= i && i < length
}

// getPath returns what is at a path of a value, as jq does.
func getPath(v any, path []any) (any, error) {
	for _, step := range path {
		if v == nil {
			return nil, nil //nolint:nilnil // null is a value
		}
		switch of := v.(type) {
		case map[string]any:
			name, ok := step.(string)
			if !ok {
				return nil, fmt.Errorf("%s can't be a property of an object: a string was expected", gojq.Preview(step))
			}
			v = of[name]
		case []any:
			if bounds, ok := step.(map[string]any); ok {
				start, end, err := sliceBounds(bounds, len(of))
				if err != nil {
					return nil, err
				}
				v = of[start:end:end]
				continue
			}
			if _, ok := gojq.ToInt(step); !ok {
				return nil, fmt.Errorf("%s can't be an element of a list: a number was expected", gojq.Preview(step))
			}
			if i, ok := index(step, len(of)); ok {
				v = of[i]
			} else {
				v = nil
			}
		default:
			return nil, fmt.Errorf("can't take %s of %s: a list or an object was expected", gojq.Preview(step), gojq.Preview(v))
		}
	}
	return v, nil
}

// closed returns a value that is not changed any more.
func (e *edit) closed(v any) any {
	switch v := v.(type) {
	case *openObject:
		e.b.charge(elementSize * int64(1+len(v.of)))
		for name, part := range v.of {
			if isOpen(part) {
				v.of[name] = e.closed(part)
			}
		}
		return v.of
	case *openList:
		e.b.charge(int64(1 + len(v.of)))
		for i, part := range v.of {
			if isOpen(part) {
				v.of[i] = e.closed(part)
			}
		}
		return v.of
	default:
		return v
	}
}

func isOpen(v any) bool {
	switch v.(type) {
	case *openObject, *openList:
		return true
	default:
		return false
	}
}

// finish returns the changed value.
func (e *edit) finish() any {
	v := e.closed(e.root)
	e.root = v
	if len(e.gone) > 0 && e.b.err == nil {
		return e.b.deletePaths(v, e.gone)
	}
	return v
}
