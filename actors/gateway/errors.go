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

	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// domain is the domain of error details.
const domain = "holdfast"

// failure is an error as callers are told it.
type failure struct {
	code    codes.Code
	reason  string
	message string
	fields  []*errdetails.BadRequest_FieldViolation
	retry   time.Duration     // after how long to try again; 0: trying the same again is of no use
	beside  map[string]string // what programs are told beside the reason, of 2 KiB at most
}

// told says how a reason is told to callers, and when they may try again.
type told struct {
	code  codes.Code
	retry time.Duration
}

// reasons says how each reason is told to callers.
var reasons = map[nodev1.Reason]told{ //nolint:gochecknoglobals // a table
	nodev1.Reason_REASON_ORDER_ID_TAKEN:          {codes.AlreadyExists, 0},
	nodev1.Reason_REASON_ORDER_ENDED:             {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_ORDER_FAULTED:           {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_KEY_NOT_HELD:            {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_ORDER_NOT_FAULTED:       {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_COMPENSATING:            {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_NO_RETURN:               {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_ORDER_ENDING:            {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_DEADLINE_PASSED:         {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_ATTEMPT_IN_DOUBT:        {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_WRONG_TASK:              {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_OUTPUT_UNFIT:            {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_ATTEMPT_OVER:            {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_FOREIGN_ACTIVITY:        {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_NO_SUCH_ORDER:           {codes.NotFound, 0},
	nodev1.Reason_REASON_NO_SUCH_DEFINITION:      {codes.NotFound, 0},
	nodev1.Reason_REASON_DEFINITION_UNCOMPILABLE: {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_DEFINITION_RETIRED:      {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_NO_SUCH_SCHEDULE:        {codes.NotFound, 0},
	nodev1.Reason_REASON_INPUT_UNFIT:             {codes.InvalidArgument, 0},
	nodev1.Reason_REASON_STORE_FULL:              {codes.ResourceExhausted, 10 * time.Second},
	nodev1.Reason_REASON_SLOT_FULL:               {codes.ResourceExhausted, 10 * time.Second},
	nodev1.Reason_REASON_BUSY:                    {codes.ResourceExhausted, time.Second},
	nodev1.Reason_REASON_NOT_OWNER:               {codes.Unavailable, 100 * time.Millisecond},
	nodev1.Reason_REASON_STARTING:                {codes.Unavailable, time.Second},
	nodev1.Reason_REASON_STOPPING:                {codes.Unavailable, time.Second},
	nodev1.Reason_REASON_INTERRUPTED:             {codes.Unavailable, 200 * time.Millisecond},
	nodev1.Reason_REASON_JOURNAL_UNAVAILABLE:     {codes.Unavailable, 200 * time.Millisecond},
	nodev1.Reason_REASON_FEATURE_LEVEL:           {codes.FailedPrecondition, 0},
	nodev1.Reason_REASON_JOURNAL_DAMAGED:         {codes.DataLoss, 0},
}

// explain turns an error into what callers are told. Details of unexpected errors are not told, but logged.
func (s *Server) explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if r, ok := errors.AsType[refusal](err); ok {
		return tellRefusal(r)
	}
	why := failures.Of(err)
	if t, known := reasons[why.GetReason()]; known {
		return &failure{code: t.code, reason: failures.Name(why.GetReason()), message: why.GetText(), retry: t.retry}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errLate):
		return &failure{code: codes.DeadlineExceeded, reason: "DEADLINE", message: err.Error()}
	case errors.Is(err, context.Canceled):
		return &failure{code: codes.Canceled, reason: "CANCELLED", message: err.Error()}
	}
	if st, ok := status.FromError(err); ok { // it is of the stream itself: the client has gone, or has sent something that can't be read
		return &failure{code: st.Code(), reason: "STREAM", message: st.Message()}
	}
	s.log.Error("unexpected error", "error", err)
	return &failure{code: codes.Internal, reason: "INTERNAL", message: "the node failed to do this; its log says why"}
}

func (f *failure) Error() string { return f.message }

// The details of an error are sent as metadata, of which clients in some languages take 8 KiB.
const (
	// maxMessage is the longest message of an error, and maxField the longest description of a field at fault, in bytes.
	maxMessage = 1 << 10
	maxField   = 512
	// maxFields is the most bytes that all fields at fault may take together; further ones are only counted.
	maxFields = 3 << 10
)

// status makes the gRPC error.
func (f *failure) status() error {
	st := status.New(f.code, messages.Clip(f.message, maxMessage))
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: f.reason, Domain: domain, Metadata: f.beside}}
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
			Field: messages.Clip(f.GetField(), maxField), Description: messages.Clip(f.GetDescription(), maxField),
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
	words := make([]string, 0, len(m.fields))
	for i, f := range m.fields {
		if i == 5 {
			words = append(words, "…")
			break
		}
		words = append(words, f.GetField()+" "+f.GetDescription())
	}
	text := "bad request: " + strings.Join(words, "; ")
	return &failure{code: codes.InvalidArgument, reason: "BAD_REQUEST", message: text, fields: m.fields}
}
