package definition

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

// budgetFunctions are what programs call as go:: in the prelude and what the rewriter puts in. Those that only charge
// give their input back, so that they can stand in paths; the operation that follows is not reached once something has
// run out.
var budgetFunctions = sync.OnceValue(func() []gojq.CompilerOption {
	var options []gojq.CompilerOption
	add := func(name string, arity int, f func(b *budget, in any, args []any) any) {
		options = append(options, gojq.WithFunction(budgetName(name), 1+arity, 1+arity, func(in any, args []any) any {
			b, ok := args[0].(*budget)
			if !ok {
				panic("definition: a call into the budget without it")
			}
			return f(b, in, args[1:])
		}))
	}
	for name, f := range map[string]func(b *budget, in any){
		"iterate":   (*budget).iterate,
		"copy":      func(b *budget, in any) { b.charge(2 * width(in)) },
		"keys":      func(b *budget, in any) { b.charge(width(in)) },
		"explode":   func(b *budget, in any) { b.charge(elementSize * width(in)) },
		"visit":     func(b *budget, in any) { b.walk(in, 1, 0) },
		"encode":    func(b *budget, in any) { b.walk(in, 3, 0) },
		"order":     func(b *budget, in any) { b.order(in) },
		"sum":       (*budget).sum,
		"transpose": (*budget).transpose,
		"decode":    (*budget).fromText,
		"number":    (*budget).number,
		"index":     (*budget).index,
	} {
		add(name, 0, func(b *budget, in any, _ []any) any {
			f(b, in)
			return in
		})
	}
	for name, f := range map[string]func(b *budget, in, x any){
		"order":    func(b *budget, _, keys any) { b.order(keys) },
		"width":    func(b *budget, _, x any) { b.charge(width(x)) },
		"frame":    func(b *budget, _, x any) { i, _ := x.(int); b.charge(int64(i)) },
		"contains": func(b *budget, in, x any) { b.contain(in, x, 0) },
		"inside":   func(b *budget, in, x any) { b.contain(x, in, 0) },
		"time":     (*budget).time,
		"join":     (*budget).join,
		"split":    (*budget).split,
		"search":   (*budget).search,
		"bsearch":  (*budget).bsearch,
	} {
		add(name, 1, func(b *budget, in any, args []any) any {
			f(b, in, args[0])
			return in
		})
	}
	for op, o := range operations {
		add(o.name, 2, func(b *budget, _ any, args []any) any { return b.operate(op, args[0], args[1]) })
	}
	add("lgamma", 0, func(_ *budget, in any, _ []any) any {
		f, ok := gojq.ToFloat64(in)
		if !ok {
			return fmt.Errorf("can't take the gamma function of %s: a number was expected", gojq.Preview(in))
		}
		value, sign := math.Lgamma(f)
		return []any{value, sign}
	})
	add("reach", 1, func(b *budget, in any, args []any) any { return b.reach(in, args[0]) })
	add("paths", 1, func(b *budget, in any, args []any) any { return b.allPaths(in, args[0]) })
	add("now", 0, func(b *budget, _ any, _ []any) any { return b.now() })
	add("uuid", 0, func(b *budget, _ any, _ []any) any { return b.uuid() })
	add("stream", 0, func(b *budget, in any, _ []any) any { return b.stream(in) })
	add("entries", 0, func(b *budget, in any, _ []any) any { return b.entries(in) })
	add("object", 0, func(b *budget, in any, _ []any) any { return b.object(in) })
	add("replaced", 1, func(b *budget, in any, args []any) any { return b.replaced(in, args[0]) })
	options = append(options, editFunctions()...)
	add("edit", 0, func(b *budget, in any, _ []any) any { return &edit{b: b, root: in} })
	add("setpath", 2, func(b *budget, in any, args []any) any { return b.setPath(in, args[0], args[1]) })
	add("delpaths", 1, func(b *budget, in any, args []any) any { return b.deletePaths(in, args[0]) })
	add("match", 2, func(b *budget, in any, args []any) any { return b.match(in, args[0], args[1]) })
	add("test", 2, func(b *budget, in any, args []any) any { return b.test(in, args[0], args[1]) })
	add("pieces", 2, func(b *budget, in any, args []any) any { return b.pieces(in, args[0], args[1]) })
	return append(options, freeFunctions()...)
})

// editFunctions are those with which the prelude changes a value at many paths.
func editFunctions() []gojq.CompilerOption {
	var options []gojq.CompilerOption
	add := func(name string, arity int, f func(e *edit, args []any) any) {
		options = append(options, gojq.WithFunction(budgetName(name), 2+arity, 2+arity, func(_ any, args []any) any {
			e, ok := args[1].(*edit)
			if !ok {
				panic("definition: a change of a value without it")
			}
			return f(e, args[2:])
		}))
	}
	add("put", 2, func(e *edit, args []any) any {
		if err := e.put(args[0], args[1]); err != nil {
			return err
		}
		return nil
	})
	add("get", 1, func(e *edit, args []any) any {
		v, err := e.get(args[0])
		if err != nil {
			return err
		}
		return v
	})
	add("drop", 1, func(e *edit, args []any) any {
		e.b.charge(elementSize)
		e.gone = append(e.gone, args[0])
		return nil
	})
	add("finish", 0, func(e *edit, _ []any) any { return e.finish() })
	return options
}

// nothing stands for the value of a foreach whose update yielded none. No program sees it.
var nothing = new(struct{ _ byte })

// freeFunctions are those that need no budget, and so take fewer steps.
func freeFunctions() []gojq.CompilerOption {
	var options []gojq.CompilerOption
	add := func(name string, f func(in any) any) {
		options = append(options, gojq.WithFunction(budgetName(name), 0, 0, func(in any, _ []any) any { return f(in) }))
	}
	add("indexed", func(in any) any {
		if s, ok := in.(string); ok {
			return indexError(s)
		}
		return in
	})
	add("isScalar", func(in any) any { return isScalar(in) })
	add("nothing", func(any) any { return nothing })
	add("isNothing", func(in any) any { return in == any(nothing) })
	add("cell", func(any) any { return new(bool) })
	options = append(options, gojq.WithFunction(budgetName("mark"), 1, 1, func(in any, args []any) any {
		if cell, ok := args[0].(*bool); ok {
			*cell = true
		}
		return in
	}))
	return append(options, gojq.WithFunction(budgetName("isMarked"), 1, 1, func(_ any, args []any) any {
		cell, ok := args[0].(*bool)
		return ok && *cell
	}))
}

// indexError tells that a string is not indexed, as jq has it: only slices of it can be taken.
func indexError(s string) error {
	return fmt.Errorf("can't take an element or property of the string %s: a list or an object was expected", gojq.Preview(s))
}

// reach charges the way along a path, and stops where it would take a character of a string.
func (b *budget) reach(in, path any) any {
	b.charge(width(path))
	v := in
	steps, _ := path.([]any)
	for _, step := range steps {
		switch of := v.(type) {
		case string:
			if _, isSlice := step.(map[string]any); !isSlice {
				return indexError(of)
			}
			return in
		case map[string]any:
			name, _ := step.(string)
			v = of[name]
		case []any:
			i, ok := gojq.ToInt(step)
			if i < 0 {
				i += len(of)
			}
			if !ok || i < 0 || i >= len(of) {
				return in
			}
			v = of[i]
		default:
			return in
		}
	}
	return in
}

// iterate charges the list of all elements that iterating takes first.
func (b *budget) iterate(in any) {
	switch v := in.(type) {
	case []any:
		b.charge(2 * elementSize * int64(1+len(v)))
	case map[string]any:
		b.charge(3 * elementSize * int64(1+len(v)))
	}
}

func (b *budget) calculate(l, r any) {
	b.checkNumber(l)
	b.checkNumber(r)
}

func (b *budget) add(l, r any) {
	switch l.(type) {
	case string, []any, map[string]any:
		b.charge(width(l) + width(r))
	default:
		b.calculate(l, r)
	}
}

// subtract compares each element with each.
func (b *budget) subtract(l, r any) {
	these, ok1 := l.([]any)
	those, ok2 := r.([]any)
	if !ok1 || !ok2 {
		b.calculate(l, r)
		return
	}
	b.charge(width(l))
	for _, x := range these {
		for _, y := range those {
			if b.compare(x, y, 0); b.err != nil {
				return
			}
		}
	}
}

func (b *budget) multiply(l, r any) {
	if s, ok := r.(string); ok {
		l, r = s, l
	}
	switch l := l.(type) {
	case string:
		if times, ok := gojq.ToFloat64(r); ok && times > 0 {
			b.charge(int64(min(times, 1<<31) * float64(len(l))))
		}
	case map[string]any:
		b.merge(l, r, 0)
	default:
		b.calculate(l, r)
	}
}

// merge charges the merging of objects within objects.
func (b *budget) merge(l map[string]any, r any, depth int) {
	with, ok := r.(map[string]any)
	if !ok || !b.charge(width(l)+width(r)) || b.tooDeep(depth) {
		return
	}
	for k, v := range with {
		if inner, ok := l[k].(map[string]any); ok {
			if b.merge(inner, v, depth+1); b.err != nil {
				return
			}
		}
	}
}

func (b *budget) divide(l, r any) {
	if _, ok := l.(string); ok {
		b.split(l, r)
		return
	}
	b.calculate(l, r)
}

// split charges a list of the pieces.
func (b *budget) split(in, separator any) {
	s, ok1 := in.(string)
	sep, ok2 := separator.(string)
	if ok1 && ok2 {
		b.charge(3 * elementSize * int64(1+strings.Count(s, sep)))
	}
}

func (b *budget) join(in, separator any) {
	b.sum(in)
	count := 0
	switch v := in.(type) {
	case []any:
		count = len(v)
	case map[string]any:
		count = len(v)
	}
	b.charge(int64(count) * width(separator))
}

// sum charges the joining of all elements.
func (b *budget) sum(in any) {
	one := func(v any) bool {
		b.checkNumber(v)
		return b.charge(width(v))
	}
	switch v := in.(type) {
	case []any:
		for _, e := range v {
			if !one(e) {
				return
			}
		}
	case map[string]any:
		for _, e := range v {
			if !one(e) {
				return
			}
		}
	}
}

func (b *budget) transpose(in any) {
	rows, _ := in.([]any)
	longest := 0
	for _, row := range rows {
		if l, ok := row.([]any); ok {
			longest = max(longest, len(l))
		}
	}
	b.charge(elementSize * int64(len(rows)+1) * int64(longest+1))
}

// fromText charges the decoding of JSON.
func (b *budget) fromText(in any) {
	if s, ok := in.(string); ok && b.charge(elementSize*int64(1+len(s))) && looksLong([]byte(s)) {
		b.failf("a number has more than %d digits", maxDigits)
	}
}

func (b *budget) number(in any) {
	if s, ok := in.(string); ok && len(s) > maxDigits {
		b.failf("a number has more than %d digits", maxDigits)
	}
}

// index stops at a list as an index: it would search for the list in the value.
func (b *budget) index(in any) {
	switch in := in.(type) {
	case []any:
		b.failf("a list can't be an index: use indices to search for it")
	case json.Number, *big.Int:
		b.checkNumber(in)
	}
}

// time charges the formatting of a time: a directive of few letters can make up to 1024.
func (b *budget) time(in, format any) {
	if s, ok := format.(string); ok {
		b.charge(512 * int64(1+len(s)))
	}
	b.charge(width(in))
}

// search charges the search of a string or list in another, from each place on.
func (b *budget) search(in, x any) {
	switch in := in.(type) {
	case string:
		if x, ok := x.(string); ok {
			b.charge(2*elementSize*int64(len(in)+len(x)) + 4*int64(len(in))*int64(len(x)))
		}
	case []any:
		wanted, ok := x.([]any)
		if !ok {
			wanted = []any{x}
		}
		for i := range in {
			for j, w := range wanted {
				if i+j >= len(in) {
					break
				}
				if b.compare(in[i+j], w, 0); b.err != nil {
					return
				}
			}
		}
	}
}

func (b *budget) bsearch(in, x any) {
	if l, ok := in.([]any); ok {
		b.walk(x, int64(1+bits.Len(uint(len(l)))), 0)
	}
}
