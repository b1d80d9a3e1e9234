package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// programs compiles the expressions of a definition. Equal ones are compiled once.
type programs struct {
	limits   Limits
	known    map[programKey]workflow.Expr
	count    int
	patterns *patterns
	runtime  map[string]any
}

type programKey struct {
	text, vars string
	args       argument
	timeless   bool
}

func newPrograms(limits Limits) *programs {
	return &programs{
		limits:   limits,
		known:    make(map[programKey]workflow.Expr),
		patterns: newPatterns(),
		runtime: map[string]any{
			"name": "holdfast", "version": limits.Runtime, "metadata": map[string]any{},
		},
	}
}

// compile compiles the text of an expression, without ${ }. Its error is an expressionError if its place is known.
func (p *programs) compile(text string, at place, vars []string) (workflow.Expr, error) {
	key := programKey{text, strings.Join(vars, ","), at.args, at.timeless}
	if e, ok := p.known[key]; ok {
		return e, nil
	}
	e, err := p.compileNew(text, at, vars)
	if err == nil {
		p.known[key] = e
	}
	return e, err
}

func (p *programs) compileNew(text string, at place, vars []string) (workflow.Expr, error) {
	q, err := gojq.Parse(text)
	if err != nil {
		var wrong *gojq.ParseError
		if !errors.As(err, &wrong) {
			return nil, fmt.Errorf("parse: %w", err)
		}
		message, offset := "it ends too early", max(0, min(wrong.Offset-len(wrong.Token), len(text)))
		if wrong.Token != "" {
			message = fmt.Sprintf("unexpected %s", shorten(wrong.Token, 40))
		}
		if advice := parseAdvice(text, offset, wrong.Token, at.condition); advice != "" {
			message += ": " + advice
		}
		return nil, &expressionError{offset, message}
	}
	r := &rewriter{library: prelude(), text: text, place: at, vars: vars, needed: make(map[string]bool)}
	if e := plain(q, vars); e != nil {
		if path, ok := e.(*path); ok && path.root != "" {
			r.variableUse(path.root, nil)
		}
		if r.wrong != nil {
			return nil, r.wrong
		}
		return e, nil
	}
	r.places = locations(text)
	q = r.query(q, nil)
	if r.wrong != nil {
		return nil, r.wrong
	}
	if p.count++; p.count > p.limits.Expressions {
		return nil, fmt.Errorf("the definition has more than %d expressions that need jq: split the workflow",
			p.limits.Expressions)
	}
	q.FuncDefs = append(r.library.definitions(r.needed), q.FuncDefs...)
	options := append([]gojq.CompilerOption{
		gojq.WithVariables(append([]string{budgetVariable}, r.used...)),
	}, budgetFunctions()...)
	code, err := gojq.Compile(q, options...)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return &program{text: shorten(strings.TrimSpace(text), 200), code: code, uses: r.used, programs: p}, nil
}

// program is an expression that needs jq.
type program struct {
	text     string
	code     *gojq.Code
	uses     []string
	programs *programs
}

func (e *program) Eval(in *workflow.Value, args *workflow.Args) (*workflow.Value, error) {
	result, err := e.run(in, args)
	if err != nil {
		return nil, e.wrap(err)
	}
	v, err := e.encode(result)
	if err != nil {
		return nil, e.wrap(err)
	}
	return v, nil
}

func (e *program) Bool(in *workflow.Value, args *workflow.Args) (bool, error) {
	result, err := e.run(in, args)
	if err != nil {
		return false, e.wrap(err)
	}
	return result != nil && result != false, nil
}

func (e *program) wrap(err error) error { return fmt.Errorf("expression %s: %w", e.text, err) }

// run evaluates the program.
func (e *program) run(in *workflow.Value, args *workflow.Args) (any, error) {
	b := e.programs.budget(args)
	defer b.ended()
	input, err := b.decode(in)
	if err != nil {
		return nil, err
	}
	values := make([]any, 1+len(e.uses))
	values[0] = b
	for i, name := range e.uses {
		if values[1+i], err = b.variable(name, args); err != nil {
			return nil, err
		}
	}
	if b.err != nil {
		return nil, b.err
	}
	results := e.code.RunWithContext(b, input, values...)
	b.running = reflect.ValueOf(results).Elem()
	result, ok := results.Next()
	if !ok {
		return nil, errors.New("it yields no value, but exactly one is needed")
	}
	if err, ok := result.(error); ok {
		return nil, b.explain(err)
	}
	more, ok := results.Next()
	if !ok {
		return result, nil
	}
	if err, ok := more.(error); ok {
		return nil, b.explain(err)
	}
	return nil, errors.New("it yields more than one value, but exactly one is needed: put [ ] around it for a list")
}

// explain turns an error of the interpreter into one for people. It never encodes a value in full: that could take
// any time.
func (b *budget) explain(err error) error {
	if b.err != nil {
		return b.err
	}
	var raised gojq.ValueError
	if !errors.As(err, &raised) {
		return errors.New(strings.ToValidUTF8(err.Error(), "\uFFFD"))
	}
	if s, ok := raised.Value().(string); ok {
		if len(s) > 1000 {
			s = s[:1000] + "…"
		}
		return errors.New(strings.ToValidUTF8(s, "\uFFFD"))
	}
	return errors.New(gojq.Preview(raised.Value()))
}

// decode returns a value as the interpreter wants it.
func (b *budget) decode(v *workflow.Value) (any, error) {
	decoded, err := v.Any()
	if err != nil {
		return nil, err
	}
	if text := v.JSON(); len(text) > maxDigits && looksLong(text) {
		b.walk(decoded, 1, 0)
	}
	return decoded, nil
}

// variable returns the value of a variable that the program doesn't define.
func (b *budget) variable(name string, args *workflow.Args) (any, error) {
	switch name {
	case "$context":
		return b.decode(args.Context)
	case "$input":
		return b.decode(args.Input)
	case "$output":
		return b.decode(args.Output)
	case "$runtime":
		return b.programs.runtime, nil
	case "$workflow":
		input, err := b.decode(args.Workflow.Input)
		if err != nil {
			return nil, err
		}
		var document any
		if args.Workflow.Definition != nil {
			document = args.Workflow.Definition.Document
		}
		return map[string]any{
			"id":         string(args.Workflow.ID),
			"definition": document,
			"input":      input,
			"startedAt":  dateTime(args.Workflow.StartedAt),
		}, nil
	case "$task":
		return b.task(args.Task)
	default:
		return b.decode(variableValue(args, name[1:]))
	}
}

func (b *budget) task(t *workflow.TaskArg) (any, error) {
	if t == nil || t.Task == nil {
		return nil, nil //nolint:nilnil // null is a value
	}
	input, err := b.decode(t.Input)
	if err != nil {
		return nil, err
	}
	output, err := b.decode(t.Output)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if definition, is := t.Task.Raw.(map[string]any); is && t.Task.Extended { // as the specification's own example has it
		maps.Copy(out, definition)
	}
	maps.Copy(out, map[string]any{
		"name":       t.Task.Name,
		"reference":  t.Task.Ref,
		"definition": t.Task.Raw,
		"input":      input,
		"output":     output,
		"startedAt":  dateTime(t.StartedAt),
	})
	return out, nil
}

// dateTime is a time, in nanoseconds since 1970, as expressions see it.
func dateTime(at int64) map[string]any {
	t := time.Unix(0, at).UTC()
	return map[string]any{
		"iso8601": t.Format(time.RFC3339Nano),
		"epoch":   map[string]any{"seconds": int(t.Unix()), "milliseconds": int(t.UnixMilli())},
	}
}

// encode turns the result of a program into a value.
func (e *program) encode(result any) (*workflow.Value, error) {
	limits := &e.programs.limits
	m := measure{left: limits.Result, exact: true}
	m.visit(result, limits.ResultDepth)
	switch {
	case m.left < 0:
		return nil, fmt.Errorf("its result has more than %d bytes", limits.Result)
	case m.tooDeep:
		return nil, fmt.Errorf("its result nests more than %d deep", limits.ResultDepth)
	}
	text, err := gojq.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if len(text) > limits.Result {
		return nil, fmt.Errorf("its result has more than %d bytes", limits.Result)
	}
	if !m.exact {
		return workflow.NewValue(text), nil
	}
	return workflow.NewDecoded(text, result), nil
}

// measure finds out, before a value is encoded, whether that would take too many bytes.
type measure struct {
	left    int
	tooDeep bool
	// exact tells that decoding what is encoded gives the same value.
	exact bool
}

func (m *measure) visit(v any, depth int) {
	if m.left--; m.left < 0 || m.tooDeep {
		return
	}
	switch v := v.(type) {
	case string:
		m.left -= len(v) + 1
		m.exact = m.exact && utf8.ValidString(v)
	case json.Number:
		m.left -= len(v) - 1
	case float64:
		m.exact = m.exact && !math.IsNaN(v) && !math.IsInf(v, 0)
	case *big.Int:
		m.left -= v.BitLen() / 4
	case []any:
		m.tooDeep = m.tooDeep || depth == 0
		for _, e := range v {
			if m.visit(e, depth-1); m.left < 0 || m.tooDeep {
				return
			}
		}
	case map[string]any:
		m.tooDeep = m.tooDeep || depth == 0
		for k, e := range v {
			m.left -= len(k) + 3
			m.exact = m.exact && utf8.ValidString(k)
			if m.visit(e, depth-1); m.left < 0 || m.tooDeep {
				return
			}
		}
	}
}
