package failure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

var (
	// ErrStarting: the node is still reading the open orders.
	ErrStarting = errors.New("node is starting")
	// ErrUnavailable: the journal did not say that it has made a commit, and may have made it; try again.
	ErrUnavailable = errors.New("journal gave no certain answer")
)

// reasons says which reason an error is. The first that matches counts.
var reasons = []struct { //nolint:gochecknoglobals // a table
	err    error
	reason nodev1.Reason
}{
	{workflow.ErrTaken, nodev1.Reason_REASON_ORDER_ID_TAKEN},
	{workflow.ErrEnded, nodev1.Reason_REASON_ORDER_ENDED},
	{workflow.ErrFaulted, nodev1.Reason_REASON_ORDER_FAULTED},
	{workflow.ErrStale, nodev1.Reason_REASON_ATTEMPT_OVER},
	{workflow.ErrForeign, nodev1.Reason_REASON_FOREIGN_ACTIVITY},
	{workflow.ErrNotHeld, nodev1.Reason_REASON_KEY_NOT_HELD},
	{workflow.ErrNotFaulted, nodev1.Reason_REASON_ORDER_NOT_FAULTED},
	{workflow.ErrCompensating, nodev1.Reason_REASON_COMPENSATING},
	{workflow.ErrNoReturn, nodev1.Reason_REASON_NO_RETURN},
	{workflow.ErrStopping, nodev1.Reason_REASON_ORDER_ENDING},
	{workflow.ErrDeadline, nodev1.Reason_REASON_DEADLINE_PASSED},
	{workflow.ErrInDoubt, nodev1.Reason_REASON_ATTEMPT_IN_DOUBT},
	{workflow.ErrPlace, nodev1.Reason_REASON_WRONG_TASK},
	{workflow.ErrUnfit, nodev1.Reason_REASON_OUTPUT_UNFIT},
	{workflow.ErrBehind, nodev1.Reason_REASON_BUSY},
	{slot.ErrFull, nodev1.Reason_REASON_SLOT_FULL},
	{schedule.ErrUnknown, nodev1.Reason_REASON_NO_SUCH_SCHEDULE},
	{schedule.ErrUnfit, nodev1.Reason_REASON_INPUT_UNFIT},
	{schedule.ErrBehind, nodev1.Reason_REASON_BUSY},
	{workflow.ErrNotAccepted, nodev1.Reason_REASON_NO_SUCH_ORDER},
	{catalog.ErrUnknown, nodev1.Reason_REASON_NO_SUCH_DEFINITION},
	{catalog.ErrUncompilable, nodev1.Reason_REASON_DEFINITION_UNCOMPILABLE},
	{catalog.ErrRetired, nodev1.Reason_REASON_DEFINITION_RETIRED},
	{catalog.ErrNotLoaded, nodev1.Reason_REASON_JOURNAL_UNAVAILABLE},
	{catalog.ErrEnded, nodev1.Reason_REASON_STOPPING},
	{persistence.ErrNotFound, nodev1.Reason_REASON_NO_SUCH_ORDER},
	{persistence.ErrFull, nodev1.Reason_REASON_STORE_FULL},
	{persistence.ErrBusy, nodev1.Reason_REASON_BUSY},
	{runtime.ErrBusy, nodev1.Reason_REASON_BUSY},
	{runtime.ErrNotOwner, nodev1.Reason_REASON_NOT_OWNER},
	{persistence.ErrFenced, nodev1.Reason_REASON_NOT_OWNER},
	{ErrStarting, nodev1.Reason_REASON_STARTING},
	{runtime.ErrStopping, nodev1.Reason_REASON_STOPPING},
	{runtime.ErrInterrupted, nodev1.Reason_REASON_INTERRUPTED},
	{persistence.ErrUnavailable, nodev1.Reason_REASON_JOURNAL_UNAVAILABLE},
	{ErrUnavailable, nodev1.Reason_REASON_JOURNAL_UNAVAILABLE},
	{persistence.ErrUnknown, nodev1.Reason_REASON_JOURNAL_UNAVAILABLE},
	{persistence.ErrClosed, nodev1.Reason_REASON_STOPPING},
	{persistence.ErrFeatureLevel, nodev1.Reason_REASON_FEATURE_LEVEL},
	{persistence.ErrCorrupt, nodev1.Reason_REASON_JOURNAL_DAMAGED},
}

// Late is the error of a read of the journal that was given so much time, and no more: if that is over, the journal is not available.
func Late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Of makes data of an error; nil if that is nil.
func Of(err error) *nodev1.Failure {
	switch f, told := errors.AsType[*Error](err); {
	case err == nil:
		return nil
	case told:
		return &nodev1.Failure{Reason: f.reason, Text: err.Error()}
	}
	return &nodev1.Failure{Reason: reasonOf(err), Text: err.Error()}
}

func reasonOf(err error) nodev1.Reason {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return nodev1.Reason_REASON_UNSPECIFIED
}

// Name returns the name of a reason that clients are told; empty if the reason is not known.
func Name(r nodev1.Reason) string {
	if r == nodev1.Reason_REASON_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(r.String(), "REASON_")
}

// Error is a failure that another actor told. It is each error whose reason it has.
type Error struct {
	reason nodev1.Reason
	text   string
}

// Err makes an error of a failure; nil if that is nil.
func Err(f *nodev1.Failure) error {
	if f == nil {
		return nil
	}
	return &Error{reason: f.GetReason(), text: f.GetText()}
}

// Reason returns why.
func (e *Error) Reason() nodev1.Reason { return e.reason }

func (e *Error) Error() string { return e.text }

// Is tells whether a failure has the reason of an error.
func (e *Error) Is(target error) bool {
	r := reasonOf(target)
	return r == e.reason && r != nodev1.Reason_REASON_UNSPECIFIED
}

// IsGone tells whether a failure means that there is no such order.
func IsGone(f *nodev1.Failure) bool {
	return f != nil && f.GetReason() == nodev1.Reason_REASON_NO_SUCH_ORDER
}

// IsFinal tells whether saying the same again would fail again.
func IsFinal(f *nodev1.Failure) bool {
	switch f.GetReason() {
	case nodev1.Reason_REASON_NO_SUCH_ORDER, nodev1.Reason_REASON_ATTEMPT_OVER, nodev1.Reason_REASON_ORDER_ENDED,
		nodev1.Reason_REASON_ORDER_ID_TAKEN:
		return f != nil
	default:
		return false
	}
}
