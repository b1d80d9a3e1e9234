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
	steps, ok := path.([]any)
	if !ok {
		return fmt.Errorf("a path must be a list, but is %s", gojq.Preview(path))
	}
	if !b.charge(width(path)) || b.tooDeep(len(steps)) {
		return nil
	}
	result, err := b.set(v, steps, value)
	if err != nil {
		return err
	}
	return result
}

func (b *budget) set(v any, path []any, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch step := path[0].(type) {
	case string:
		object, ok := v.(map[string]any)
		if !ok && v != nil {
			return nil, fmt.Errorf("can't set property %q of %s: an object was expected", step, gojq.Preview(v))
		}
		changed, err := b.set(object[step], path[1:], value)
		if err != nil {
			return nil, err
		}
		if !b.charge(width(v) + propertySize) {
			return nil, b.err
		}
		result := make(map[string]any, len(object)+1)
		maps.Copy(result, object)
		result[step] = changed
		return result, nil
	case map[string]any:
		return b.setSlice(v, step, path[1:], value)
	default:
		return b.setElement(v, step, path[1:], value)
	}
}

// setElement sets an element of a list, which grows as needed.
func (b *budget) setElement(v, step any, path []any, value any) (any, error) {
	b.checkNumber(step)
	i, ok := gojq.ToInt(step)
	list, isList := v.([]any)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s can't be a step of a path: a string or a number was expected", gojq.Preview(step))
	case !isList && v != nil:
		return nil, fmt.Errorf("can't set element %d of %s: a list was expected", i, gojq.Preview(v))
	case i < 0:
		if i += len(list); i < 0 {
			return nil, fmt.Errorf("there is no element %s in a list of %d", gojq.Preview(step), len(list))
		}
	}
	var old any
	if i < len(list) {
		old = list[i]
	}
	changed, err := b.set(old, path, value)
	if err != nil {
		return nil, err
	}
	if i > math.MaxInt32 {
		return nil, fmt.Errorf("an index is larger than %d", math.MaxInt32)
	}
	if !b.charge(elementSize * int64(1+max(i, len(list)))) {
		return nil, b.err
	}
	result := make([]any, max(i+1, len(list)))
	copy(result, list)
	result[i] = changed
	return result, nil
}

// setSlice replaces a part of a list.
func (b *budget) setSlice(v any, bounds map[string]any, path []any, value any) (any, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, fmt.Errorf("can't set a slice of %s: a list was expected", gojq.Preview(v))
	}
	start, end, err := sliceBounds(bounds, len(list))
	if err != nil {
		return nil, err
	}
	changed, err := b.set(list[start:end:end], path, value)
	if err != nil {
		return nil, err
	}
	with, ok := changed.([]any)
	if !ok {
		return nil, fmt.Errorf("can't set a slice of a list to %s: a list was expected", gojq.Preview(changed))
	}
	if !b.charge(width(v) + width(changed)) {
		return nil, b.err
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
