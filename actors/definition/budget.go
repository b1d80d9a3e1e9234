package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"reflect"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// budget is what one evaluation may use up. It is the context of the interpreter, which asks Done before each
// instruction: so it counts instructions exactly, and stops the interpreter before the next one when something has run
// out. No program can catch that.
//
// The operations that can make or visit much at once are preceded by a call of the interpreter into the budget (see
// rewriter), which charges them by the size of what they are about to work on.
type budget struct {
	programs *programs
	steps    int
	memory   int64
	// unnoted is how much memory may be left at least before it is told that the evaluation makes much.
	unnoted  int64
	deadline time.Time
	err      error
	// first is how many steps there were at first: fewer than the limit, if something was evaluated before.
	first int
	// args are what the evaluation knows beside its input; nil: nothing.
	args *workflow.Args
	// meter counts what is evaluated; nil: nothing does.
	meter *workflow.Meter
	// turns are what the evaluation waits for once it has taken long; nil: it does not wait.
	turns workflow.Turns
	// running is the interpreter, once it runs.
	running reflect.Value
}

var errSteps = errors.New("it took too many steps: the data is too large, or the expression loops")

var errStepsTogether = errors.New("with what was evaluated for the task just before, it took too many steps: " +
	"the data is too large, or an expression loops")

var errMemory = errors.New("it used too much memory: the data is too large, or the expression builds too much")

var errStack = errors.New("it used too much memory: functions call each other too deep")

var errTime = errors.New("it took too long")

// How many steps pass between two looks at the clock and at the interpreter's stacks: powers of two.
const (
	clockEvery = 64
	stackEvery = 1024
)

// showEvery is after how many steps an evaluation that takes long shows that it goes on: a multiple of clockEvery.
const showEvery = 1024

// largeBytes is how much an evaluation may make and visit in bulk before it is one that makes much.
const largeBytes = 256 << 10

// closed is what Done returns once something has run out.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// budget returns what an evaluation may use up, after what was evaluated before.
func (p *programs) budget(args *workflow.Args) *budget {
	b := &budget{
		programs: p, memory: p.limits.Memory, unnoted: max(0, p.limits.Memory-largeBytes), deadline: p.limits.Now().Add(p.limits.Time),
	}
	if args != nil {
		b.args, b.meter = args, args.Meter
	}
	b.first = max(0, p.limits.Steps-b.meter.Counted())
	if args != nil && args.Steps > 0 {
		b.first = min(b.first, args.Steps)
	}
	b.steps = b.first
	return b
}

var errTimeless = errors.New("there is neither a time nor an id to be had here")

// now is when the decision is made, in seconds since 1970.
func (b *budget) now() any {
	if b.args == nil || b.args.Now == 0 {
		return errTimeless
	}
	return float64(time.Unix(0, b.args.Now).UnixMicro()) / 1e6
}

// uuid is an id that no other expression gets.
func (b *budget) uuid() any {
	if b.args == nil || b.args.Unique == nil {
		return errTimeless
	}
	b.charge(elementSize)
	return b.args.Unique.UUID()
}

// ended tells the meter that the evaluation has ended.
func (b *budget) ended() {
	b.meter.Count(b.first-b.steps, b.programs.limits.Memory-b.memory)
}

// Done counts a step.
func (b *budget) Done() <-chan struct{} {
	b.steps--
	switch {
	case b.err != nil:
	case b.steps < 0 && b.first < b.programs.limits.Steps:
		b.err = errStepsTogether
	case b.steps < 0:
		b.err = errSteps
	case b.steps%clockEvery == 0 && b.late():
		b.err = errTime
	case b.steps%stackEvery == 0 && b.running.IsValid() && stackSize(b.running) > b.programs.limits.Memory:
		b.err = errStack
	default:
		return nil
	}
	return closed
}

// late tells whether the time is over. An evaluation that takes long waits for its turns, which does not count.
func (b *budget) late() bool {
	limits := &b.programs.limits
	switch {
	case b.turns != nil && b.steps%showEvery == 0:
		b.deadline = b.deadline.Add(b.turns.Show())
	case b.turns == nil && b.meter.TookLong(b.first-b.steps):
		b.turns = b.meter.Turns
		b.deadline = limits.Now().Add(limits.Time)
	}
	return limits.Now().After(b.deadline)
}

// Err returns what has run out.
func (b *budget) Err() error { return b.err }

// Deadline is part of context.Context. The interpreter doesn't ask.
func (*budget) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is part of context.Context. The interpreter doesn't ask.
func (*budget) Value(any) any { return nil }

// failf stops the evaluation.
func (b *budget) failf(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// charge takes bytes from the memory, and tells whether there is any left.
func (b *budget) charge(n int64) bool {
	b.memory -= n
	switch {
	case b.memory >= b.unnoted:
	case b.memory < 0:
		if b.err == nil {
			b.err = errMemory
		}
	default:
		b.unnoted = 0
		if b.meter != nil && b.meter.Turns != nil {
			b.meter.Turns.Large()
		}
	}
	return b.err == nil
}

// What values take in memory, in bytes, about.
const (
	elementSize  = 16
	propertySize = 64
	bigBits      = 4096 // of the largest integer that can be calculated with
)

// width returns what the outermost level of a value takes.
func width(v any) int64 {
	switch v := v.(type) {
	case string:
		return elementSize + int64(len(v))
	case json.Number:
		return elementSize + int64(len(v))
	case []any:
		return elementSize * int64(1+len(v))
	case map[string]any:
		return propertySize * int64(1+len(v))
	case *big.Int:
		return elementSize + int64(v.BitLen())/8
	default:
		return elementSize
	}
}

// walk charges a whole value, factor times. It visits shared parts as often as they occur, as whatever encodes or
// compares the value will.
func (b *budget) walk(v any, factor int64, depth int) {
	if !b.charge(factor*width(v)) || b.tooDeep(depth) {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if b.walk(e, factor, depth+1); b.err != nil {
				return
			}
		}
	case map[string]any:
		for k, e := range v {
			b.charge(factor * int64(len(k)))
			if b.walk(e, factor, depth+1); b.err != nil {
				return
			}
		}
	default:
		b.checkNumber(v)
	}
}

func (b *budget) tooDeep(depth int) bool {
	if depth > maxDepth {
		b.failf("a value nests more than %d deep", maxDepth)
		return true
	}
	return false
}

// checkNumber stops at numbers that take long to calculate with.
func (b *budget) checkNumber(v any) {
	switch v := v.(type) {
	case json.Number:
		if len(v) > maxDigits {
			b.failf("a number has more than %d digits", maxDigits)
		}
	case *big.Int:
		if v.BitLen() > bigBits {
			b.failf("a number has more than %d bits", bigBits)
		}
	}
}

// compare charges the comparison of two values: it goes only as far as both do.
func (b *budget) compare(l, r any, depth int) {
	if !b.charge(elementSize) || b.tooDeep(depth) {
		return
	}
	switch l := l.(type) {
	case []any:
		if r, ok := r.([]any); ok {
			for i := range min(len(l), len(r)) {
				if b.compare(l[i], r[i], depth+1); b.err != nil {
					return
				}
			}
		}
	case map[string]any:
		if r, ok := r.(map[string]any); ok {
			if !b.charge(elementSize * 4 * int64(len(l)+len(r))) { // the names of both are sorted
				return
			}
			for k := range l {
				if b.compare(l[k], r[k], depth+1); b.err != nil {
					return
				}
			}
		}
	case string:
		if r, ok := r.(string); ok {
			b.charge(int64(min(len(l), len(r)) / 8))
		}
	default:
		b.checkNumber(l)
		b.checkNumber(r)
	}
}

// contain charges the search of one value in another, which tries each element with each.
func (b *budget) contain(l, r any, depth int) {
	if !b.charge(elementSize) || b.tooDeep(depth) {
		return
	}
	switch l := l.(type) {
	case []any:
		r, _ := r.([]any)
		for _, want := range r {
			for _, have := range l {
				if b.contain(have, want, depth+1); b.err != nil {
					return
				}
			}
		}
	case map[string]any:
		r, _ := r.(map[string]any)
		for k, want := range r {
			if have, ok := l[k]; ok {
				if b.contain(have, want, depth+1); b.err != nil {
					return
				}
			}
		}
	case string:
		if r, ok := r.(string); ok {
			b.charge(int64(len(l)+len(r)) / 4)
		}
	default:
		b.checkNumber(l)
		b.checkNumber(r)
	}
}

// order charges the sorting of a list.
func (b *budget) order(keys any) {
	if l, ok := keys.([]any); ok {
		b.walk(l, 2+int64(bits.Len(uint(len(l)))), 0)
	}
}

// looksLong tells whether JSON may hold a number of too many digits. It looks at few bytes only: a run of maxDigits
// of them can't be missed.
func looksLong(text []byte) bool {
	for i := maxDigits - 1; i < len(text); i += maxDigits {
		if !inNumber(text[i]) {
			continue
		}
		start, end := i, i
		for start > 0 && inNumber(text[start-1]) {
			start--
		}
		for end < len(text) && inNumber(text[end]) && end-start <= maxDigits {
			end++
		}
		if end-start > maxDigits {
			return true
		}
	}
	return false
}

func inNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}
