package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// target is the node that gets bad input.
type target struct {
	*site

	node        *stage.Node
	conn        *client.Client
	orders      orderv1.OrderServiceClient
	definitions definitionv1.DefinitionServiceClient
	adapters    adapterv1.AdapterServiceClient
}

// badCase is one kind of bad input. try returns what is wrong with how it was answered.
type badCase struct {
	name string
	try  func(ctx context.Context, t *target) error
}

// caseTimeout bounds one case.
const caseTimeout = 20 * time.Second

// goodDefinition is what orders name that are bad in another way; their input must fit its schema.
const goodDefinition = "verify/good:1.0.0"

// badInput sends a node all kinds of bad input. Each must be refused as the API says; then the node must still be the
// same process, live, and complete a good order.
func badInput(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true) // a restart is counted, and missed
	if err != nil {
		return nil, err
	}
	if err := node.Ready(ctx); err != nil {
		return nil, err
	}
	conn, err := node.Dial(grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(256 << 20)))
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	t := &target{
		site: s, node: node, conn: conn, orders: conn.Orders(),
		definitions: conn.Definitions(), adapters: adapterv1.NewAdapterServiceClient(conn.Conn()),
	}
	for _, name := range []string{"good", "unoffered"} {
		if err := deploy(ctx, conn, name); err != nil {
			return nil, err
		}
	}
	f := figures{}
	var failures []string
	all := slices.Concat(badOrders(), badCommands(), badDefinitions(), badAdapters(), badBytes(), badUsage())
	for _, c := range all {
		if err := t.one(ctx, c); err != nil {
			failures = append(failures, c.name+": "+err.Error())
			s.sayf("bad_input: %s: %v", c.name, err)
		}
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
	}
	f["cases"], f["wrong"], f["node_starts"] = len(all), len(failures), node.Starts()
	if len(failures) > 0 {
		f["failures"] = failures
	}
	return f, t.fuzz(ctx, f)
}

// one tries a case; after it the node must still complete an order.
func (t *target) one(ctx context.Context, c badCase) error {
	ctx, cancel := context.WithTimeoutCause(ctx, caseTimeout, fmt.Errorf("not over within %v", caseTimeout))
	defer cancel()
	starts := t.node.Starts()
	err := c.try(ctx, t)
	if live := t.node.Live(ctx); live != nil {
		err = errors.Join(err, fmt.Errorf("afterwards the node is not live: %w", live))
	}
	if good := t.good(ctx); good != nil {
		err = errors.Join(err, fmt.Errorf("afterwards a good order fails: %w", good))
	}
	if t.node.Starts() != starts {
		err = errors.Join(err, errors.New("the node ended; its log ends so:\n"+t.node.Tail()))
	}
	return err
}

// goodOrder makes an order that nothing is wrong with.
func goodOrder() *orderv1.WorkOrder {
	return &orderv1.WorkOrder{Id: string(messages.NewOrderID()), Definition: goodDefinition, Input: []byte(`{"count":1}`)}
}

func (t *target) good(ctx context.Context) error {
	r, err := t.orders.Submit(ctx, &orderv1.SubmitRequest{Order: goodOrder(), Wait: orderv1.Wait_WAIT_ENDED}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if got := r.GetOrder().GetStatus(); got != orderv1.Status_STATUS_COMPLETED {
		return fmt.Errorf("it ended as %v", got)
	}
	return nil
}

// refused checks an error: its code, that it explains itself, and that the fields named are told, if any.
func refused(err error, want codes.Code, fields ...string) error {
	st, ok := status.FromError(err)
	switch {
	case err == nil:
		return fmt.Errorf("it was not refused: %v is expected", want)
	case !ok || st.Code() != want:
		return fmt.Errorf("refused with %v: %.300s; %v is expected", st.Code(), st.Message(), want)
	case len(st.Message()) < 10:
		return fmt.Errorf("refused with the message %q, which explains nothing", st.Message())
	}
	var told []string
	reason := ""
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				told = append(told, v.GetField())
				if len(v.GetDescription()) < 5 {
					return fmt.Errorf("of the field %s it is told %q, which explains nothing", v.GetField(), v.GetDescription())
				}
			}
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		}
	}
	if len(fields) > 0 && reason == "" {
		return errors.New("refused without ErrorInfo")
	}
	for _, field := range fields {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, field) }) {
			return fmt.Errorf("refused for the fields %q: %q is expected among them", told, field)
		}
	}
	return nil
}

// fuzz runs all fuzz tests at full scale.
func (t *target) fuzz(ctx context.Context, f figures) error {
	if t.ci() {
		f["fuzz"] = "skipped: scale ci"
		return nil
	}
	out, err := t.command(ctx, t.root, []string{"MAKEFLAGS=", "MAKEOVERRIDES="}, "make", "fuzz", "FUZZTIME=30s")
	f["fuzz"], f["fuzz_failed"] = "30 s for each parser", 0
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		f["fuzz_failed"] = 1
		t.sayf("%v\n%s", err, failures(out))
		return nil
	}
	return err
}

// failures are the parts of what the fuzz tests printed that are of those that failed.
func failures(out []byte) string {
	var failed []string
	for part := range strings.SplitSeq(string(out), "\n== ") {
		if !strings.Contains(part, "\nPASS\n") {
			failed = append(failed, part)
		}
	}
	return strings.Join(failed, "\n== ")
}

func badInputBars(s *site) bars {
	b := bars{"cases": atLeast(80), "node_starts": atMost(1)}.none("wrong")
	if !s.ci() {
		b.none("fuzz_failed")
	}
	return b
}
