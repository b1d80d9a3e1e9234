package definition

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/itchyny/gojq"
)

// setPath returns v with a value at a path. It copies what it changes, and charges that.
func (b *budget) setPath(v, path, value any) any {
	e := &edit{b: b, root: v}
	if err := e.put(path, value); err != nil {
		return err
	}
	return e.finish()
}

// setSlice replaces a part of a list.
func (e *edit) setSlice(v any, bounds map[string]any, path []any, value any) (any, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, fmt.Errorf("can't set a slice of %s: a list was expected", gojq.Preview(v))
	}
	start, end, err := sliceBounds(bounds, len(list))
	if err != nil {
		return nil, err
	}
	changed, err := e.set(list[start:end:end], path, value)
	if err != nil {
		return nil, err
	}
	changed = e.closed(changed)
	with, ok := changed.([]any)
	if !ok {
		return nil, fmt.Errorf("can't set a slice of a list to %s: a list was expected", gojq.Preview(changed))
	}
	if !e.b.charge(width(v) + width(changed)) {
		return nil, e.b.err
	}
	return slices.Concat(list[:start], with, list[end:]), nil
}

// sliceBounds returns the elements that a slice of a list covers.
func sliceBounds(bounds map[string]any, length int) (start, end int, err error) {
	bound := func(name string, otherwise int, round func(float64) float64) int {
		v, ok := bounds[name]
		if !ok {
			err = fmt.Errorf("%s can't be a step of a path: \"start\" and \"end\" were expected", gojq.Preview(bounds))
			return 0
		}
		if v == nil {
			return otherwise
		}
		f, ok := gojq.ToFloat64(v)
		if !ok {
			err = fmt.Errorf("%s can't be a bound of a slice: a number was expected", gojq.Preview(v))
			return 0
		}
		rounded := round(f)
		switch {
		case math.IsNaN(f), f < 0 && rounded == 0: // just before the end
			return otherwise
		case rounded < 0:
			rounded += float64(length)
		}
		return int(max(0, min(rounded, float64(length))))
	}
	start = bound("start", 0, math.Floor)
	end = max(start, bound("end", length, math.Ceil))
	return start, end, err
}

// deletePaths returns v without what the paths lead to.
func (b *budget) deletePaths(v, paths any) any {
	list, ok := paths.([]any)
	if !ok {
		return fmt.Errorf("paths must be a list, but are %s", gojq.Preview(paths))
	}
	if b.order(paths); b.err != nil {
		return nil
	}
	steps := make([][]any, 0, len(list))
	for _, p := range list {
		path, ok := p.([]any)
		if !ok {
			return fmt.Errorf("a path must be a list, but is %s", gojq.Preview(p))
		}
		if b.tooDeep(len(path)) {
			return nil
		}
		steps = append(steps, path)
	}
	result, err := b.remove(v, steps)
	if err != nil {
		return err
	}
	return result
}

// remove deletes all paths at once, for what one deletes must not move what the others mean. The paths go through v.
func (b *budget) remove(v any, paths [][]any) (any, error) {
	if len(paths) == 0 || v == nil {
		return v, nil
	}
	if hasEmpty(paths) {
		return nil, nil //nolint:nilnil // what is deleted is null
	}
	if !b.charge(width(v) + elementSize*int64(len(paths))) {
		return nil, b.err
	}
	switch v := v.(type) {
	case map[string]any:
		return b.removeProperties(v, paths)
	case []any:
		return b.removeElements(v, paths)
	default:
		return nil, fmt.Errorf("can't delete %s of %s", gojq.Preview(paths[0][0]), gojq.Preview(v))
	}
}

func (b *budget) removeProperties(v map[string]any, paths [][]any) (any, error) {
	below := make(map[string][][]any)
	for _, p := range paths {
		name, ok := p[0].(string)
		if !ok {
			return nil, fmt.Errorf("%s can't be a property of an object: a string was expected", gojq.Preview(p[0]))
		}
		below[name] = append(below[name], p[1:])
	}
	result := maps.Clone(v)
	for name, rest := range below {
		old, ok := v[name]
		if !ok {
			continue
		}
		if hasEmpty(rest) {
			delete(result, name)
			continue
		}
		changed, err := b.remove(old, rest)
		if err != nil {
			return nil, err
		}
		result[name] = changed
	}
	return result, nil
}

func (b *budget) removeElements(v []any, paths [][]any) (any, error) {
	gone := make([]bool, len(v))
	below := make(map[int][][]any)
	for _, p := range paths {
		start, end, rest, err := b.elements(v, p)
		if err != nil {
			return nil, err
		}
		for i := start; i < end; i++ {
			if len(rest) == 0 {
				gone[i] = true
			} else {
				below[i] = append(below[i], rest)
			}
		}
	}
	result := make([]any, 0, len(v))
	for i, e := range v {
		if gone[i] {
			continue
		}
		changed, err := b.remove(e, below[i])
		if err != nil {
			return nil, err
		}
		result = append(result, changed)
	}
	return result, nil
}

// elements returns the elements of a list that the first steps of a path lead to, and the steps that remain. Slices
// may follow one another; all but the last only narrow the list.
func (b *budget) elements(v, path []any) (start, end int, rest []any, err error) {
	from := 0
	for {
		bounds, ok := path[0].(map[string]any)
		if !ok {
			break
		}
		if start, end, err = sliceBounds(bounds, len(v)); err != nil {
			return 0, 0, nil, err
		}
		if len(path) == 1 {
			if !b.charge(elementSize * int64(1+end-start)) {
				return 0, 0, nil, b.err
			}
			return from + start, from + end, nil, nil
		}
		v, path, from = v[start:end], path[1:], from+start
	}
	b.checkNumber(path[0])
	i, ok := gojq.ToInt(path[0])
	if !ok {
		return 0, 0, nil, fmt.Errorf("%s can't be an element of a list: a number was expected", gojq.Preview(path[0]))
	}
	if i < 0 {
		i += len(v)
	}
	if i < 0 || i >= len(v) {
		return 0, 0, nil, nil
	}
	return from + i, from + i + 1, path[1:], nil
}

func hasEmpty(paths [][]any) bool {
	return slices.ContainsFunc(paths, func(p []any) bool { return len(p) == 0 })
}
