package adapters_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	plain := errors.New("connection refused")
	type outcome struct {
		outcome   adapterv1.Outcome
		permanent bool
		status    int32
		typ       string
	}
	communication := func(o adapterv1.Outcome) outcome { return outcome{o, false, 503, adapters.ErrorTypeCommunication} }
	timeout := outcome{inDoubt, false, 408, adapters.ErrorTypeTimeout}
	for name, c := range map[string]struct {
		err  error
		want outcome
		// again: what it means for an idempotent activity, if another attempt may have done the work.
		again outcome
	}{
		"plain":     {plain, communication(failed), communication(inDoubt)},
		"transient": {adapters.Transient(plain), communication(failed), communication(inDoubt)},
		"permanent": {
			adapters.Permanent(plain),
			outcome{failed, true, 500, adapters.ErrorTypeCommunication},
			outcome{failed, true, 500, adapters.ErrorTypeCommunication},
		},
		"in doubt": {
			adapters.InDoubt(plain),
			outcome{inDoubt, false, 500, adapters.ErrorTypeInDoubt},
			outcome{inDoubt, false, 500, adapters.ErrorTypeInDoubt},
		},
		"problem": {
			adapters.Permanent(adapters.Problem{Type: "https://example.org/barred", Status: 409, Title: "Barred"}),
			outcome{failed, true, 409, "https://example.org/barred"},
			outcome{failed, true, 409, "https://example.org/barred"},
		},
		"not UTF-8":               {errors.New("\xff\xfe"), communication(failed), communication(inDoubt)},
		"a call's deadline":       {fmt.Errorf("ask: %w", context.DeadlineExceeded), timeout, timeout},
		"a connection's deadline": {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, timeout, timeout},
		"no connection in time": {
			&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, communication(failed), communication(inDoubt),
		},
		"a gRPC call's deadline": {
			fmt.Errorf("ask: %w", status.Error(codes.DeadlineExceeded, "context deadline exceeded")), timeout, timeout,
		},
		"a call that was given up": {context.Canceled, communication(inDoubt), communication(inDoubt)},
		"a gRPC call that was given up": {
			fmt.Errorf("ask: %w", status.FromContextError(context.Canceled).Err()), communication(inDoubt), communication(inDoubt),
		},
		"a gRPC call that was refused": {
			status.Error(codes.ResourceExhausted, "too many"), communication(failed), communication(inDoubt),
		},
		"a call's deadline, and not done": {
			adapters.Transient(context.DeadlineExceeded), communication(failed), communication(inDoubt),
		},
		"not done means nothing outside of recovery": {adapters.ErrNotDone, communication(failed), communication(inDoubt)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := adaptertest.Start(t)
			a := adapters.New("test")
			fail := func(context.Context, adapters.Task, string) (string, error) { return "", c.err }
			adapters.Handle(a, "once", fail)
			adapters.Handle(a, "idempotent", fail, adapters.Idempotent())
			node.Run(a, config(t))
			do := func(activity string, maybe bool, want outcome) {
				task := node.Task(activity, "x")
				task.MaybeStarted = maybe
				node.Send(within(t), task)
				r := node.Await(within(t), task.GetKey(), 1)
				got := outcome{r.GetOutcome(), r.GetPermanent(), r.GetError().GetStatus(), r.GetError().GetType()}
				if got != want {
					t.Errorf("%s, maybe started %v: %+v, want %+v", activity, maybe, got, want)
				}
			}
			do("once", false, c.want)
			do("idempotent", false, c.want)
			do("idempotent", true, c.again)
		})
	}
}

// Work whose activity was not called can't be said not to be done, if another attempt may have done it.
func TestWrongInputFailsPermanently(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	a := adapters.New("test")
	typed := func(context.Context, adapters.Task, Subscriber) (string, error) { return "called", nil }
	adapters.Handle(a, "once", typed)
	adapters.Handle(a, "idempotent", typed, adapters.Idempotent())
	adapters.Handle(a, "recovers", typed, adapters.Recover(typed))
	adapters.Handle(a, "panics", func(context.Context, adapters.Task, unreadable) (string, error) { return "called", nil })
	node.Run(a, config(t))
	for _, c := range []struct {
		activity, input string
		maybe           bool
		outcome         adapterv1.Outcome
	}{
		{"once", `{"imsi": 7}`, false, failed},
		{"once", `{`, false, failed},
		{"panics", `{}`, false, failed},
		{"idempotent", `{`, false, failed},
		{"idempotent", `{`, true, inDoubt},
		{"recovers", `{`, false, failed},
		{"recovers", `{`, true, inDoubt},
	} {
		task := node.Task(c.activity, nil)
		task.Input, task.MaybeStarted = []byte(c.input), c.maybe
		node.Send(within(t), task)
		r := node.Await(within(t), task.GetKey(), 1)
		if r.GetOutcome() != c.outcome || r.GetPermanent() != (c.outcome == failed) || r.GetError().GetStatus() != 400 ||
			r.GetError().GetType() != adapters.ErrorTypeValidation || r.GetError().GetDetail() == "" {
			t.Errorf("%s %s: %v", c.activity, c.input, r)
		}
	}
}

// unreadable and unwritable are types whose own methods fail by a panic.
type (
	unreadable struct{}
	unwritable struct{}
)

func (*unreadable) UnmarshalJSON([]byte) error  { panic("boom") }
func (unwritable) MarshalJSON() ([]byte, error) { panic("boom") }

// An activity that returned without an error is done, also if nothing can be said about what it returned.
func TestOutputThatCantBeReported(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{MaxOutput: 20})
	a := adapters.New("test")
	raw := func(_ context.Context, _ adapters.Task, in json.RawMessage) (json.RawMessage, error) { return in, nil }
	adapters.Handle(a, "raw", raw)
	adapters.Handle(a, "idempotent", raw, adapters.Idempotent())
	adapters.Handle(a, "recovers", raw, adapters.Recover(raw))
	adapters.Handle(a, "channel", func(context.Context, adapters.Task, any) (chan int, error) { return make(chan int), nil })
	adapters.Handle(a, "number", func(context.Context, adapters.Task, any) (float64, error) { return math.NaN(), nil })
	adapters.Handle(a, "nested", func(_ context.Context, _ adapters.Task, in json.RawMessage) ([]json.RawMessage, error) {
		return []json.RawMessage{in}, nil
	})
	adapters.Handle(a, "twice", func(context.Context, adapters.Task, any) (json.RawMessage, error) {
		return json.RawMessage(`{"a": 1, "a": 2}`), nil
	})
	adapters.Handle(a, "panics", func(context.Context, adapters.Task, any) (unwritable, error) { return unwritable{}, nil })
	node.Run(a, config(t))
	for _, c := range []struct {
		activity, input string
		maybe           bool
	}{
		{"raw", `{"a": `, false},
		{"raw", "\"r\xe9seau\"", false},
		{"raw", `"1234567890123456789"`, false},
		{"idempotent", `{"a": `, false},
		{"idempotent", `{"a": `, true},
		{"recovers", `{"a": `, true},
		{"recovers", `"1234567890123456789"`, true},
		{"channel", `7`, false},
		{"number", `7`, false},
		{"nested", "\"r\xe9seau\"", false},
		{"twice", `7`, false},
		{"panics", `7`, false},
	} {
		task := node.Task(c.activity, nil)
		task.Input, task.MaybeStarted = []byte(c.input), c.maybe
		node.Send(within(t), task)
		r := node.Await(within(t), task.GetKey(), 1)
		if r.GetOutcome() != succeeded || len(r.GetOutput()) != 0 || r.GetError().GetStatus() != 500 ||
			r.GetError().GetType() != adapters.ErrorTypeUnreported || r.GetError().GetDetail() == "" {
			t.Errorf("%s %s: %v", c.activity, c.input, r)
		}
		node.Send(within(t), adaptertest.Attempt(task, 2)) // it is not done again
		if again := node.Await(within(t), task.GetKey(), 2); again.GetOutcome() != succeeded ||
			!proto.Equal(again.GetError(), r.GetError()) {
			t.Errorf("%s %s, again: %v", c.activity, c.input, again)
		}
	}
	for input, want := range map[string]string{"": "null", `"123456789012345678"`: `"123456789012345678"`} {
		task := node.Task("raw", nil)
		task.Input = []byte(input)
		node.Send(within(t), task)
		if r := node.Await(within(t), task.GetKey(), 1); r.GetOutcome() != succeeded || r.GetError() != nil ||
			string(r.GetOutput()) != want {
			t.Errorf("%s: %v", input, r)
		}
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, testDeadlines)
}

func testDeadlines(t *testing.T, node *adaptertest.Node, c adapters.Config) {
	t.Helper()
	a := adapters.New("test")
	wait := func(ctx context.Context, task adapters.Task, _ string) (string, error) {
		if end, ok := ctx.Deadline(); !ok || !end.Equal(task.Deadline) {
			return "", adapters.Permanent(errors.New("no deadline"))
		}
		<-ctx.Done()
		return "", errors.New("interrupted")
	}
	adapters.Handle(a, "once", wait)
	adapters.Handle(a, "idempotent", wait, adapters.Idempotent())
	adapters.Handle(a, "timeout", func(ctx context.Context, _ adapters.Task, _ string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}, adapters.Timeout(time.Millisecond))
	node.Run(a, c)
	soon := func(activity string, in time.Duration) *adapterv1.Result {
		task := node.Task(activity, "")
		task.Deadline = time.Now().Add(in).UnixNano()
		node.Send(t.Context(), task)
		return node.Await(t.Context(), task.GetKey(), 1)
	}
	if r := soon("once", 50*time.Millisecond); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 408 {
		t.Errorf("once: %v", r)
	}
	if r := soon("idempotent", 50*time.Millisecond); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 408 {
		t.Errorf("idempotent: %v", r)
	}
	if r := soon("once", -time.Second); r.GetOutcome() != failed || r.GetPermanent() || r.GetError().GetStatus() != 408 {
		t.Errorf("too late: %v", r)
	}
	if r := node.Do(t.Context(), "timeout", ""); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 408 {
		t.Errorf("timeout: %v", r)
	}
	maybe := node.Task("idempotent", "")
	maybe.MaybeStarted, maybe.Deadline = true, 1
	node.Send(t.Context(), maybe)
	if r := node.Await(t.Context(), maybe.GetKey(), 1); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 408 {
		t.Errorf("too late, and maybe done before: %v", r)
	}
	short := node.Task("once", "")
	short.RunWithinMs = 50
	node.Send(t.Context(), short)
	if r := node.Await(t.Context(), short.GetKey(), 1); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 408 {
		t.Errorf("ran for too long: %v", r)
	}
}
