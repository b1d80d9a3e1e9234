package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/actors/access"
	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// operateAtOnce is how many orders of a selection are operated on at the same time.
const operateAtOnce = 32

var (
	//nolint:gochecknoglobals // constants
	faultedOnly = []orderv1.Status{orderv1.Status_STATUS_FAULTED}
	//nolint:gochecknoglobals // constants
	suspendedOnly = []orderv1.Status{orderv1.Status_STATUS_SUSPENDED}
	//nolint:gochecknoglobals // constants
	openOnly = []orderv1.Status{
		orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING,
	}
)

// commandOf checks an action, and makes the message that it means. meant are the statuses of the orders that it is for.
func (a admin) commandOf(ctx context.Context, m *mistakes, act *adminv1.Action) (cmd *nodev1.Envelope, meant []orderv1.Status) {
	checkReason(m, "action.by", act.GetBy())
	checkReason(m, "action.reason", act.GetReason())
	by, reason := signed(ctx, act.GetBy()), act.GetReason()
	switch k := act.GetKind().(type) {
	case *adminv1.Action_Retry:
		return reopen(&nodev1.Reopen{
			How: journalv1.Reopening_REOPENING_RETRY, Value: a.value(m, "action.retry.input", k.Retry.Input),
			NotDone: k.Retry.GetNotDone(), Deadline: a.deadline(m, "action.retry", k.Retry.GetDeadline(), k.Retry.GetDeadlineAfter()),
			By: by, Reason: reason,
		}), faultedOnly
	case *adminv1.Action_Skip:
		return reopen(&nodev1.Reopen{
			How: journalv1.Reopening_REOPENING_SKIP, Task: k.Skip.GetTask(), Value: a.value(m, "action.skip.output", k.Skip.Output),
			Deadline: a.deadline(m, "action.skip", k.Skip.GetDeadline(), k.Skip.GetDeadlineAfter()), By: by, Reason: reason,
		}), faultedOnly
	case *adminv1.Action_Restart:
		if k.Restart.GetTask() == "" {
			m.add("action.restart.task", "is missing: name the task to go on with")
		}
		return reopen(&nodev1.Reopen{
			How: journalv1.Reopening_REOPENING_RESTART, Task: k.Restart.GetTask(),
			Value: a.value(m, "action.restart.input", k.Restart.Input), NotDone: k.Restart.GetNotDone(),
			Deadline: a.deadline(m, "action.restart", k.Restart.GetDeadline(), k.Restart.GetDeadlineAfter()), By: by, Reason: reason,
		}), faultedOnly
	case *adminv1.Action_Cancel:
		return &nodev1.Envelope{Message: &nodev1.Envelope_Cancel{Cancel: &nodev1.Cancel{
			Compensate: k.Cancel.GetCompensate(), By: by, Reason: reason,
		}}}, faultedOnly
	case *adminv1.Action_Complete:
		output := a.value(m, "action.complete.output", k.Complete.GetOutput())
		if len(output) == 0 {
			output = []byte("null")
		}
		return &nodev1.Envelope{Message: &nodev1.Envelope_Complete{Complete: &nodev1.Complete{
			Output: output, By: by, Reason: reason,
		}}}, faultedOnly
	case *adminv1.Action_Fault:
		return &nodev1.Envelope{Message: &nodev1.Envelope_Fault{Fault: &nodev1.Fault{
			Error: byHand(k.Fault.GetError(), reason), By: by, Reason: reason,
		}}}, openOnly
	case *adminv1.Action_Suspend:
		return &nodev1.Envelope{Message: &nodev1.Envelope_Suspend{Suspend: &nodev1.Suspend{By: by, Reason: reason}}}, openOnly
	case *adminv1.Action_Resume:
		return &nodev1.Envelope{Message: &nodev1.Envelope_Resume{Resume: &nodev1.Resume{By: by, Reason: reason}}}, suspendedOnly
	}
	m.add("action.kind", "is missing: say what to do")
	return nil, nil
}

func reopen(r *nodev1.Reopen) *nodev1.Envelope {
	return &nodev1.Envelope{Message: &nodev1.Envelope_Reopen{Reopen: r}}
}

// value checks a JSON value, and returns it; nil if none was given.
func (a admin) value(m *mistakes, field string, raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	raw = bytes.TrimSpace(raw)
	if err := checkJSON(raw, a.config.MaxInput, a.config.MaxDepth); err != nil {
		m.add(field, err.Error())
	}
	return raw
}

// byHand is the error of an order that an operator faults.
func byHand(p *problemv1.Problem, reason string) *problemv1.Problem {
	out := &problemv1.Problem{
		Type: p.GetType(), Title: p.GetTitle(), Status: p.GetStatus(), Detail: p.GetDetail(), Instance: p.GetInstance(),
	}
	def := func(field *string, text string) {
		if *field == "" {
			*field = text
		}
	}
	def(&out.Type, messages.ErrorTypeByHand)
	def(&out.Title, "Faulted by an operator")
	def(&out.Detail, reason)
	if out.GetStatus() == 0 {
		out.Status = 500
	}
	return out
}

// Operate implements adminv1.AdminServiceServer.
func (a admin) Operate(ctx context.Context, r *adminv1.OperateRequest) (*adminv1.OperateResponse, error) {
	var m mistakes
	if err := messages.OrderID(r.GetId()).Validate(); err != nil {
		m.add("id", err.Error())
	}
	cmd, _ := a.commandOf(ctx, &m, r.GetAction())
	err := m.err()
	if err == nil && r.GetDryRun() {
		return a.dryRun(ctx, messages.OrderID(r.GetId()), cmd)
	}
	before := a.statusNoted(ctx, r.GetId())
	if err == nil {
		err = a.tell(ctx, messages.OrderID(r.GetId()), cmd)
	}
	var order *orderv1.Order
	if err == nil {
		order, err = a.stands(ctx, r.GetId())
	}
	if err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "status of "+r.GetId(), before, order.GetStatus().String())
	return &adminv1.OperateResponse{Order: order}, nil
}

// dryRunEvents is the most events that a dry run tells.
const dryRunEvents = 1000

// dryRun tells what a message would do to an order, on a copy of it.
func (a admin) dryRun(ctx context.Context, id messages.OrderID, m *nodev1.Envelope) (*adminv1.OperateResponse, error) {
	var order *orderv1.Order
	var events []*orderv1.HistoryEvent
	err := a.reading(ctx, func() (err error) {
		order, events, err = a.engine.View().Trial(ctx, id, m, dryRunEvents, pageBytes)
		return err
	})
	if err != nil {
		return nil, a.fail(err)
	}
	return &adminv1.OperateResponse{Order: order, Events: events}, nil
}

// OperateAll implements adminv1.AdminServiceServer.
func (a admin) OperateAll(r *adminv1.OperateAllRequest, st grpc.ServerStreamingServer[adminv1.OperateAllResponse]) error {
	var m mistakes
	cmd, meant := a.commandOf(st.Context(), &m, r.GetAction())
	s := a.selects(&m, r.GetSelection(), meant...)
	s.query.Sees = access.Of(st.Context()).Sees(access.Operator)
	if !s.limit && !r.GetAll() {
		m.add("selection", "has no condition: give one, or say that all are meant")
	}
	if err := m.err(); err != nil {
		return a.fail(err)
	}
	b := &bulk{admin: a, ctx: st.Context(), send: st.Send, done: make(chan *adminv1.Outcome, operateAtOnce)}
	if r.GetDryRun() {
		selected := int64(0)
		err := a.each(b.ctx, s, func(*journalv1.OrderRow) error { selected++; return nil }, func(string) error { return nil })
		if err == nil {
			err = st.Send(&adminv1.OperateAllResponse{Selected: selected})
		}
		if err != nil {
			return a.fail(err)
		}
		return nil
	}
	return a.noted(b.ctx, adminv1.AdminService_OperateAll_FullMethodName, r, func(ctx context.Context) error {
		b.ctx = ctx
		err := a.each(ctx, s, func(row *journalv1.OrderRow) error { return b.operate(row.GetId(), cmd) },
			func(id string) error { return b.operate(id, cmd) })
		err = errors.Join(err, b.finish())
		note(ctx, "orders that it was done to", "", strconv.Itoa(b.accepted))
		note(ctx, "orders that were not in a state for it", "", strconv.Itoa(b.refused))
		note(ctx, "orders of which it was not told any more", "", strconv.Itoa(b.pending))
		if err != nil {
			return a.fail(err)
		}
		return nil
	})
}

// bulk is a call of OperateAll that is under way.
type bulk struct {
	admin

	ctx     context.Context //nolint:containedctx // lives as long as the call
	send    func(*adminv1.OperateAllResponse) error
	done    chan *adminv1.Outcome // with room for all that are under way, so that no order waits for a slow client
	pending int
	// accepted and refused are how many outcomes were told.
	accepted, refused int
}

// operate begins with one more order, once there is room for it.
func (b *bulk) operate(id string, cmd *nodev1.Envelope) error {
	for b.pending == operateAtOnce {
		if err := b.tell(); err != nil {
			return err
		}
	}
	if err := b.turn(); err != nil {
		return err
	}
	b.pending++
	m := &nodev1.Envelope{Message: cmd.Message} // each has an address of its own
	b.engine.Tell(b.ctx, messages.OrderID(id), m, func(answer *nodev1.Answer) {
		o := &adminv1.Outcome{Id: id}
		if err := failures.Err(answer.GetFailure()); err != nil {
			f := b.explain(err)
			o.Code, o.Reason, o.Message = int32(f.code), f.reason, messages.Clip(f.message, maxMessage) //nolint:gosec // a code is small
		}
		b.done <- o
	})
	return nil
}

// turn waits until an order may do what all are to do, which counts as heavy work.
func (b *bulk) turn() error {
	pass, err := b.enter(b.ctx, runtime.HeavyRead, "")
	if err != nil {
		return err
	}
	pass.Count(operationTakes)
	pass.Leave()
	return nil
}

// tell waits for an outcome, and sends it with those that are there by then.
func (b *bulk) tell() error {
	var out adminv1.OperateAllResponse
	select {
	case o := <-b.done:
		out.Outcomes = append(out.Outcomes, o)
	case <-b.stopping:
		return runtime.ErrStopping
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	for len(b.done) > 0 {
		out.Outcomes = append(out.Outcomes, <-b.done)
	}
	b.pending -= len(out.GetOutcomes())
	for _, o := range out.GetOutcomes() {
		if o.GetCode() == 0 {
			b.accepted++
		} else {
			b.refused++
		}
	}
	if err := b.send(&out); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func (b *bulk) finish() error {
	for b.pending > 0 {
		if err := b.tell(); err != nil {
			return err
		}
	}
	return nil
}
