package definition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// rewriter changes a parsed program so that the budget bounds it: it puts calls into the budget before operations that
// can make or visit much at once, and replaces functions of the language by those of the prelude. On the way it checks
// the names that the program uses.
type rewriter struct {
	library *library
	text    string
	place   place
	vars    []string
	// inPrelude allows what only the prelude may write.
	inPrelude bool

	depth int
	// places are the lines on which $__loc__ stands, those that are still to come.
	places []int
	// used are the variables used that the program doesn't define, in order of appearance.
	used []string
	// needed are the functions of the prelude that are called.
	needed map[string]bool
	// wrong is the first thing found wrong.
	wrong *expressionError
}

// The names of the variables that the rewriter brings in. No program can write them.
const (
	budgetVariable = "$__budget"
	leftVariable   = "$__left"
	rightVariable  = "$__right"
	cellVariable   = "$__cell"
)

// maxNesting is how deep programs may nest.
const maxNesting = 1000

// names are what a program has defined at some point, the innermost first.
type names struct {
	name string // of a variable with its $, of a function with the number of its arguments
	next *names
}

func (n *names) with(name string) *names { return &names{name, n} }

func (n *names) has(name string) bool {
	for ; n != nil; n = n.next {
		if n.name == name {
			return true
		}
	}
	return false
}

// failf notes what is wrong with a part of the program.
func (r *rewriter) failf(part, format string, args ...any) {
	if r.wrong == nil {
		r.wrong = &expressionError{offset: wordAt(r.text, part), message: fmt.Sprintf(format, args...)}
	}
}

// wordAt returns where a word stands in a text, 0 if it doesn't.
func wordAt(text, word string) int {
	isWord := func(c byte) bool {
		return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	for at := 0; word != ""; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			break
		}
		start, end := at+i, at+i+len(word)
		if (start == 0 || !isWord(text[start-1])) && (end == len(text) || !isWord(text[end])) {
			return start
		}
		at = end
	}
	return 0
}

func (r *rewriter) query(q *gojq.Query, n *names) *gojq.Query {
	if q == nil || r.wrong != nil {
		return q
	}
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxNesting {
		r.failf("", "it nests more than %d deep", maxNesting)
		return q
	}
	if q.Meta != nil || len(q.Imports) > 0 {
		r.failf("", "there are no modules: \"module\", \"import\" and \"include\" are refused")
		return q
	}
	defs := q.FuncDefs
	for _, def := range defs {
		n = r.funcDef(def, n)
	}
	result := r.operation(q, n)
	result.FuncDefs = defs
	return result
}

// funcDef changes the definition of a function. It returns the names known after it.
func (r *rewriter) funcDef(def *gojq.FuncDef, n *names) *names {
	r.checkName(def.Name)
	own := functionKey(def.Name, len(def.Args))
	if r.inPrelude && r.depth == 0 {
		own = "" // calls of itself are calls of the library
	}
	outer := n.with(own)
	inner := outer
	for _, arg := range def.Args {
		r.checkName(strings.TrimPrefix(arg, "$"))
		if strings.HasPrefix(arg, "$") {
			inner = inner.with(arg)
		}
		inner = inner.with(functionKey(strings.TrimPrefix(arg, "$"), 0))
	}
	size := sizeOf(def.Body)
	def.Body = r.query(def.Body, inner)
	if !r.inPrelude {
		// A call takes a frame with room for the variables of the function.
		def.Body = pipe(charge("frame", integer(size*elementSize)), def.Body)
	}
	return outer
}

func (r *rewriter) checkName(name string) {
	if !r.inPrelude && strings.HasPrefix(name, "__") {
		r.failf(name, "the name %q is reserved: choose one that doesn't begin with __", name)
	}
}

// maxFreeFrame is how many variables an argument of a function may have that takes its frame for free.
const maxFreeFrame = 64

// sizeOf estimates the variables of a function, those without a name too, from the length of its text.
func sizeOf(body *gojq.Query) int { return 4 + len(body.String())/2 }

// operation changes a query without its function definitions.
func (r *rewriter) operation(q *gojq.Query, n *names) *gojq.Query {
	if q.Term != nil {
		return &gojq.Query{Term: r.term(q.Term, n)}
	}
	switch q.Op {
	case gojq.OpPipe:
		left := r.query(q.Left, n)
		for _, p := range q.Patterns {
			n = r.pattern(p, n)
		}
		return &gojq.Query{Left: left, Op: q.Op, Patterns: q.Patterns, Right: r.query(q.Right, n)}
	case gojq.OpAssign:
		left, right := r.query(q.Left, n), r.query(q.Right, n)
		if whole, each := eachOf(left); each {
			return bind(right, rightVariable, r.modify(whole, r.library1(call("map_values", variable(rightVariable)))))
		}
		return r.library1(call("_assign", left, right))
	case gojq.OpModify:
		return r.modify(r.query(q.Left, n), r.query(q.Right, n))
	case gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod:
		left, right := r.query(q.Left, n), r.query(q.Right, n)
		op := q.Op - gojq.OpUpdateAdd + gojq.OpAdd
		return bind(right, rightVariable, r.modify(left, guarded(op, identityTerm(), variable(rightVariable))))
	case gojq.OpUpdateAlt:
		left, right := r.query(q.Left, n), r.query(q.Right, n)
		alternative := &gojq.Query{Left: identityTerm(), Op: gojq.OpAlt, Right: variable(rightVariable)}
		return bind(right, rightVariable, r.modify(left, alternative))
	default:
		return guarded(q.Op, r.query(q.Left, n), r.query(q.Right, n))
	}
}

// modify is left |= right. What goes over all elements of left's values is done for each value at once: path by path,
// each would copy its value.
func (r *rewriter) modify(left, right *gojq.Query) *gojq.Query {
	if whole, each := eachOf(left); each {
		left, right = whole, r.library1(call("map_values", right))
	}
	return r.library1(call("_modify", left, right))
}

// eachOf tells whether a query goes over all elements of values, and over which.
func eachOf(q *gojq.Query) (whole *gojq.Query, ok bool) {
	if !isTerm(q) || len(q.Term.SuffixList) == 0 {
		return nil, false
	}
	last := len(q.Term.SuffixList) - 1
	t := *q.Term
	t.SuffixList = t.SuffixList[:last:last]
	return &gojq.Query{Term: &t}, q.Term.SuffixList[last].Iter
}

// guarded applies an operator, by way of the budget if it can make or visit much at once.
func guarded(op gojq.Operator, left, right *gojq.Query) *gojq.Query {
	o, ok := operations[op]
	if !ok || isCheap(op, left) || isCheap(op, right) {
		return &gojq.Query{Left: left, Op: op, Right: right}
	}
	return charge(o.name, left, right)
}

// isCheap tells whether an operator can't do much if this is one of its sides: a literal, except what makes strings
// and numbers grow.
func isCheap(op gojq.Operator, q *gojq.Query) bool {
	v, ok := literal(q)
	if !ok {
		return false
	}
	switch op {
	case gojq.OpAdd, gojq.OpSub:
		_, isString := v.(string)
		return !isString
	case gojq.OpMul, gojq.OpDiv, gojq.OpMod:
		return false
	default:
		return true
	}
}

// pattern changes the expressions in a pattern. It returns the names known after it.
func (r *rewriter) pattern(p *gojq.Pattern, n *names) *names {
	if p.Name != "" {
		r.checkName(p.Name[1:])
		return n.with(p.Name)
	}
	for _, e := range p.Array {
		n = r.pattern(e, n)
	}
	for _, o := range p.Object {
		if strings.HasPrefix(o.Key, "$") {
			r.checkName(o.Key[1:])
			n = n.with(o.Key)
		}
		if o.KeyString != nil && o.KeyString.Queries != nil {
			o.KeyQuery, o.KeyString = r.interpolation(o.KeyString, "tostring", n), nil
		} else if o.KeyQuery != nil {
			o.KeyQuery = pipe(r.query(o.KeyQuery, n), charge("index"))
		}
		if o.Val != nil {
			n = r.pattern(o.Val, n)
		}
	}
	return n
}

// variableUse checks the use of a variable.
func (r *rewriter) variableUse(name string, n *names) {
	if n.has(name) || r.inPrelude {
		return
	}
	if message := variableProblem(name, r.place, r.vars); message != "" {
		r.failf(name, "%s", message)
		return
	}
	if !slices.Contains(r.used, name) {
		r.used = append(r.used, name)
	}
}

// variableProblem says why a variable can't be used at a place, or "".
func variableProblem(name string, p place, vars []string) string {
	if why := refused[name]; why != "" {
		return fmt.Sprintf("%s is refused: %s", name, why)
	}
	if slices.Contains(secretArguments, name) {
		return fmt.Sprintf("%s has no value here, so that nothing secret gets into the journal: use it in the \"with\" of \"call: http\"", name)
	}
	if a, ok := argumentNames[name]; ok {
		if p.args&a == 0 {
			if p.hint != "" {
				return fmt.Sprintf("%s has no value in %s: %s", name, p.name, p.hint)
			}
			return fmt.Sprintf("%s has no value in %s: there are %s", name, p.name, strings.Join(p.variables(vars), ", "))
		}
		return ""
	}
	if slices.Contains(vars, name[1:]) {
		return ""
	}
	return fmt.Sprintf("there is no variable %s: %s", name, variableAdvice(name, p, vars))
}

// variables lists what can be used at a place.
func (p place) variables(vars []string) []string {
	var list []string
	for _, name := range []string{"$context", "$input", "$output", "$task", "$workflow", "$runtime"} {
		if p.args&argumentNames[name] != 0 {
			list = append(list, name)
		}
	}
	for _, v := range vars {
		list = append(list, "$"+v)
	}
	return list
}

// function changes a call.
func (r *rewriter) function(f *gojq.Func, n *names) *gojq.Func {
	if strings.HasPrefix(f.Name, "$") {
		r.variableUse(f.Name, n)
		return f
	}
	args := make([]*gojq.Query, len(f.Args))
	for i, arg := range f.Args {
		size := sizeOf(arg)
		args[i] = r.query(arg, n)
		if size > maxFreeFrame && !r.inPrelude {
			args[i] = pipe(charge("frame", integer(size*elementSize)), args[i])
		}
	}
	key := functionKey(f.Name, len(args))
	if n.has(key) {
		return &gojq.Func{Name: f.Name, Args: args}
	}
	if name, ok := strings.CutPrefix(f.Name, "raw::"); ok && r.inPrelude {
		return &gojq.Func{Name: name, Args: args}
	}
	if name, ok := strings.CutPrefix(f.Name, "free::"); ok && r.inPrelude {
		return &gojq.Func{Name: budgetName(name)}
	}
	if name, ok := strings.CutPrefix(f.Name, "go::"); ok && r.inPrelude {
		return charge(name, args...).Term.Func
	}
	_, inLibrary := r.library.functions[key]
	switch {
	case r.place.timeless && timed[key]:
		r.failf(f.Name, "the function %s is refused in %s, which has to be the same when the order is submitted again: give the order what it "+
			"needs in its input", f.Name, r.place.name)
	case inLibrary && (r.inPrelude || !strings.HasPrefix(f.Name, "_")):
		r.needed[key] = true
		return &gojq.Func{Name: libraryName(f.Name), Args: args}
	case harmless[key]:
		return &gojq.Func{Name: f.Name, Args: args}
	case refused[f.Name] != "":
		r.failf(f.Name, "the function %s is refused: %s", f.Name, refused[f.Name])
	case len(r.library.arities[f.Name]) > 0 && !strings.HasPrefix(f.Name, "_"):
		r.failf(f.Name, "the function %s has %d arguments here, but takes %s", f.Name, len(args),
			strings.Trim(strings.ReplaceAll(fmt.Sprint(r.library.arities[f.Name]), " ", " or "), "[]"))
	default:
		r.failf(f.Name, "there is no function %s%s", f.Name, r.functionAdvice(f.Name, len(args)))
	}
	return f
}

// library1 makes a query of a call of a function of the prelude whose arguments are done.
func (r *rewriter) library1(q *gojq.Query) *gojq.Query {
	f := q.Term.Func
	r.needed[functionKey(f.Name, len(f.Args))] = true
	f.Name = libraryName(f.Name)
	return q
}

// The parts of which queries are made.

func call(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}}
}

// charge is a call into the budget.
func charge(name string, args ...*gojq.Query) *gojq.Query {
	return call(budgetName(name), append([]*gojq.Query{variable(budgetVariable)}, args...)...)
}

func budgetName(name string) string { return "__" + name }

func variable(name string) *gojq.Query { return call(name) }

func pipe(left, right *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: left, Op: gojq.OpPipe, Right: right}
}

func bind(value *gojq.Query, name string, body *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: value, Op: gojq.OpPipe, Patterns: []*gojq.Pattern{{Name: name}}, Right: body}
}

func nullTerm() *gojq.Query { return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNull}} }

func identityTerm() *gojq.Query { return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}} }

func integer(i int) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNumber, Number: fmt.Sprint(i)}}
}
