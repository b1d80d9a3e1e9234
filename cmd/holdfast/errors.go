package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// endedError tells that an order ended otherwise than well. Nothing more is printed: the order was.
type endedError orderv1.Status

func (e endedError) Error() string { return "the order is " + statusWord(orderv1.Status(e)) }

func (e endedError) status() int {
	if orderv1.Status(e) == orderv1.Status_STATUS_CANCELLED {
		return exitCancelled
	}
	return exitFaulted
}

// adviceError adds to an error what its reader can do.
type adviceError struct {
	error

	advice string
}

func (e adviceError) Unwrap() error { return e.error }

// advise adds advice to an error, if it is one.
func advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return adviceError{error: err, advice: fmt.Sprintf(format, args...)}
}

// describe says for people what went wrong and what can be done, and which exit status that makes.
func (a *app) describe(ctx context.Context, err error) (text string, exit int) {
	var b strings.Builder
	st, isRPC := rpcStatus(err)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(&b, "holdfast: interrupted")
	case isRPC:
		prefix, _, _ := strings.Cut(err.Error(), "rpc error:") // what the command was at, if it said so
		text := textStatus(st)
		if st.Code() == codes.DeadlineExceeded && len(st.Details()) == 0 { // it isn't a node that says so
			text = fmt.Sprintf("no answer within %v (--timeout)", a.callBound())
		}
		fmt.Fprintf(&b, "holdfast: %s%s\n", clean(prefix), text)
		describeDetails(&b, st)
	default:
		for i, line := range strings.Split(err.Error(), "\n") {
			if i == 0 {
				line = "holdfast: " + line
			}
			fmt.Fprintln(&b, clean(line))
		}
	}
	var advice adviceError
	switch {
	case errors.As(err, &advice):
		fmt.Fprintln(&b, clean(advice.advice))
	case isRPC && ctx.Err() == nil:
		if general := a.generalAdvice(st); general != "" {
			fmt.Fprintln(&b, clean(general))
		}
	}
	if ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || st.Code() == codes.DeadlineExceeded) {
		return b.String(), exitTimeout
	}
	return b.String(), exitError
}

// rpcStatus finds the answer of a node in an error. status.FromError would mix the texts that wrap it into its message.
func rpcStatus(err error) (*status.Status, bool) {
	var answer interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &answer) {
		return status.New(codes.Unknown, ""), false
	}
	return answer.GRPCStatus(), true
}

// textStatus is a node's answer, or why there is none, in one line.
func textStatus(st *status.Status) string {
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
		message = "no connection: " + strings.TrimPrefix(message, "transport: ")
	}
	return clean(message) + " (" + codeName(st.Code()) + ")"
}

// codeName writes a code as the gRPC specification does.
func codeName(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && 'A' <= r && r <= 'Z' && c != codes.OK {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// reasonOf returns the reason that a node gave with an error; empty if it gave none.
func reasonOf(err error) string {
	st, _ := rpcStatus(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// describeDetails tells the details that nodes give with errors.
func describeDetails(b *strings.Builder, st *status.Status) {
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				fmt.Fprintf(b, "  %s: %s\n", clean(v.GetField()), clean(v.GetDescription()))
			}
		case *errdetails.ErrorInfo:
			fmt.Fprintf(b, "  reason: %s\n", clean(d.GetReason()))
			for _, name := range slices.Sorted(maps.Keys(d.GetMetadata())) {
				fmt.Fprintf(b, "  %s: %s\n", clean(name), clean(d.GetMetadata()[name]))
			}
		case *errdetails.RetryInfo:
			fmt.Fprintf(b, "  try again in %v\n", d.GetRetryDelay().AsDuration().Round(time.Millisecond))
		}
	}
}

// generalAdvice says what to do about an error that the command itself knows nothing about.
func (a *app) generalAdvice(st *status.Status) string {
	servers := strings.Join(a.client.asked, ", ")
	switch st.Code() {
	case codes.Unavailable:
		return "No node answers at " + servers + ". Start one with 'holdfast dev' or 'holdfast node', or say where they " +
			"are with " + a.client.flag + " or HOLDFAST_" + strings.ToUpper(strings.TrimPrefix(a.client.flag, "--")) + "."
	case codes.DeadlineExceeded:
		return "Give it longer with --timeout."
	case codes.ResourceExhausted:
		if len(st.Details()) == 0 { // it isn't a node that says so, but gRPC itself: a message is too large
			return "What was sent or answered is larger than the other side takes: the node's limits are its --max-input and " +
				"--max-output, and what this client takes is 64 MiB."
		}
		return "The node has no room for it now. Try again later."
	case codes.Unimplemented:
		return "The node at " + servers + " doesn't know this call: it has another version than this client, or it is " +
			"no Holdfast node."
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return "The node's log says more."
	default:
		return ""
	}
}
