package grpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/messages"
)

// kind is what a status means.
type kind struct {
	name string
	// status is the one of HTTP that stands for it, as google.rpc.Code has it.
	status int
	end    end
}

// end is whether a call was done, and whether another try may help.
type end int

const (
	open    end = iota // it may have been done
	refused            // it was not done, and another try is of no use
	later              // it was not done, and another try may help
)

// mark marks an error accordingly.
func (e end) mark(err error) error {
	switch e {
	case refused:
		return adapters.Permanent(err)
	case later:
		return adapters.Transient(err)
	case open:
	}
	return adapters.InDoubt(err)
}

// statuses are those with which a call can end that was sent. One that says that the call is wrong, or that it can't be done as things are,
// was not done. What a server says that gave up on its way, or what may be said by something that stands before it, leaves that open.
var statuses = map[codes.Code]kind{
	codes.Canceled:           {"CANCELLED", 499, open},
	codes.Unknown:            {"UNKNOWN", http.StatusInternalServerError, open},
	codes.InvalidArgument:    {"INVALID_ARGUMENT", http.StatusBadRequest, refused},
	codes.DeadlineExceeded:   {"DEADLINE_EXCEEDED", http.StatusRequestTimeout, open},
	codes.NotFound:           {"NOT_FOUND", http.StatusNotFound, refused},
	codes.AlreadyExists:      {"ALREADY_EXISTS", http.StatusConflict, refused},
	codes.PermissionDenied:   {"PERMISSION_DENIED", http.StatusForbidden, refused},
	codes.ResourceExhausted:  {"RESOURCE_EXHAUSTED", http.StatusTooManyRequests, later},
	codes.FailedPrecondition: {"FAILED_PRECONDITION", http.StatusBadRequest, refused},
	codes.Aborted:            {"ABORTED", http.StatusConflict, later},
	codes.OutOfRange:         {"OUT_OF_RANGE", http.StatusBadRequest, refused},
	codes.Unimplemented:      {"UNIMPLEMENTED", http.StatusNotImplemented, refused},
	codes.Internal:           {"INTERNAL", http.StatusInternalServerError, open},
	codes.Unavailable:        {"UNAVAILABLE", http.StatusServiceUnavailable, open},
	codes.DataLoss:           {"DATA_LOSS", http.StatusInternalServerError, open},
	codes.Unauthenticated:    {"UNAUTHENTICATED", http.StatusUnauthorized, refused},
}

// kindOf returns what a status means. One that gRPC does not know is as UNKNOWN.
func kindOf(code codes.Code) kind {
	if k, known := statuses[code]; known {
		return k
	}
	return statuses[codes.Unknown]
}

// maxExcerpt is how much of what a server says is told, in bytes.
const maxExcerpt = 1000

// failure is the error of a call that has not ended with success.
func (x *invocation) failure(ctx context.Context, a answer) error {
	said := status.Convert(a.err)
	k := kindOf(said.Code())
	p := adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "gRPC " + k.name, Status: k.status,
		Detail: fmt.Sprintf("%s: %s", x.shown(), told(said.Message())),
	}
	if said.Code() == codes.DeadlineExceeded || !a.sent && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.Type, p.Title, p.Status = adapters.ErrorTypeTimeout, "No answer in time", http.StatusRequestTimeout
	}
	_, wait := a.retryAfter()
	switch {
	case !a.sent:
		if why := x.conn.forbidden(); why != nil {
			return outbound.Forbidden("%s: %v", x.shown(), why)
		}
		if p.Type == adapters.ErrorTypeCommunication {
			p.Title, p.Status = "No connection", http.StatusServiceUnavailable
		}
		return adapters.Transient(p)
	case len(a.messages) > 0: // it has done something by then
		return adapters.InDoubt(p)
	case wait: // it says itself that the call may be tried again
		return adapters.Transient(p)
	}
	return k.end.mark(p)
}

// told is what a server says, as far as it is told.
func told(text string) string {
	if text = strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD")); text == "" {
		return "no more is said"
	}
	return messages.Clip(text, maxExcerpt)
}

// retryAfter is how long a server that can't do a call for now wants to be left alone, and whether it says so.
func (a answer) retryAfter() (time.Duration, bool) {
	said := status.Convert(a.err)
	if said.Code() != codes.Unavailable && said.Code() != codes.ResourceExhausted {
		return 0, false
	}
	if values := a.trailer.Get(pushback); len(values) > 0 {
		ms, err := strconv.ParseInt(values[0], 10, 32)
		return time.Duration(ms) * time.Millisecond, err == nil && ms >= 0 // a negative number says that it must not be tried again
	}
	for _, detail := range said.Details() {
		if info, is := detail.(*errdetails.RetryInfo); is {
			return max(0, info.GetRetryDelay().AsDuration()), true
		}
	}
	return 0, false
}

// unreported is the error of a call that was done, and whose output can't be told.
func (x *invocation) unreported(format string, args ...any) error {
	return adapters.Unreported(adapters.Problem{
		Type: adapters.ErrorTypeUnreported, Title: "Output can't be reported", Status: http.StatusInternalServerError,
		Detail: x.shown() + ": " + fmt.Sprintf(format, args...),
	})
}
