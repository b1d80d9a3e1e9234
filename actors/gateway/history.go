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
	// pageBytes is about the most bytes of a page, but for one that has a single larger thing: clients take 4 MiB if they
	// don't say otherwise.
	pageBytes = 1 << 20
	// eventOverhead is what a message takes for an event, or the like, beside that itself.
	eventOverhead = 5
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
	h := newHistory(o.engine.Journal(), entry.Handle, messages.Version(r.GetFromVersion()))
	p := newPage(limit)
	if err := h.read(ctx, p.room, p.add); err != nil {
		putBuffer(p.buffer)
		return nil, o.fail(err)
	}
	out := &orderv1.HistoryResponse{}
	if p.more {
		out.NextVersion = uint64(h.next)
	}
	claimOf(ctx).encoded = p.buffer
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
	next    messages.Version // the next to read; 0: where to begin is not known yet
	record  messages.Version // the first of the record that the next is in
	// tasks are what the frames stand for: events name them by number, and only the first by name. Those that were left are
	// forgotten when the history names the tasks that are entered.
	tasks map[uint32]task
	// ended: the last event read that ends the order was not followed by one that reopens it.
	ended bool
}

func newHistory(j persistence.Reader, h messages.Handle, from messages.Version) *history {
	return &history{journal: j, handle: h, from: max(from, 1), tasks: map[uint32]task{}}
}

// read tells events until there are none, or tell refuses one. Room is asked before, so that one of which only the size is
// known is not decoded in vain: the journal has so many bytes of it. What is told is valid until tell returns.
func (h *history) read(ctx context.Context, room func(bytes int) bool, tell func(*orderv1.HistoryEvent) bool) error {
	landmark, err := h.locate(ctx)
	if err != nil || landmark == 0 && h.next == 0 {
		return err
	}
	for stored, err := range h.journal.Records(ctx, h.handle, max(landmark, h.record)) {
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		if landmark != 0 {
			head, err := headOf(stored)
			if err == nil && (stored.First != landmark || head.GetEntered() == nil) {
				err = persistence.DecodeError("history", fmt.Errorf("the record with version %d does not name the tasks entered", landmark))
			}
			if err != nil {
				return err
			}
			h.entered(head.GetEntered())
			landmark = 0
			continue
		}
		if more, err := h.tellRecord(stored, room, tell); !more || err != nil {
			return err
		}
	}
	return nil
}

// tellRecord tells the events of a record, and whether all were taken.
func (h *history) tellRecord(
	stored persistence.StoredRecord, room func(int) bool, tell func(*orderv1.HistoryEvent) bool,
) (more bool, err error) {
	h.record = stored.First
	v := stored.First
	for raw, err := range persistence.Events(stored.Data) {
		if err != nil {
			return false, persistence.DecodeError("record", err)
		}
		if v < h.next {
			v++
			continue
		}
		if v >= h.from && !room(len(raw)) {
			return false, nil
		}
		ev, payloads, err := decodeEvent(raw)
		if err != nil {
			return false, err
		}
		out := historyEvent(ev, h.tasks)
		out.Version, out.Data = uint64(v), payload(out.GetData(), payloads)
		if v >= h.from && !tell(out) {
			return false, nil
		}
		v++
		h.next = v
		h.ended = (h.ended || isEnd(out.GetType())) && ev.GetOrderReopened() == nil
	}
	h.record = v
	head, err := headOf(stored)
	if err == nil && head.GetEntered() != nil {
		h.entered(head.GetEntered())
	}
	return err == nil, err
}

// locate finds out where to begin, so that what the numbers of frames stand for is known at the first version wanted. It
// returns the record that tells so; 0 if reading goes on, begins at the first event, or has to wait for the first version
// wanted.
func (h *history) locate(ctx context.Context) (messages.Version, error) {
	if h.next == 0 && h.from == 1 {
		h.next = 1
	}
	if h.next != 0 {
		return 0, nil
	}
	for stored, err := range h.journal.Records(ctx, h.handle, h.from) {
		if err != nil {
			return 0, fmt.Errorf("read history: %w", err)
		}
		head, err := headOf(stored)
		if err != nil {
			return 0, err
		}
		if head.GetEnteredAt() == 0 {
			h.next = 1
		}
		return messages.Version(head.GetEnteredAt()), nil
	}
	return 0, nil
}

func headOf(stored persistence.StoredRecord) (*journalv1.RecordHead, error) {
	head := new(journalv1.RecordHead)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(stored.Data, head); err != nil {
		return nil, persistence.DecodeError("record", err)
	}
	return head, nil
}

// entered takes over what the numbers of frames stand for.
func (h *history) entered(e *journalv1.TasksEntered) {
	clear(h.tasks)
	for _, t := range e.GetTasks() {
		h.tasks[t.GetFrame()] = task{
			ref: t.GetTask(), activity: t.GetActivity(), key: t.GetKey(), child: t.GetChildId(), attempt: t.GetAttempt(),
		}
	}
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
		if err := o.tellNew(st, h); err != nil {
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

// tellNew sends what is new. What is behind is not read, so whether the order had ended by then is asked first.
func (o orders) tellNew(st grpc.ServerStreamingServer[orderv1.WatchResponse], h *history) error {
	ctx := st.Context()
	row, err := h.journal.Row(ctx, h.handle)
	if err != nil {
		return fmt.Errorf("read the order's row: %w", err)
	}
	h.ended = row.GetEndedAt() != 0
	for more := true; more; {
		c, err := o.unsent.take(ctx)
		if err != nil {
			return err
		}
		p := newPage(maxFrame)
		err = h.read(ctx, p.room, p.add)
		if err != nil || p.events == 0 {
			putBuffer(p.buffer)
			c.give()
			return err
		}
		more, c.encoded = p.more, p.buffer
		if err := send(st, &orderv1.WatchResponse{}, c); err != nil {
			return err
		}
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
		h.Type, h.Ledger, h.MaybeStarted = "attempt.sent", e.AttemptSent.GetLedger(), e.AttemptSent.GetMaybeStarted()
	case *journalv1.Event_AttemptLost:
		l := e.AttemptLost
		of(l.GetFrame())
		h.Type, h.Process, h.Alone, h.Suspect = "attempt.lost", l.GetProcess(), l.GetAlone(), l.GetSuspect()
	case *journalv1.Event_AttemptFound:
		of(e.AttemptFound.GetFrame())
		h.Type, h.Process, h.Kept = "attempt.found", e.AttemptFound.GetProcess(), e.AttemptFound.GetKept()
	case *journalv1.Event_AttemptOverdue:
		of(e.AttemptOverdue.GetFrame())
		if h.Type = "attempt.overdue"; e.AttemptOverdue.GetGoesOn() {
			h.Type = "attempt.goes_on"
		}
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
		h.Due, h.Reason = stamp(e.AttemptEnded.GetSlowedUntil()), slowed(e.AttemptEnded.GetSlowedUntil() != 0)
	default:
		familyEvent(h, ev, tasks)
	}
}

// slowed says why an order that is slowed down does not go on at once; nothing of another.
func slowed(down bool) string {
	if !down {
		return ""
	}
	return "slowed down: it has gone back so often without waiting; does it loop, or is its work given back?"
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
