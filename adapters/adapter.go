package adapters

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/jsonscan"
)

// Adapter is a set of activities under one name. Make it with New, add activities with Handle and HandleWith, then call
// Main or Run.
type Adapter struct {
	name       string
	activities []*activity
	mistakes   []error
}

// The bounds of an activity.
const (
	defaultConcurrency = 16
	maxConcurrency     = 65_536
	maxActivities      = 1024
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// execution runs an activity's function on encoded values.
type execution func(ctx context.Context, resource any, t Task, input []byte) ([]byte, error)

// activity is an activity as Handle or HandleWith got it, without its types.
type activity struct {
	name        string
	version     string
	idempotent  bool
	concurrency int
	prefetch    int
	timeout     time.Duration
	limit       *rateLimit // nil: none; each run has a copy
	breaker     *breaker   // nil: none; each run has a copy
	in, out     reflect.Type
	open        func(ctx context.Context) (any, error) // nil: the activity has no resource
	execute     execution
	recover     execution // nil: it can't find out
	mistakes    []error
}

// New makes an adapter. Its name is the part before the dot in adapter.activity: 1 to 63 of a-z A-Z 0-9 _ -.
func New(name string) *Adapter { return &Adapter{name: name} }

// Name returns the adapter's name.
func (a *Adapter) Name() string { return a.name }

// Handle adds an activity. The function gets a task's input decoded from JSON, and its output is encoded as JSON;
// json.RawMessage leaves the input as the node sent it, and the output as the function made it. Names of properties are
// read as they are written: unlike encoding/json by itself, a field "imsi" takes nothing from "IMSI", and an input that has
// "IMSI" and no "imsi" is refused. The function is called by up to Concurrency goroutines at once. Mistakes in the names or
// options are reported by Run.
func Handle[In, Out any](
	a *Adapter, name string, fn func(ctx context.Context, t Task, in In) (Out, error), opts ...Option,
) {
	act := &activity{name: name, in: typeOf[In](), out: typeOf[Out]()}
	if fn == nil {
		act.mistakef("function is nil")
	}
	act.execute = func(ctx context.Context, _ any, t Task, input []byte) ([]byte, error) {
		return invoke(input, func(in In) (Out, error) { return fn(ctx, t, in) })
	}
	a.add(act, opts)
}

// HandleWith adds an activity whose actors each own a resource, such as a connection to the downstream system. It is
// opened when an actor starts and restarts, and closed, if it has a method Close, when the actor stops or restarts.
// The context of open ends when the adapter stops. An error of open restarts the actor after a delay; while no
// actor of the activity has its resource, tasks are answered with that error, as a transient failure.
func HandleWith[R, In, Out any](
	a *Adapter, name string, open func(ctx context.Context) (R, error),
	fn func(ctx context.Context, r R, t Task, in In) (Out, error), opts ...Option,
) {
	act := &activity{name: name, in: typeOf[In](), out: typeOf[Out]()}
	if fn == nil || open == nil {
		act.mistakef("function or open function is nil")
	}
	act.open = func(ctx context.Context) (any, error) { return open(ctx) }
	act.execute = func(ctx context.Context, resource any, t Task, input []byte) ([]byte, error) {
		r, _ := resource.(R) // it is what open returned; a nil interface is its zero value
		return invoke(input, func(in In) (Out, error) { return fn(ctx, r, t, in) })
	}
	a.add(act, opts)
}

func (a *Adapter) add(act *activity, opts []Option) {
	act.version, act.concurrency, act.prefetch = "1.0.0", defaultConcurrency, -1
	for _, opt := range opts {
		opt(act)
	}
	if act.prefetch == -1 {
		act.prefetch = max(act.concurrency/4, 1)
	}
	a.activities = append(a.activities, act)
}

// validate says everything that is wrong with the adapter.
func (a *Adapter) validate() error {
	errs := a.mistakes
	if !namePattern.MatchString(a.name) {
		errs = append(errs, fmt.Errorf("adapter name %q: 1 to 63 of a-z A-Z 0-9 _ - are expected", a.name))
	}
	if len(a.activities) == 0 || len(a.activities) > maxActivities {
		errs = append(errs, fmt.Errorf("adapter has %d activities: 1 to %d are expected; add them with Handle", len(a.activities),
			maxActivities))
	}
	names := map[string]bool{}
	for _, act := range a.activities {
		errs = append(errs, act.validate())
		if names[act.name] {
			errs = append(errs, fmt.Errorf("activity %s is added twice", act.name))
		}
		names[act.name] = true
	}
	return errors.Join(errs...)
}

func (a *activity) validate() error {
	errs := a.mistakes
	wrongf := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("activity %q: "+format, append([]any{a.name}, args...)...))
	}
	if !namePattern.MatchString(a.name) {
		wrongf("its name must be 1 to 63 of a-z A-Z 0-9 _ -")
	}
	if a.concurrency < 1 || a.concurrency > maxConcurrency {
		wrongf("concurrency %d is not between 1 and %d", a.concurrency, maxConcurrency)
	}
	if a.prefetch < 0 || a.prefetch > maxConcurrency {
		wrongf("prefetch %d is not between 0 and %d", a.prefetch, maxConcurrency)
	}
	if !messages.IsVersion(a.version) {
		wrongf("version %q is not a semantic version, such as 1.0.0", a.version)
	}
	return errors.Join(errs...)
}

func (a *activity) ability() ledger.Ability {
	switch {
	case a.idempotent:
		return ledger.Repeatable
	case a.recover != nil:
		return ledger.Recoverable
	}
	return ledger.None
}

func (a *activity) describe() *adapterv1.Activity {
	return &adapterv1.Activity{
		Name: a.name, Version: a.version, Idempotent: a.idempotent, Recoverable: a.recover != nil,
		Concurrency: uint32(a.concurrency), //nolint:gosec // validated
	}
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// invoke decodes the input, calls fn, and encodes the output.
func invoke[In, Out any](input []byte, fn func(In) (Out, error)) ([]byte, error) {
	var in In
	if err := decode(input, &in); err != nil {
		return nil, mark(err, refused)
	}
	out, err := fn(in)
	if err != nil {
		return nil, err
	}
	output, err := encode(out)
	return output, mark(err, unreported)
}

var null = []byte("null")

// decode decodes an input. A panic of a type's own method counts as an error: the activity was not called.
func decode(input []byte, in any) (err error) {
	defer asError(&err)
	if len(input) == 0 {
		input = null
	}
	if err := jsonscan.CheckNames(input); err != nil {
		return fmt.Errorf("the input %w", err)
	}
	if raw, ok := in.(*json.RawMessage); ok {
		*raw = input
		return nil
	}
	input, err = exact(input, shapeOf(reflect.TypeOf(in)))
	if err != nil {
		return fmt.Errorf("the input %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(input))
	d.UseNumber() // what is read into an any keeps all of its digits
	if err := d.Decode(in); err != nil {
		return err //nolint:wrapcheck // the caller says what it is about
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the input is more than one JSON value")
	}
	return nil
}

// encode encodes an output. A panic of a type's own method counts as an error: the activity has returned.
func encode(out any) (output []byte, err error) {
	defer asError(&err)
	output, ok := out.(json.RawMessage)
	if !ok {
		if output, err = json.Marshal(out); err != nil {
			return nil, err //nolint:wrapcheck // as in decode
		}
		// The encoder has replaced what is not UTF-8, and has made an escape of nothing else but what a type wrote itself.
		if bytes.Contains(output, []byte(`\ufffd`)) {
			if err := checkText(reflect.ValueOf(out)); err != nil {
				return nil, fmt.Errorf("the output %w", err)
			}
		}
	}
	switch {
	case len(output) > 0 && !json.Valid(output):
		return nil, fmt.Errorf("the output is not JSON: %q", bytes.ToValidUTF8(output[:min(len(output), 100)], []byte("\uFFFD")))
	case !utf8.Valid(output):
		return nil, errors.New("the output is not valid UTF-8")
	}
	if err := jsonscan.CheckNames(output); err != nil {
		return nil, fmt.Errorf("the output %w", err)
	}
	return output, nil
}

func asError(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
	}
}
