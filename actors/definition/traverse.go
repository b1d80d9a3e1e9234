package definition

import (
	"fmt"
	"maps"
	"slices"

	"github.com/itchyny/gojq"
)

// What goes through a whole value is done in one go, not by a program that calls itself for each part.

// each calls f for the parts of a list or object, in order.
func each(v any, f func(step, part any)) {
	switch v := v.(type) {
	case []any:
		for i, part := range v {
			f(i, part)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			f(name, v[name])
		}
	}
}

// extended returns a path with another step, charged.
func (b *budget) extended(path []any, step any) []any {
	longer := make([]any, len(path)+1)
	copy(longer, path)
	longer[len(path)] = step
	b.charge(elementSize * int64(3+len(longer)))
	return longer
}

func isScalar(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return false
	default:
		return true
	}
}

// allPaths returns the paths to the parts of a value: to all and to itself, to all, or to those that are scalars.
func (b *budget) allPaths(v, which any) any {
	found := []any{}
	if which == "all" {
		found = append(found, []any{})
	}
	var visit func(v any, path []any)
	visit = func(v any, path []any) {
		if !b.charge(width(v)) || b.tooDeep(len(path)) {
			return
		}
		each(v, func(step, part any) {
			if b.err != nil {
				return
			}
			longer := b.extended(path, step)
			if which != "leaves" || isScalar(part) {
				found = append(found, longer)
			}
			visit(part, longer)
		})
	}
	visit(v, nil)
	return found
}

// stream returns the parts of a value as jq streams them: each scalar and each empty list or object with its path, and for
// any other list or object, once it has ended, the path to its last part.
func (b *budget) stream(v any) any {
	events := []any{}
	var visit func(v any, path []any)
	visit = func(v any, path []any) {
		if !b.charge(2*width(v)) || b.tooDeep(len(path)) {
			return
		}
		var last []any
		each(v, func(step, part any) {
			if b.err == nil {
				last = b.extended(path, step)
				visit(part, last)
			}
		})
		if last == nil {
			events = append(events, []any{path, v})
		} else {
			events = append(events, []any{last})
		}
	}
	visit(v, []any{})
	return events
}

// entries returns the properties of an object, each as an object of key and value.
func (b *budget) entries(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("can't take the entries of %s: an object was expected", gojq.Preview(v))
	}
	b.charge(2 * width(v))
	list := make([]any, 0, len(object))
	each(object, func(name, part any) { list = append(list, map[string]any{"key": name, "value": part}) })
	return list
}

// object makes an object of pairs of name and value.
func (b *budget) object(pairs any) any {
	list, _ := pairs.([]any)
	b.charge(2 * propertySize * int64(1+len(list)))
	result := make(map[string]any, len(list))
	for _, p := range list {
		pair := p.([]any)                  //nolint:errcheck,forcetypeassert // the library makes nothing but pairs
		result[pair[0].(string)] = pair[1] //nolint:errcheck,forcetypeassert // of which the first is a string
	}
	return result
}

// replaced returns an object whose values, in order, are replaced: each by the element of a list of one, or by nothing.
func (b *budget) replaced(values, of any) any {
	object, _ := of.(map[string]any)
	list, _ := values.([]any)
	b.charge(width(object))
	result := make(map[string]any, len(object))
	i := 0
	each(object, func(step, _ any) {
		if name, ok := step.(string); ok && i < len(list) {
			if value, ok := list[i].([]any); ok && len(value) > 0 {
				result[name] = value[0]
			}
		}
		i++
	})
	return result
}
