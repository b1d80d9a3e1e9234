package client

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/client/shown"
)

// StatusOf finds the answer of a node in an error, however it is wrapped, and tells whether there is one. The texts around it are
// not part of its message, as they would be with status.FromError.
func StatusOf(err error) (st *status.Status, isAnswer bool) {
	var answer interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &answer) {
		return status.New(codes.Unknown, ""), false
	}
	return answer.GRPCStatus(), true
}

func codeOf(err error) codes.Code {
	st, _ := StatusOf(err)
	return st.Code()
}

// StatusText is a node's answer, or why there is none, in one line. It may hold any characters that the node has sent.
func StatusText(st *status.Status) string {
	message := st.Message()
	if strings.HasPrefix(message, "error reading from server: ") {
		message = "the connection was lost"
	}
	// What gRPC says itself of a connection that failed is wrapped more than once.
	if _, cause, found := strings.Cut(message, "connection error: desc = "); found {
		message = cause
		if unquoted, err := strconv.Unquote(cause); err == nil {
			message = unquoted
		}
		message = strings.TrimPrefix(message, "transport: ")
		for _, mismatch := range []error{certificates.ErrNeedsTLS, certificates.ErrNoTLS} {
			if strings.HasSuffix(message, mismatch.Error()) {
				message = mismatch.Error() // that says it all
			}
		}
		message = "no connection: " + message
	}
	return message + " (" + shown.CodeName(st.Code()) + ")"
}

// Reason returns the reason that a node gave with an error, such as ORDER_NOT_FAULTED; empty if it gave none.
func Reason(err error) string {
	st, _ := StatusOf(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// Detail is something that a node says beside an error's message.
type Detail struct {
	// Name is the field of the request that is wrong, or what is told; empty if the text says it all.
	Name, Text string
}

// Details returns what a node says beside an error's message, for people.
func Details(st *status.Status) []Detail {
	var out []Detail
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				out = append(out, Detail{v.GetField(), v.GetDescription()})
			}
		case *errdetails.ErrorInfo:
			out = append(out, Detail{"reason", d.GetReason()})
			for _, name := range slices.Sorted(maps.Keys(d.GetMetadata())) {
				out = append(out, Detail{name, d.GetMetadata()[name]})
			}
		case *errdetails.RetryInfo:
			out = append(out, Detail{Text: "try again in " + d.GetRetryDelay().AsDuration().Round(time.Millisecond).String()})
		}
	}
	return out
}
