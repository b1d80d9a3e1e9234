package constructs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// World is where cases are run.
type World struct {
	// Conn leads to the API of a node, Admin to its administration.
	Conn, Admin *client.Client
	// Fetch gets what definitions refer to.
	Fetch client.Fetch
	// Log is where stubs and stand-ins write down what they do.
	Log *Log
	// Short has orders that wait for long not be awaited: it is enough that they say until when they wait.
	Short bool
}

// Running is a case that is run.
type Running struct {
	*World
	Case

	// ID is that of the order, Definition and Namespace are its own.
	ID, Definition, Namespace string
}

const (
	// patience is how long a call is repeated while nodes are away: they may be killed again and again.
	patience = 2 * time.Minute
	// pollEvery is how often something is asked again.
	pollEvery = 20 * time.Millisecond
	// waitSlack is by how much the end of a wait may differ from what is expected.
	waitSlack = 5 * time.Second
)

var patiently = client.Patiently(client.Patience{Most: patience})

// errUnlike says what is not as the case says.
var errUnlike = errors.New("it is not as it should be")

func unlike(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnlike, fmt.Sprintf(format, args...))
}

// Run runs a case, and returns what is not as it says. The order gets an id, if it does not get another one by itself.
func (w *World) Run(ctx context.Context, c Case, id string) error {
	r := &Running{World: w, Case: c, ID: id}
	if refused, err := r.deploy(ctx); refused || err != nil {
		return err
	}
	if c.Comes != Submitted {
		defer r.pause(ctx)
	}
	if unfit, err := r.begin(ctx); unfit || err != nil {
		return err
	}
	if err := r.publish(ctx); err != nil {
		return err
	}
	if err := r.find(ctx); err != nil {
		return err
	}
	if c.Meanwhile != nil {
		if err := c.Meanwhile(ctx, r); err != nil {
			return err
		}
	}
	if w.Short && c.Waits > 0 {
		return r.waits(ctx)
	}
	order, err := r.end(ctx)
	if err != nil {
		return err
	}
	return r.judge(ctx, order)
}

// deploy deploys the definitions. It tells whether that was refused, as it should be.
func (r *Running) deploy(ctx context.Context) (refused bool, err error) {
	for _, document := range append(slices.Clip(r.Needs), r.Document) {
		deployed, err := r.Conn.Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(document)}, r.Fetch, patiently)
		if r.Refused != "" && status.Code(err) == codes.InvalidArgument {
			if said := Told(err); !strings.Contains(said, r.Refused) {
				return true, unlike("it is refused as %s", said)
			}
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("deploy: %s: %w", Told(err), err)
		}
		r.Definition, r.Namespace = messages.RefOf(deployed.GetDefinition()).String(), deployed.GetDefinition().GetNamespace()
	}
	if r.Refused != "" {
		return false, unlike("it is not refused")
	}
	return false, nil
}

// Told is all that an error of the API says.
func Told(err error) string {
	s, _ := status.FromError(err)
	parts := []string{s.Message()}
	for _, detail := range s.Details() {
		if bad, is := detail.(*errdetails.BadRequest); is {
			for _, v := range bad.GetFieldViolations() {
				parts = append(parts, v.GetField()+": "+v.GetDescription())
			}
		}
	}
	return strings.Join(parts, "; ")
}

// name is the name of the definition, without its version.
func (r *Running) name() string {
	name, _, _ := strings.Cut(r.Definition, ":")
	return name
}

// begin has the order come into being, if it does not by itself. It tells whether that was refused, as it should be.
func (r *Running) begin(ctx context.Context) (refused bool, err error) {
	switch r.Comes {
	case Submitted:
		_, err = r.submit(ctx, orderv1.Wait_WAIT_ACCEPTED)
		if r.Unfit != "" && status.Code(err) == codes.InvalidArgument {
			if said := Told(err); !strings.Contains(said, r.Unfit) {
				return true, unlike("the order is refused as %s", said)
			}
			return true, nil
		}
		if err == nil && r.Unfit != "" {
			err = unlike("the order is not refused")
		}
	case Triggered:
		err = r.trigger(ctx)
	case ByItself:
	}
	return false, err
}

// trigger triggers the schedule, as soon as there is one: it takes over some time after its deployment.
func (r *Running) trigger(ctx context.Context) error {
	return eventually(ctx, func() (bool, error) {
		_, err := r.Admin.Admin().TriggerSchedule(ctx, &adminv1.TriggerScheduleRequest{
			Definition: r.name(), OrderId: r.ID, Input: []byte(r.Input), By: "verify", Reason: "it is wanted now",
		}, patiently)
		switch status.Code(err) {
		case codes.OK, codes.AlreadyExists:
			return true, nil
		case codes.NotFound, codes.Unavailable: // nobody repeats it, if the node is gone
			return false, nil
		default:
			return false, fmt.Errorf("trigger: %w", err)
		}
	})
}

func (r *Running) submit(ctx context.Context, until orderv1.Wait) (*orderv1.Order, error) {
	answer, err := r.Conn.Orders().Submit(ctx, &orderv1.SubmitRequest{
		Order: &orderv1.WorkOrder{Id: r.ID, Definition: r.Definition, Input: []byte(r.Input)}, Wait: until,
	}, patiently)
	if err != nil {
		return nil, fmt.Errorf("submit: %w", err)
	}
	return answer.GetOrder(), nil
}

// publish publishes the events, each one once those before it were consumed.
func (r *Running) publish(ctx context.Context) error {
	due := 0
	for i, e := range r.Events {
		if r.Comes != ByItself {
			if err := r.Consumed(ctx, due); err != nil {
				return err
			}
		}
		if !e.Passed {
			due++
		}
		source := e.Source
		if source == "" {
			source = "/" + r.Name
		}
		_, err := r.Conn.Events().Publish(ctx, &eventv1.PublishRequest{Namespace: r.Namespace, Events: []*eventv1.Event{{
			Id: fmt.Sprint(r.ID, "-", i), Source: source, Type: e.Type, Extensions: e.Extensions, Data: []byte(e.Data),
		}}}, patiently)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// Consumed waits until the order has consumed so many events, or has ended.
func (r *Running) Consumed(ctx context.Context, n int) error {
	return r.until(ctx, func(history []*orderv1.HistoryEvent) bool {
		consumed := 0
		for _, e := range history {
			switch e.GetEventType() {
			case eventtype.EventConsumed:
				consumed++
			case eventtype.OrderCompleted, eventtype.OrderFaulted, eventtype.OrderCancelled:
				return true
			default:
			}
		}
		return consumed >= n
	})
}

// Done waits until so much was done by the order.
func (r *Running) Done(ctx context.Context, n int) error {
	return eventually(ctx, func() (bool, error) { return len(r.Log.Of(r.ID)) >= n, nil })
}

// Happened waits until something of a type has happened to the order so often.
func (r *Running) Happened(ctx context.Context, what orderv1.EventType, n int) error {
	return r.until(ctx, func(history []*orderv1.HistoryEvent) bool {
		seen := 0
		for _, e := range history {
			if e.GetEventType() == what {
				seen++
			}
		}
		return seen >= n
	})
}

// until waits until the history of the order is as it is to be.
func (r *Running) until(ctx context.Context, is func([]*orderv1.HistoryEvent) bool) error {
	return eventually(ctx, func() (bool, error) {
		history, err := r.history(ctx)
		return err == nil && is(history), err
	})
}

// Cancel has the order cancelled.
func (r *Running) Cancel(ctx context.Context, compensate bool) error {
	_, err := r.Conn.Orders().Cancel(ctx, &orderv1.CancelRequest{
		Id: r.ID, Reason: "it is over", Compensate: compensate, By: "verify",
	}, patiently)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	return nil
}

// eventually waits until something holds.
func eventually(ctx context.Context, holds func() (bool, error)) error {
	return stage.Eventually(ctx, pollEvery, holds)
}

// find finds out which order has come into being by itself.
func (r *Running) find(ctx context.Context) error {
	if r.Comes != ByItself {
		return nil
	}
	return eventually(ctx, func() (bool, error) {
		page, err := r.Conn.Orders().List(ctx, &orderv1.ListRequest{Definition: r.Definition}, patiently)
		if err != nil {
			return false, fmt.Errorf("list orders: %w", err)
		}
		for _, o := range page.GetOrders() {
			r.ID = o.GetId() // the last one is the first that there was
		}
		return len(page.GetOrders()) > 0, nil
	})
}

// pause has no more orders come into being: the case is over.
func (r *Running) pause(ctx context.Context) {
	_, _ = r.Admin.Admin().PauseSchedule(ctx, &adminv1.PauseScheduleRequest{ // what comes on events alone needs none
		Definition: r.name(), By: "verify", Reason: "the case is over",
	}, patiently)
}

// get gets the order.
func (r *Running) get(ctx context.Context) (*orderv1.Order, error) {
	answer, err := r.Conn.Orders().Get(ctx, &orderv1.GetRequest{Id: r.ID}, patiently)
	if err != nil {
		return nil, fmt.Errorf("get the order: %w", err)
	}
	return answer.GetOrder(), nil
}

// waits returns once the order waits, and looks until when.
func (r *Running) waits(ctx context.Context) error {
	var order *orderv1.Order
	err := eventually(ctx, func() (_ bool, err error) {
		order, err = r.get(ctx)
		return err == nil && order.GetStatus() != orderv1.Status_STATUS_PENDING && order.GetStatus() != orderv1.Status_STATUS_RUNNING, err
	})
	if err != nil {
		return err
	}
	for _, w := range order.GetWaiting() {
		late := w.GetUntil().AsTime().Sub(order.GetAcceptedAt().AsTime()) - r.Waits
		if w.GetUntil() != nil && late >= 0 && late < waitSlack {
			return nil
		}
	}
	return unlike("the order is %v, accepted at %v, and waits for %v", order.GetStatus(), order.GetAcceptedAt().AsTime(), order.GetWaiting())
}

// end waits for the end of the order.
func (r *Running) end(ctx context.Context) (*orderv1.Order, error) {
	if r.Comes == Submitted {
		return r.submit(ctx, orderv1.Wait_WAIT_ENDED)
	}
	var order *orderv1.Order
	err := eventually(ctx, func() (_ bool, err error) {
		order, err = r.get(ctx)
		return order.GetEndedAt() != nil, err
	})
	return order, err
}

// history reads the history of the order.
func (r *Running) history(ctx context.Context) ([]*orderv1.HistoryEvent, error) {
	return stage.History(ctx, r.Conn.Orders(), r.ID, patiently)
}
