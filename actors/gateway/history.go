package gateway

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

const (
	defaultHistoryPage = 1000
	maxPage            = 1000
)

// History implements orderv1.OrderServiceServer.
func (o orders) History(ctx context.Context, r *orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
	var m mistakes
	limit := checkLimit(&m, "page_size", r.GetPageSize(), defaultHistoryPage)
	if err := m.err(); err != nil {
		return nil, o.fail(err)
	}
	entry, err := o.find(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	out := &orderv1.HistoryResponse{}
	h := newHistory(o.engine.Journal(), entry.Handle, messages.Version(r.GetFromVersion()))
	err = h.read(ctx, func(ev *orderv1.HistoryEvent) bool {
		if len(out.GetEvents()) == limit {
			out.NextVersion = ev.GetVersion()
			return false
		}
		out.Events = append(out.Events, ev)
		return true
	})
	if err != nil {
		return nil, o.fail(err)
	}
	return out, nil
}

// checkLimit checks how many of something are asked for; 0: otherwise.
func checkLimit(m *mistakes, field string, asked int32, otherwise int) int {
	if asked < 0 || asked > maxPage {
		m.add(field, fmt.Sprintf("is %d, and must be from 0 to %d", asked, maxPage))
	}
	if asked == 0 {
		return otherwise
	}
	return int(asked)
}

func (s *Server) find(ctx context.Context, id string) (persistence.Entry, error) {
	if err := checkID(id); err != nil {
		return persistence.Entry{}, s.fail(err)
	}
	e, err := s.engine.Journal().Find(ctx, messages.OrderID(id))
	if err != nil {
		return e, s.fail(fmt.Errorf("order %s: %w", id, err))
	}
	return e, nil
}

// history reads the history of one order from a version on, and goes on where it stopped.
type history struct {
	journal persistence.Reader
	handle  messages.Handle
	from    messages.Version // the first to tell
	next    messages.Version // the next to read
	// tasks are what the frames stand for: events name them by number, and only the first by name. So a history is always
	// read from its beginning.
	tasks map[uint32]task
	ended bool // the event that ends the order was read, and none that reopens it since
}

func newHistory(j persistence.Reader, h messages.Handle, from messages.Version) *history {
	return &history{journal: j, handle: h, from: from, next: 1, tasks: map[uint32]task{}}
}

// read tells events until there are none, or tell refuses one.
func (h *history) read(ctx context.Context, tell func(*orderv1.HistoryEvent) bool) error {
	for stored, err := range h.journal.Records(ctx, h.handle, h.next) {
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return persistence.DecodeError("record", err)
		}
		for i, ev := range r.GetEvents() {
			v := stored.First + messages.Version(i)
			if v < h.next {
				continue
			}
			out := historyEvent(ev, h.tasks)
			out.Version = uint64(v)
			if v >= h.from && !tell(out) {
				return nil
			}
			h.next = v + 1
			h.ended = (h.ended || isEnd(out.GetType())) && ev.GetOrderReopened() == nil
		}
	}
	return nil
}

// Watch implements orderv1.OrderServiceServer.
func (o orders) Watch(r *orderv1.WatchRequest, st grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
	ctx := st.Context()
	grown := make(chan struct{}, 1)
	forget := o.engine.Wait(messages.OrderID(r.GetId()), &actors.Waiter{Grown: func() {
		select {
		case grown <- struct{}{}:
		default:
		}
	}})
	defer forget()
	entry, err := o.find(ctx, r.GetId())
	if err != nil {
		return err
	}
	h := newHistory(o.engine.Journal(), entry.Handle, messages.Version(r.GetFromVersion()))
	for {
		if err := tellNew(st, h); err != nil {
			return o.fail(err)
		}
		if h.ended {
			return nil
		}
		select {
		case <-grown:
		case <-o.stopping:
			return o.fail(actors.ErrStopping)
		case <-ctx.Done():
			return o.fail(ctx.Err())
		}
	}
}

// tellNew sends what is new.
func tellNew(st grpc.ServerStreamingServer[orderv1.WatchResponse], h *history) error {
	var page []*orderv1.HistoryEvent
	var failed error
	send := func() bool {
		if len(page) > 0 {
			failed = st.Send(&orderv1.WatchResponse{Events: page})
			page = nil
		}
		return failed == nil
	}
	err := h.read(st.Context(), func(ev *orderv1.HistoryEvent) bool {
		page = append(page, ev)
		return len(page) < maxFrame || send()
	})
	if err != nil {
		return err
	}
	send()
	if failed != nil {
		return fmt.Errorf("send: %w", failed)
	}
	return nil
}

func isEnd(typ string) bool {
	return typ == "order.completed" || typ == "order.faulted" || typ == "order.cancelled"
}

// task is what a frame number stands for.
type task struct {
	ref, activity, key, child string
	attempt                   uint32
}

// historyEvent tells one event to people and programs.
func historyEvent(ev *journalv1.Event, tasks map[uint32]task) *orderv1.HistoryEvent {
	h := &orderv1.HistoryEvent{At: timestamppb.New(time.Unix(0, ev.GetAt()))}
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted:
		h.Type, h.Data = "order.accepted", e.OrderAccepted.GetInput()
	case *journalv1.Event_OrderStarted:
		h.Type, h.Data, h.Due = "order.started", e.OrderStarted.GetInput(), stamp(e.OrderStarted.GetTimeoutAt())
	case *journalv1.Event_TaskStarted:
		tasks[e.TaskStarted.GetFrame()] = task{ref: e.TaskStarted.GetTask()}
		of(e.TaskStarted.GetFrame())
		h.Type, h.Data, h.Due = "task.started", e.TaskStarted.GetInput(), stamp(e.TaskStarted.GetTimeoutAt())
	case *journalv1.Event_TaskSkipped:
		h.Type, h.Task = "task.skipped", e.TaskSkipped.GetTask()
	case *journalv1.Event_TaskCompleted:
		of(e.TaskCompleted.GetFrame())
		h.Type, h.Data = "task.completed", e.TaskCompleted.GetOutput()
		h.Due, h.Reason = stamp(e.TaskCompleted.GetSlowedUntil()), slowed(e.TaskCompleted.GetSlowedUntil() != 0)
	case *journalv1.Event_TaskFaulted:
		of(e.TaskFaulted.GetFrame())
		h.Type, h.Error = "task.faulted", e.TaskFaulted.GetError()
	case *journalv1.Event_StopRequested:
		of(e.StopRequested.GetFrame())
		h.Type, h.Due, h.Compensate = "stop.requested", stamp(e.StopRequested.GetUntil()), e.StopRequested.GetCompensate()
		h.Error, h.By, h.Reason = e.StopRequested.GetError(), e.StopRequested.GetBy(), e.StopRequested.GetReason()
	case *journalv1.Event_LateResult:
		l := e.LateResult
		h.Type, h.Task, h.Key, h.Attempt, h.Data, h.Error = lateResult, l.GetTask(), l.GetKey(), l.GetAttempt(), l.GetOutput(), l.GetError()
	case *journalv1.Event_OrderCompleted:
		h.Type, h.Data = "order.completed", e.OrderCompleted.GetOutput()
		h.By, h.Reason = e.OrderCompleted.GetBy(), e.OrderCompleted.GetReason()
	case *journalv1.Event_OrderFaulted:
		h.Type, h.Error = "order.faulted", e.OrderFaulted.GetError()
		h.By, h.Reason = e.OrderFaulted.GetBy(), e.OrderFaulted.GetReason()
	case *journalv1.Event_OrderCancelled:
		h.Type, h.By, h.Reason = "order.cancelled", e.OrderCancelled.GetBy(), e.OrderCancelled.GetReason()
	default:
		waitEvent(h, ev, tasks)
	}
	return h
}

// waitEvent tells of waits, and of errors that were caught.
func waitEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task = tasks[frame].ref }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_WaitStarted:
		of(e.WaitStarted.GetFrame())
		h.Type, h.Due = "wait.started", stamp(e.WaitStarted.GetDue())
	case *journalv1.Event_RetryScheduled:
		of(e.RetryScheduled.GetFrame())
		h.Type, h.Due, h.Error = "retry.scheduled", stamp(e.RetryScheduled.GetDue()), e.RetryScheduled.GetError()
		h.Reason = slowed(e.RetryScheduled.GetSlowed())
	case *journalv1.Event_RetryStarted:
		of(e.RetryStarted.GetFrame())
		h.Type, h.Due = "retry.started", stamp(e.RetryStarted.GetTimeoutAt())
	case *journalv1.Event_CatchStarted:
		of(e.CatchStarted.GetFrame())
		h.Type, h.Error = "catch.started", e.CatchStarted.GetError()
	default:
		attemptEvent(h, ev, tasks)
	}
}

// attemptEvent tells what happened to an attempt.
func attemptEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) {
		t := tasks[frame]
		h.Task, h.Attempt, h.Key, h.Activity = t.ref, t.attempt, t.key, t.activity
	}
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_AttemptScheduled:
		a := e.AttemptScheduled
		t := tasks[a.GetFrame()]
		t.activity, t.key, t.attempt = a.GetActivity(), a.GetKey(), a.GetAttempt()
		tasks[a.GetFrame()] = t
		of(a.GetFrame())
		h.Type, h.Data, h.Due = "attempt.scheduled", a.GetInput(), stamp(a.GetDeadline())
	case *journalv1.Event_AttemptOverflowed:
		of(e.AttemptOverflowed.GetFrame())
		h.Type = "attempt.overflowed"
	case *journalv1.Event_AttemptSent:
		of(e.AttemptSent.GetFrame())
		h.Type = "attempt.sent"
	case *journalv1.Event_AttemptOverdue:
		of(e.AttemptOverdue.GetFrame())
		h.Type = "attempt.overdue"
	case *journalv1.Event_InquiryStarted:
		i := e.InquiryStarted
		tasks[i.GetFrame()] = task{ref: i.GetTask(), key: i.GetKey()}
		of(i.GetFrame())
		h.Type, h.Key = "inquiry.started", i.GetKey()
	case *journalv1.Event_InquiryEnded:
		of(e.InquiryEnded.GetFrame())
		h.Type, h.Key = "inquiry.ended", tasks[e.InquiryEnded.GetFrame()].key
	case *journalv1.Event_AttemptEnded:
		of(e.AttemptEnded.GetFrame())
		h.Type, h.Data, h.Error = "attempt."+outcome(e.AttemptEnded.GetOutcome()), e.AttemptEnded.GetOutput(), e.AttemptEnded.GetError()
	default:
		familyEvent(h, ev, tasks)
	}
}

// slowed says why an order that is slowed down does not go on at once; nothing of another.
func slowed(down bool) string {
	if !down {
		return ""
	}
	return "slowed down: it has gone back in its tasks so often without waiting; does it loop?"
}

// lateResult is the type of the event that tells a result which came after its task had been left.
const lateResult = "result.late"

// familyEvent tells what has to do with a child order, or with the parent.
func familyEvent(h *orderv1.HistoryEvent, ev *journalv1.Event, tasks map[uint32]task) {
	of := func(frame uint32) { h.Task, h.ChildId = tasks[frame].ref, tasks[frame].child }
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_ChildScheduled:
		t := tasks[e.ChildScheduled.GetFrame()]
		t.child = e.ChildScheduled.GetChildId()
		tasks[e.ChildScheduled.GetFrame()] = t
		of(e.ChildScheduled.GetFrame())
		h.Type, h.Data = "child.scheduled", e.ChildScheduled.GetInput()
	case *journalv1.Event_ChildFaulted:
		of(e.ChildFaulted.GetFrame())
		h.Type, h.Error = "child.faulted", e.ChildFaulted.GetError()
	case *journalv1.Event_ChildEnded:
		of(e.ChildEnded.GetFrame())
		h.Type, h.Data, h.Error = "child.ended", e.ChildEnded.GetOutput(), e.ChildEnded.GetError()
	case *journalv1.Event_ParentTold:
		h.Type = "parent.told"
	default:
		operatorEvent(h, ev)
	}
}

// operatorEvent tells what an operator did, and what follows from that.
func operatorEvent(h *orderv1.HistoryEvent, ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_KeyReleased:
		h.Type, h.By, h.Reason = "key.released", e.KeyReleased.GetBy(), e.KeyReleased.GetReason()
	case *journalv1.Event_OrderReopened:
		h.Type, h.By, h.Reason = "order."+reopening(e.OrderReopened.GetHow()), e.OrderReopened.GetBy(), e.OrderReopened.GetReason()
		h.Task, h.Data, h.Due = e.OrderReopened.GetTask(), e.OrderReopened.GetInput(), stamp(e.OrderReopened.GetDeadline())
		h.NotDone, h.Compensate = e.OrderReopened.GetNotDone(), e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_CANCEL
		if e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_SKIP {
			h.Data = e.OrderReopened.GetOutput()
		}
	case *journalv1.Event_CompensationStarted:
		h.Type, h.Task, h.Key = "compensation.started", e.CompensationStarted.GetTask(), e.CompensationStarted.GetKey()
	case *journalv1.Event_CompensationEnded:
		h.Type, h.Task, h.Key = "compensation.ended", e.CompensationEnded.GetTask(), e.CompensationEnded.GetKey()
	case *journalv1.Event_OrderContinued:
		h.Type = "order.continued"
	case *journalv1.Event_OrderSuspended:
		h.Type, h.By, h.Reason = "order.suspended", e.OrderSuspended.GetBy(), e.OrderSuspended.GetReason()
	case *journalv1.Event_OrderResumed:
		h.Type, h.By, h.Reason = "order.resumed", e.OrderResumed.GetBy(), e.OrderResumed.GetReason()
	}
}

func reopening(how journalv1.Reopening) string {
	switch how {
	case journalv1.Reopening_REOPENING_SKIP:
		return "skipped"
	case journalv1.Reopening_REOPENING_RESTART:
		return "restarted"
	case journalv1.Reopening_REOPENING_CANCEL:
		return "cancelling"
	case journalv1.Reopening_REOPENING_RETRY, journalv1.Reopening_REOPENING_UNSPECIFIED:
	}
	return "retried"
}

func outcome(o journalv1.Outcome) string {
	switch o {
	case journalv1.Outcome_OUTCOME_SUCCEEDED:
		return "succeeded"
	case journalv1.Outcome_OUTCOME_FAILED:
		return "failed"
	case journalv1.Outcome_OUTCOME_NOT_DONE:
		return "not_done"
	case journalv1.Outcome_OUTCOME_IN_DOUBT, journalv1.Outcome_OUTCOME_UNSPECIFIED:
	}
	return "in_doubt"
}

func stamp(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}
