package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// endedError says that an order did not end well. Nothing is printed for it: the order was printed.
type endedError orderv1.Status

func (e endedError) Error() string { return "the order is " + shown.StatusWord(orderv1.Status(e)) }

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

// advise adds advice to an error, if there is any.
func advise(err error, advice string) error {
	if err == nil || advice == "" {
		return err
	}
	return adviceError{error: err, advice: advice}
}

// describe says for people what went wrong and what can be done, and which exit status that makes.
func (a *app) describe(ctx context.Context, err error) (text string, exit int) {
	var b strings.Builder
	st, isRPC := client.StatusOf(err)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(&b, "holdfast: interrupted")
	case isRPC:
		prefix, _, _ := strings.Cut(err.Error(), "rpc error:") // what the command was at, if it said so
		text := textStatus(st)
		if st.Code() == codes.DeadlineExceeded && len(st.Details()) == 0 { // no node says so: the time of the call is over
			text = fmt.Sprintf("no answer within %v (--timeout)", a.callBound())
		}
		fmt.Fprintf(&b, "holdfast: %s%s\n", clean(prefix), text)
		for _, d := range client.Details(st) {
			if d.Name != "" {
				d.Text = d.Name + ": " + d.Text
			}
			fmt.Fprintf(&b, "  %s\n", clean(d.Text))
		}
	default:
		b.WriteString(textError(err))
	}
	var advice adviceError
	switch {
	case errors.As(err, &advice):
		fmt.Fprintln(&b, clean(advice.advice))
	case isRPC && ctx.Err() == nil:
		if general := client.Advice(err, a.client.asked); general != "" {
			fmt.Fprintln(&b, clean(general))
		}
	}
	if ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || st.Code() == codes.DeadlineExceeded) {
		return b.String(), exitTimeout
	}
	return b.String(), exitError
}

// textError is an error, with a line for each that is joined in it.
func textError(err error) string {
	var b strings.Builder
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = "holdfast: " + line
		}
		fmt.Fprintln(&b, clean(line))
	}
	return b.String()
}

// textStatus is a node's answer, or why there is none, in one line.
func textStatus(st *status.Status) string { return clean(client.StatusText(st)) }
