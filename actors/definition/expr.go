package definition

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// isExpression tells whether a string is an expression in ${ }.
func isExpression(s string) bool {
	s = strings.TrimSpace(s)
	return strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}")
}

// isExpression tells whether the node is an expression in ${ }.
func (n *node) isExpression() bool { return n.kind == stringKind && isExpression(n.text) }

// bare compiles a property that is an expression, with or without ${ }; nil after a mistake.
func (c *compiler) bare(n *node, name string, p place, vars []string) workflow.Expr {
	if n.kind != stringKind {
		c.atf(n, "%q must be an expression, a string such as .ready, but is %s", name, n.describe())
		return nil
	}
	if c.loose && !p.condition {
		return c.template(n, p, vars)
	}
	return c.expression(n, n.text, p, vars)
}

// loosely compiles a text that may be an expression, in the mode loose; nil if it is none, or the mode is another one.
func (c *compiler) loosely(n *node, p place, vars []string) workflow.Expr {
	text := inner(n.text)
	if !c.loose || strings.TrimSpace(text) == "" || len(text) > c.limits.Expression || namesSecrets(text) {
		return nil
	}
	e, err := c.programs.compile(text, p, vars)
	if err != nil {
		return nil
	}
	encoded, _ := gojq.Marshal(n.text) // a string can always be encoded
	return &loose{e, workflow.NewDecoded(encoded, n.text)}
}

// loose is an expression that yields its own text where it can't be evaluated.
type loose struct {
	workflow.Expr

	text *workflow.Value
}

// Eval implements workflow.Expr.
func (e *loose) Eval(in *workflow.Value, args *workflow.Args) (*workflow.Value, error) {
	if v, err := e.Expr.Eval(in, args); err == nil {
		return v, nil
	}
	return e.text, nil
}

// Bool implements workflow.Expr.
func (e *loose) Bool(in *workflow.Value, args *workflow.Args) (bool, error) {
	v, err := e.Eval(in, args)
	return err == nil && truth(v), err
}

// expression compiles the expression in text, with which the string of n begins; nil after a mistake.
func (c *compiler) expression(n *node, text string, p place, vars []string) workflow.Expr {
	offset := 0
	if isExpression(text) {
		offset = strings.Index(text, "${") + len("${")
	}
	text = inner(text)
	if strings.TrimSpace(text) == "" {
		c.atf(n, "the expression of %q is empty: write one, such as . for the input", n.property())
		return nil
	}
	if len(text) > c.limits.Expression {
		c.atf(n, "the expression of %q has %d bytes, more than the %d allowed: split it over several tasks",
			n.property(), len(text), c.limits.Expression)
		return nil
	}
	e, err := c.programs.compile(text, p, vars)
	if err == nil {
		c.checkExpression(n, text)
		return e
	}
	var wrong *expressionError
	if !errors.As(err, &wrong) {
		c.atf(n, "the expression %s of %q is wrong: %v", shorten(strings.TrimSpace(text), 120), n.property(), err)
		return nil
	}
	line, column, pointer, in := n.place(n.line)
	if n.inner > 0 && in == "" {
		column = n.inner + len([]rune(n.text[:offset+wrong.offset]))
	}
	c.add(line, column, pointer,
		fmt.Sprintf("the expression %s of %q is wrong: %v", shorten(strings.TrimSpace(text), 120), n.property(), wrong)+in)
	return nil
}

// expressionError is what is wrong with an expression, and where.
type expressionError struct {
	offset  int // in bytes
	message string
}

func (e *expressionError) Error() string { return e.message }

// template compiles a value in which each string in ${ } is an expression, and everything else constant; nil after a
// mistake.
func (c *compiler) template(n *node, p place, vars []string) workflow.Expr {
	key := templateKey{n, p.args, strings.Join(vars, ",")}
	e, done := c.templates[key]
	if !done {
		e = c.newTemplate(n, p, vars)
		c.templates[key] = e
	}
	return e
}

type templateKey struct {
	n    *node
	args argument
	vars string
}

func (c *compiler) newTemplate(n *node, p place, vars []string) workflow.Expr {
	b := &templateBuilder{c: c, place: p, vars: vars}
	if !b.add(n) {
		return nil
	}
	switch {
	case len(b.parts) == 0:
		return &constant{workflow.NewDecoded(b.literal.Bytes(), n.value())}
	case n.kind == stringKind:
		return b.parts[0].expr
	default:
		return &template{parts: b.parts, tail: b.literal.Bytes(), limits: &c.limits}
	}
}

type templateBuilder struct {
	c       *compiler
	place   place
	vars    []string
	literal bytes.Buffer // since the last part
	parts   []part
	// at is the JSON pointer of what is added. seal takes expressions that name secrets; nil: there must be none.
	at   string
	seal func(n *node, at string)
}

// part adds what an expression makes.
func (b *templateBuilder) part(e workflow.Expr) {
	b.parts = append(b.parts, part{before: bytes.Clone(b.literal.Bytes()), expr: e})
	b.literal.Reset()
}

func (b *templateBuilder) add(n *node) bool {
	ok := true
	defer func(at string) { b.at = at }(b.at)
	above := b.at + "/"
	switch n.kind {
	case objectKind:
		b.literal.WriteByte('{')
		for i, item := range n.items {
			if i > 0 {
				b.literal.WriteByte(',')
			}
			b.c.checkName(n, n.keys[i])
			writeString(&b.literal, n.keys[i].name)
			b.literal.WriteByte(':')
			b.at = above + messages.EscapePointer(n.keys[i].name)
			ok = b.add(item) && ok
		}
		b.literal.WriteByte('}')
	case listKind:
		b.literal.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.literal.WriteByte(',')
			}
			b.at = above + strconv.Itoa(i)
			ok = b.add(item) && ok
		}
		b.literal.WriteByte(']')
	case stringKind:
		if e := b.c.loosely(n, b.place, b.vars); e != nil {
			b.part(e)
			break
		}
		if b.c.loose || !isExpression(n.text) {
			b.c.checkText(n, b.vars)
			writeString(&b.literal, n.text)
			break
		}
		if b.seal != nil && namesSecrets(n.text) {
			b.literal.WriteString("null")
			b.seal(n, b.at)
			break
		}
		e := b.c.expression(n, n.text, b.place, b.vars)
		b.part(e)
		ok = e != nil
	default:
		b.literal.WriteString(n.text)
	}
	return ok
}

func writeString(b *bytes.Buffer, s string) {
	encoded, _ := gojq.Marshal(s) // a string can always be encoded
	b.Write(encoded)
}

// constant is a value known at deployment.
type constant struct{ value *workflow.Value }

func (e *constant) Eval(*workflow.Value, *workflow.Args) (*workflow.Value, error) {
	return e.value, nil
}

func (e *constant) Bool(*workflow.Value, *workflow.Args) (bool, error) { return truth(e.value), nil }

// truth tells whether a value holds: everything but false and null does.
func truth(v *workflow.Value) bool {
	json := bytes.TrimSpace(v.JSON())
	return !bytes.Equal(json, []byte("false")) && !bytes.Equal(json, []byte("null"))
}

// template is a value made of constant text and of the results of expressions.
type template struct {
	parts  []part
	tail   []byte
	limits *Limits
}

// part is constant text followed by an expression.
type part struct {
	before []byte
	expr   workflow.Expr
}

func (e *template) Eval(in *workflow.Value, args *workflow.Args) (*workflow.Value, error) {
	var room [8]*workflow.Value
	values := room[:0]
	size := len(e.tail)
	for _, p := range e.parts {
		v, err := p.expr.Eval(in, args)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if args.Meter.Counted() > e.limits.Steps {
			return nil, errStepsTogether
		}
		if size += len(p.before) + len(v.JSON()); size > e.limits.Result {
			return nil, fmt.Errorf("the result has more than %d bytes", e.limits.Result)
		}
	}
	out := make([]byte, 0, size)
	for i, p := range e.parts {
		out = append(out, p.before...)
		out = append(out, values[i].JSON()...)
	}
	out = append(out, e.tail...)
	if nestsDeeper(out, e.limits.ResultDepth) {
		return nil, fmt.Errorf("the result nests more than %d deep", e.limits.ResultDepth)
	}
	return workflow.NewValue(out), nil
}

func (e *template) Bool(in *workflow.Value, args *workflow.Args) (bool, error) {
	v, err := e.Eval(in, args)
	if err != nil {
		return false, err
	}
	return truth(v), nil
}

// identity gives its input back.
type identity struct{}

func (identity) Eval(in *workflow.Value, _ *workflow.Args) (*workflow.Value, error) { return in, nil }

func (identity) Bool(in *workflow.Value, _ *workflow.Args) (bool, error) { return truth(in), nil }

// plain turns a program that needs no jq into an expression; nil if it needs jq.
func plain(q *gojq.Query, vars []string) workflow.Expr {
	if v, ok := literal(q); ok {
		encoded, _ := gojq.Marshal(v) // a literal can always be encoded
		return &constant{workflow.NewDecoded(encoded, v)}
	}
	if !isTerm(q) {
		return nil
	}
	t := q.Term
	suffixes := t.SuffixList
	p := &path{}
	switch t.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		suffixes = append([]*gojq.Suffix{{Index: t.Index}}, suffixes...)
	case gojq.TermTypeFunc:
		if len(t.Func.Args) > 0 || !strings.HasPrefix(t.Func.Name, "$") {
			return nil
		}
		p.root = t.Func.Name
	default:
		return nil
	}
	for _, s := range suffixes {
		if s.Index == nil || s.Iter || s.Optional {
			return nil
		}
		step, ok := stepOf(s.Index)
		if !ok {
			return nil
		}
		p.steps = append(p.steps, step)
	}
	if p.root == "" && len(p.steps) == 0 {
		return identity{}
	}
	if !p.resolve(vars) {
		return nil
	}
	return p
}

func isTerm(q *gojq.Query) bool {
	return q != nil && q.Term != nil && len(q.FuncDefs) == 0 && len(q.Imports) == 0 && q.Meta == nil
}

// stepOf returns a constant index.
func stepOf(i *gojq.Index) (step, bool) {
	switch {
	case i.IsSlice:
		return step{}, false
	case i.Name != "":
		return step{key: i.Name}, true
	case i.Str != nil:
		return step{key: i.Str.Str}, i.Str.Queries == nil
	}
	v, ok := literal(i.Start)
	if !ok {
		return step{}, false
	}
	switch v := v.(type) {
	case string:
		return step{key: v}, true
	case int:
		return step{index: v, isIndex: true}, true
	default:
		return step{}, false
	}
}

// literal returns the value of a program that is nothing but a string, number, true, false or null.
func literal(q *gojq.Query) (any, bool) {
	if !isTerm(q) || len(q.Term.SuffixList) > 0 {
		return nil, false
	}
	t := q.Term
	switch t.Type {
	case gojq.TermTypeNull:
		return nil, true
	case gojq.TermTypeTrue:
		return true, true
	case gojq.TermTypeFalse:
		return false, true
	case gojq.TermTypeString:
		return t.Str.Str, t.Str.Queries == nil
	case gojq.TermTypeNumber:
		return number(t.Number)
	case gojq.TermTypeUnary:
		if t.Unary.Op == gojq.OpSub && t.Unary.Term.Type == gojq.TermTypeNumber && len(t.Unary.Term.SuffixList) == 0 {
			return number("-" + t.Unary.Term.Number)
		}
		return nil, false
	default:
		return nil, false
	}
}

// number reads a numeric literal as jq does, unless it is too large for Go's own numbers.
func number(text string) (any, bool) {
	if i, err := strconv.Atoi(text); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && strings.ContainsAny(text, ".eE")
}
