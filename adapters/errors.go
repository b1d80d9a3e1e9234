package adapters

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// The types of errors: those of the Open Workflow Specification, and in doubt.
const (
	ErrorTypeCommunication = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"
	ErrorTypeValidation    = "https://serverlessworkflow.io/spec/1.0.0/errors/validation"
	ErrorTypeTimeout       = "https://serverlessworkflow.io/spec/1.0.0/errors/timeout"
	ErrorTypeRuntime       = "https://serverlessworkflow.io/spec/1.0.0/errors/runtime"
	ErrorTypeInDoubt       = ledger.ErrorTypeInDoubt
)

// ErrNotDone is what a Recover function returns when the work was not done and nobody is doing it: then the activity is
// executed.
var ErrNotDone = errors.New("was not done")

// Problem is an error as the workflow sees it, after RFC 9457. An activity that returns one says what its definition can
// catch. Empty fields get the values of the failure's class.
type Problem struct { //nolint:errname // RFC 9457 calls it so, and so does the API
	// Type is a URI reference that identifies the kind of error, such as ErrorTypeValidation.
	Type string
	// Title is a short summary for people.
	Title string
	// Status is in the manner of HTTP, 100 to 599.
	Status int
	// Detail explains this occurrence.
	Detail string
}

func (p Problem) Error() string {
	switch {
	case p.Detail == "":
		return p.Title
	case p.Title == "":
		return p.Detail
	}
	return p.Title + ": " + p.Detail
}

// class is what a failure means for another try.
type class uint8

const (
	unclassified class = iota
	transient          // not done; trying again may help
	permanent          // not done; trying again is of no use
	inDoubt            // may have been done
	notDone            // never started
)

type classified struct {
	error

	class class
}

func (c classified) Unwrap() error { return c.error }

type dirty struct{ error }

func (d dirty) Unwrap() error { return d.error }

// Transient marks a failure after which the work is not done, and another try may help. It is what a plain error means.
// It returns nil if err is nil, as the other marks do.
func Transient(err error) error { return mark(err, transient) }

// Permanent marks a failure after which the work is not done, and that is to be expected again.
func Permanent(err error) error { return mark(err, permanent) }

// InDoubt marks a failure after which the work may have been done.
func InDoubt(err error) error { return mark(err, inDoubt) }

// Dirty says that the activity actor's resource can't be trusted any more: the actor is restarted, with a new one. It
// changes nothing about what the error means otherwise.
func Dirty(err error) error {
	if err == nil {
		return nil
	}
	return dirty{err}
}

func mark(err error, c class) error {
	if err == nil {
		return nil
	}
	return classified{error: err, class: c}
}

// classOf returns what the function that returned err said about it.
func classOf(err error) class {
	if c, ok := errors.AsType[classified](err); ok {
		return c.class
	}
	return unclassified
}

// maxDetail is the longest text of an error that is sent to a node, in bytes.
const maxDetail = 4096

// failure makes the result of an execution that returned an error. ended is why the context had ended by then, if so.
func failure(err, ended error, idempotent, recovering bool) *adapterv1.Result {
	c := classOf(err)
	timeout := errors.Is(ended, context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case recovering && c != permanent:
		c = inDoubt // it could not find out
	case c != unclassified:
		timeout = false
	case timeout && idempotent:
		c = transient
	case timeout, ended != nil:
		c = inDoubt
	default:
		c = transient
	}
	return resultOf(c, problemOf(err, c, timeout))
}

func resultOf(c class, p *problemv1.Problem) *adapterv1.Result {
	r := &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_FAILED, Error: p, Permanent: c == permanent}
	switch c {
	case inDoubt:
		r.Outcome = adapterv1.Outcome_OUTCOME_IN_DOUBT
	case notDone:
		r.Outcome = adapterv1.Outcome_OUTCOME_NOT_DONE
	case unclassified, transient, permanent:
	}
	return r
}

func problemOf(err error, c class, timeout bool) *problemv1.Problem {
	p := problemv1.Problem{Type: ErrorTypeCommunication, Title: "Activity failed", Status: 503}
	switch {
	case timeout:
		p.Type, p.Title, p.Status = ErrorTypeTimeout, "Activity exceeded its deadline", 408
	case c == inDoubt:
		p.Type, p.Title, p.Status = ErrorTypeInDoubt, "Outcome in doubt", 500
	case c == permanent:
		p.Status = 500
	}
	said, ok := errors.AsType[Problem](err)
	if !ok {
		p.Detail = clip(err.Error(), maxDetail)
		return &p
	}
	if said.Type != "" {
		p.Type = clip(said.Type, maxDetail)
	}
	if said.Title != "" {
		p.Title = clip(said.Title, maxDetail)
	}
	if said.Status >= 100 && said.Status <= 599 {
		p.Status = int32(said.Status)
	}
	p.Detail = clip(said.Detail, maxDetail)
	return &p
}

// panicked makes the result of an execution that panicked.
func panicked(reason any, idempotent bool) *adapterv1.Result {
	c := inDoubt
	if idempotent {
		c = transient
	}
	return resultOf(c, problemOf(fmt.Errorf("panic: %v", reason), c, false))
}
