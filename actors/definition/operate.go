package definition

import (
	"encoding/json"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

// operations are the operators that can make or visit much at once, as functions of the budget: they charge for it, then
// do it. What is frequent is done here, in one step of the interpreter; the rest by the interpreter's own operator.
var operations = map[gojq.Operator]struct {
	name   string
	charge func(b *budget, l, r any)
	do     func(l, r any) (result any, done bool)
}{
	gojq.OpAdd: {"add", (*budget).add, add},
	gojq.OpSub: {"subtract", (*budget).subtract, subtract},
	gojq.OpMul: {"multiply", (*budget).multiply, multiply},
	gojq.OpDiv: {"divide", (*budget).divide, divide},
	gojq.OpMod: {"modulo", (*budget).calculate, func(any, any) (any, bool) { return nil, false }},
	gojq.OpEq:  {"equal", (*budget).compareAll, compared(func(c int) bool { return c == 0 })},
	gojq.OpNe:  {"unequal", (*budget).compareAll, compared(func(c int) bool { return c != 0 })},
	gojq.OpGt:  {"greater", (*budget).compareAll, compared(func(c int) bool { return c > 0 })},
	gojq.OpLt:  {"less", (*budget).compareAll, compared(func(c int) bool { return c < 0 })},
	gojq.OpGe:  {"atLeast", (*budget).compareAll, compared(func(c int) bool { return c >= 0 })},
	gojq.OpLe:  {"atMost", (*budget).compareAll, compared(func(c int) bool { return c <= 0 })},
}

func compared(holds func(int) bool) func(l, r any) (any, bool) {
	return func(l, r any) (any, bool) { return holds(gojq.Compare(l, r)), true }
}

// interpreted are the interpreter's own operators, each as a program of two variables.
var interpreted = sync.OnceValue(func() map[gojq.Operator]*gojq.Code {
	codes := make(map[gojq.Operator]*gojq.Code)
	for op := range operations {
		q := &gojq.Query{Left: variable(leftVariable), Op: op, Right: variable(rightVariable)}
		code, err := gojq.Compile(q, gojq.WithVariables([]string{leftVariable, rightVariable}))
		if err != nil {
			panic("definition: the operator " + op.String() + ": " + err.Error())
		}
		codes[op] = code
	}
	return codes
})

// operate applies an operator.
func (b *budget) operate(op gojq.Operator, l, r any) any {
	o := operations[op]
	if o.charge(b, l, r); b.err != nil {
		return nil
	}
	if result, done := o.do(l, r); done {
		return result
	}
	result, _ := interpreted()[op].Run(nil, l, r).Next()
	return result
}

func (b *budget) compareAll(l, r any) { b.compare(l, r, 0) }

// plainNumber returns a number as the interpreter calculates with it, if it is none of the very large ones.
func plainNumber(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if i, err := strconv.Atoi(string(n)); err == nil {
		return i
	}
	if strings.ContainsAny(string(n), ".eE") {
		if f, err := strconv.ParseFloat(string(n), 64); err == nil {
			return f
		}
	}
	return v
}

// integers returns two integers that are small enough to be added and subtracted.
func integers(l, r any) (x, y int, ok bool) {
	const most = math.MaxInt / 2
	x, ok1 := l.(int)
	y, ok2 := r.(int)
	return x, y, ok1 && ok2 && -most < x && x < most && -most < y && y < most
}

// floats returns two numbers of which at least one has a fraction, or could have one.
func floats(l, r any) (x, y float64, ok bool) {
	_, float1 := l.(float64)
	_, float2 := r.(float64)
	if !float1 && !float2 {
		return 0, 0, false
	}
	x, ok1 := float(l)
	y, ok2 := float(r)
	return x, y, ok1 && ok2
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	default:
		return 0, false
	}
}

func add(l, r any) (any, bool) {
	switch l := l.(type) {
	case string:
		if r, ok := r.(string); ok {
			return l + r, true
		}
	case []any:
		if r, ok := r.([]any); ok && len(l) > 0 && len(r) > 0 {
			return append(append(make([]any, 0, len(l)+len(r)), l...), r...), true
		}
	case map[string]any:
		if r, ok := r.(map[string]any); ok && len(l) > 0 && len(r) > 0 {
			sum := make(map[string]any, len(l)+len(r))
			maps.Copy(sum, l)
			maps.Copy(sum, r)
			return sum, true
		}
	default:
		l, r = plainNumber(l), plainNumber(r)
		if x, y, ok := integers(l, r); ok {
			return x + y, true
		}
		if x, y, ok := floats(l, r); ok {
			return x + y, true
		}
	}
	return nil, false
}

func subtract(l, r any) (any, bool) {
	l, r = plainNumber(l), plainNumber(r)
	if x, y, ok := integers(l, r); ok {
		return x - y, true
	}
	if x, y, ok := floats(l, r); ok {
		return x - y, true
	}
	return nil, false
}

func multiply(l, r any) (any, bool) {
	l, r = plainNumber(l), plainNumber(r)
	if x, y, ok := integers(l, r); ok && max(x, -x) <= math.MaxInt32 && max(y, -y) <= math.MaxInt32 {
		return x * y, true
	}
	if x, y, ok := floats(l, r); ok {
		return x * y, true
	}
	return nil, false
}

func divide(l, r any) (any, bool) {
	l, r = plainNumber(l), plainNumber(r)
	if x, y, ok := integers(l, r); ok && y != 0 {
		if x%y == 0 {
			return x / y, true
		}
		return float64(x) / float64(y), true
	}
	if x, y, ok := floats(l, r); ok && y != 0 {
		return x / y, true
	}
	return nil, false
}
