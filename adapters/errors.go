package adapters

import (
	"cmp"
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// The types of errors: those of the Open Workflow Specification, in doubt, and that an activity was done but has no output
// that can be reported.
const (
	ErrorTypeCommunication  = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"
	ErrorTypeValidation     = "https://serverlessworkflow.io/spec/1.0.0/errors/validation"
	ErrorTypeTimeout        = "https://serverlessworkflow.io/spec/1.0.0/errors/timeout"
	ErrorTypeRuntime        = "https://serverlessworkflow.io/spec/1.0.0/errors/runtime"
	ErrorTypeAuthentication = "https://serverlessworkflow.io/spec/1.0.0/errors/authentication"
	ErrorTypeAuthorization  = "https://serverlessworkflow.io/spec/1.0.0/errors/authorization"
	ErrorTypeInDoubt        = ledger.ErrorTypeInDoubt
	ErrorTypeUnreported     = "https://holdfast.run/errors/output-unreported"
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

// class is how an execution ended without an output to report.
type class uint8

const (
	unclassified class = iota
	transient          // not done; trying again may help
	permanent          // not done, and trying again is of no use
	inDoubt            // may have been done, says the function
	timedOut           // may have been done: the time was over before the function knew
	interrupted        // may have been done: the function gave up, or panicked
	late               // not begun: the time was over before
	refused            // not begun: the input can't be decoded
	notDone            // not begun, and will not be
	unreported         // done, and the output can't be reported
)

// classes says what a result of each class looks like. The error may say otherwise, but for the outcome.
var classes = [...]struct {
	outcome   adapterv1.Outcome
	permanent bool
	problem   Problem
}{
	transient:   {adapterv1.Outcome_OUTCOME_FAILED, false, Problem{ErrorTypeCommunication, "Activity failed", 503, ""}},
	permanent:   {adapterv1.Outcome_OUTCOME_FAILED, true, Problem{ErrorTypeCommunication, "Activity failed", 500, ""}},
	inDoubt:     {adapterv1.Outcome_OUTCOME_IN_DOUBT, false, Problem{ErrorTypeInDoubt, "Outcome in doubt", 500, ""}},
	timedOut:    {adapterv1.Outcome_OUTCOME_IN_DOUBT, false, Problem{ErrorTypeTimeout, "Activity exceeded its deadline", 408, ""}},
	interrupted: {adapterv1.Outcome_OUTCOME_IN_DOUBT, false, Problem{ErrorTypeCommunication, "Activity was interrupted", 503, ""}},
	late:        {adapterv1.Outcome_OUTCOME_FAILED, false, Problem{ErrorTypeTimeout, "Activity was not begun before its deadline", 408, ""}},
	refused:     {adapterv1.Outcome_OUTCOME_FAILED, true, Problem{ErrorTypeValidation, "Input is not valid", 400, ""}},
	notDone:     {adapterv1.Outcome_OUTCOME_NOT_DONE, false, Problem{}},
	unreported:  {adapterv1.Outcome_OUTCOME_SUCCEEDED, false, Problem{ErrorTypeUnreported, "Output can't be reported", 500, ""}},
}

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

// Unreported marks a failure after which the work is done, and its output can't be told: the task fails with the error, is not retried, and
// can be undone. An output that can't be encoded means the same.
func Unreported(err error) error { return mark(err, unreported) }

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

// classOf tells how an execution ended that returned an error. ended is why the context had ended by then, if so. What the
// function says itself counts more.
func classOf(err, ended error) class {
	if c, ok := errors.AsType[classified](err); ok {
		return c.class
	}
	switch {
	case errors.Is(ended, context.DeadlineExceeded), timeout(err):
		return timedOut
	case ended != nil, errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled:
		return interrupted
	}
	return transient
}

// timeout tells whether an error says that an answer did not come in time, such as that of a call that has a deadline of its
// own. A connection that could not be made in time has carried no request.
func timeout(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	slow, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded || ok && slow.Timeout()
}

// maxDetail is the longest text of an error that is sent to a node, in bytes.
const maxDetail = 4096

// resultOf makes the result of an attempt that ended by an error. maybe tells that attempts before it may have done the
// work: then it can't be said that it was not done, unless the function says that it never will be.
func resultOf(c class, err error, maybe bool) *adapterv1.Result {
	r := &adapterv1.Result{Outcome: classes[c].outcome, Permanent: classes[c].permanent, Error: problemOf(c, err)}
	if maybe && r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && c != permanent {
		r.Outcome, r.Permanent = adapterv1.Outcome_OUTCOME_IN_DOUBT, false
	}
	return r
}

// wasNotDone makes the result of an attempt that was not begun, and never will be.
func wasNotDone() *adapterv1.Result { return &adapterv1.Result{Outcome: classes[notDone].outcome} }

func problemOf(c class, err error) *problemv1.Problem {
	p := classes[c].problem
	if said, ok := errors.AsType[Problem](err); ok {
		p.Type, p.Title, p.Detail = cmp.Or(said.Type, p.Type), cmp.Or(said.Title, p.Title), said.Detail
		if said.Status >= 100 && said.Status <= 599 {
			p.Status = said.Status
		}
	} else {
		p.Detail = err.Error()
	}
	return &problemv1.Problem{
		Type: clip(p.Type, maxDetail), Title: clip(p.Title, maxDetail), Detail: clip(p.Detail, maxDetail),
		Status: int32(p.Status), //nolint:gosec // 100 to 599
	}
}
