package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/persistence"
)

// domain is the domain of error details.
const domain = "holdfast"

// failure is an error for the caller: what the table says of it, and the field at fault.
type failure struct {
	code    codes.Code
	reason  string
	message string
	fields  []*errdetails.BadRequest_FieldViolation
	retry   time.Duration // when to try again; 0: not by itself
}

// errorTable says how each error of the engine is told to callers. The first that matches counts.
var errorTable = []struct { //nolint:gochecknoglobals // a table
	err    error
	code   codes.Code
	reason string
	retry  time.Duration
}{
	{workflow.ErrTaken, codes.AlreadyExists, "ORDER_ID_TAKEN", 0},
	{workflow.ErrEnded, codes.FailedPrecondition, "ORDER_ENDED", 0},
	{workflow.ErrFaulted, codes.FailedPrecondition, "ORDER_FAULTED", 0},
	{workflow.ErrNotHeld, codes.FailedPrecondition, "KEY_NOT_HELD", 0},
	{workflow.ErrNotFaulted, codes.FailedPrecondition, "ORDER_NOT_FAULTED", 0},
	{workflow.ErrCompensating, codes.FailedPrecondition, "COMPENSATING", 0},
	{workflow.ErrStopping, codes.FailedPrecondition, "ORDER_ENDING", 0},
	{workflow.ErrDeadline, codes.FailedPrecondition, "DEADLINE_PASSED", 0},
	{workflow.ErrInDoubt, codes.FailedPrecondition, "ATTEMPT_IN_DOUBT", 0},
	{workflow.ErrPlace, codes.FailedPrecondition, "WRONG_TASK", 0},
	{workflow.ErrUnfit, codes.FailedPrecondition, "OUTPUT_UNFIT", 0},
	{workflow.ErrNotAccepted, codes.NotFound, "NO_SUCH_ORDER", 0},
	{actors.ErrUnknownDefinition, codes.NotFound, "NO_SUCH_DEFINITION", 0},
	{actors.ErrUncompilable, codes.FailedPrecondition, "DEFINITION_UNCOMPILABLE", 0},
	{actors.ErrRetired, codes.FailedPrecondition, "DEFINITION_RETIRED", 0},
	{persistence.ErrNotFound, codes.NotFound, "NO_SUCH_ORDER", 0},
	{persistence.ErrFull, codes.ResourceExhausted, "STORE_FULL", 10 * time.Second},
	{persistence.ErrBusy, codes.ResourceExhausted, "BUSY", time.Second},
	{actors.ErrBusy, codes.ResourceExhausted, "BUSY", time.Second},
	{actors.ErrNotOwner, codes.Unavailable, "NOT_OWNER", 100 * time.Millisecond},
	{actors.ErrStarting, codes.Unavailable, "STARTING", time.Second},
	{actors.ErrStopping, codes.Unavailable, "STOPPING", time.Second},
	{actors.ErrInterrupted, codes.Unavailable, "INTERRUPTED", 200 * time.Millisecond},
	{actors.ErrUnavailable, codes.Unavailable, "JOURNAL_UNAVAILABLE", 200 * time.Millisecond},
	{persistence.ErrClosed, codes.Unavailable, "STOPPING", time.Second},
	{persistence.ErrFeatureLevel, codes.FailedPrecondition, "FEATURE_LEVEL", 0},
	{persistence.ErrCorrupt, codes.DataLoss, "JOURNAL_DAMAGED", 0},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE", 0},
	{context.Canceled, codes.Canceled, "CANCELLED", 0},
}

// explain turns an error into what callers are told. Details of unexpected errors are not told, but logged.
func (s *Server) explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			return &failure{code: row.code, reason: row.reason, message: err.Error(), retry: row.retry}
		}
	}
	if st, ok := status.FromError(err); ok { // of the stream itself: the client has gone, or sent what can't be read
		return &failure{code: st.Code(), reason: "STREAM", message: st.Message()}
	}
	s.log.Error("unexpected error", "error", err)
	return &failure{code: codes.Internal, reason: "INTERNAL", message: "the node failed to do this; its log says why"}
}

func (f *failure) Error() string { return f.message }

// What an error has is sent as metadata, of which clients in some languages take 8 KiB.
const (
	// maxMessage is the longest message of an error, and maxField the longest description of a field at fault, in bytes.
	maxMessage = 1 << 10
	maxField   = 512
	// maxFields is how much fields at fault may have together; further ones are counted.
	maxFields = 3 << 10
)

// status makes the gRPC error.
func (f *failure) status() error {
	st := status.New(f.code, clipTo(f.message, maxMessage))
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: f.reason, Domain: domain}}
	if len(f.fields) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: firstFields(f.fields)})
	}
	if f.retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.retry)})
	}
	if with, err := st.WithDetails(details...); err == nil {
		st = with
	}
	return st.Err()
}

// firstFields are as many of the fields at fault as an error has room for.
func firstFields(all []*errdetails.BadRequest_FieldViolation) []*errdetails.BadRequest_FieldViolation {
	var out []*errdetails.BadRequest_FieldViolation
	bytes := 0
	for i, f := range all {
		short := &errdetails.BadRequest_FieldViolation{
			Field: clipTo(f.GetField(), maxField), Description: clipTo(f.GetDescription(), maxField),
		}
		if bytes += proto.Size(short); i > 0 && bytes > maxFields {
			return append(out, &errdetails.BadRequest_FieldViolation{
				Field: "…", Description: fmt.Sprintf("there are %d more mistakes: mend these first", len(all)-i),
			})
		}
		out = append(out, short)
	}
	return out
}

// fail turns an error into a gRPC error.
func (s *Server) fail(err error) error { return s.explain(err).status() }

// mistakes collects everything wrong with a request.
type mistakes struct {
	fields []*errdetails.BadRequest_FieldViolation
}

func (m *mistakes) add(field, description string) {
	m.fields = append(m.fields, &errdetails.BadRequest_FieldViolation{Field: field, Description: description})
}

// err returns nil if nothing is wrong.
func (m *mistakes) err() error {
	if len(m.fields) == 0 {
		return nil
	}
	told := make([]string, 0, len(m.fields))
	for i, f := range m.fields {
		if i == 5 {
			told = append(told, "…")
			break
		}
		told = append(told, f.GetField()+" "+f.GetDescription())
	}
	text := "bad request: " + strings.Join(told, "; ")
	return &failure{code: codes.InvalidArgument, reason: "BAD_REQUEST", message: text, fields: m.fields}
}
