package view

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// errNoCommand: a message is none that an order decides about by itself.
var errNoCommand = errors.New("message is no command")

// Trial tries out on a copy of an order what a message would do to it: it tells how the order would stand, and at most so many of the
// events that would come of it. Events that would make the answer longer than so many bytes are told without their data.
func (v *View) Trial(
	ctx context.Context, id messages.OrderID, m *nodev1.Envelope, most, bytes int,
) (*orderv1.Order, []*orderv1.HistoryEvent, error) {
	s, _, err := v.Load(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	cmd := workflow.CommandOf(m)
	if cmd == nil {
		return nil, nil, errNoCommand
	}
	h := newHistory(nil, messages.Handle{}, 0)
	h.entered(s.Entered())
	before := s.Version()
	events, err := s.Decide(v.parts.Now(), 0, cmd)
	if err != nil {
		return nil, nil, err
	}
	order := OrderOf(s)
	size := proto.Size(order)
	var told []*orderv1.HistoryEvent
	for i, ev := range events[:min(len(events), most)] {
		e := historyEvent(ev, h.tasks)
		e.Version = uint64(before) + uint64(i) + 1
		if size+len(e.GetData()) > bytes {
			e.Data = nil
		}
		size += proto.Size(e)
		told = append(told, e)
	}
	return order, told, nil
}

// Fallout tells what an operator has to know of an order: no more than most of each kind, and late results of no more than so many
// bytes.
func (v *View) Fallout(ctx context.Context, id messages.OrderID, most, bytes int) (*adminv1.ShowFalloutResponse, error) {
	s, handle, err := v.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &adminv1.ShowFalloutResponse{Order: OrderOf(s), HoldsKey: s.HoldsKey()}
	if s.Faulted() {
		task, input := s.Place()
		out.Task = task
		if input != nil {
			out.Input = input.JSON()
		}
	}
	doubts, undo := s.InDoubt(), s.Compensable()
	out.MoreInDoubt, out.MoreCompensable = int64(max(len(doubts)-most, 0)), int64(max(len(undo)-most, 0))
	for _, d := range doubts[:min(len(doubts), most)] {
		out.InDoubt = append(out.InDoubt, &adminv1.AttemptInDoubt{Task: d.Task, Key: d.Key, Attempt: d.Attempt})
	}
	for _, c := range undo[:min(len(undo), most)] {
		out.Compensable = append(out.Compensable, &adminv1.Compensable{Task: c.Task, Key: c.Key, InDoubt: c.InDoubt})
	}
	out.LateResults, out.MoreLateResults, err = v.lateResults(ctx, handle, most, bytes)
	return out, err
}

// lateResults are the first results of an order that came after their tasks had been left, and how many more there are.
func (v *View) lateResults(
	ctx context.Context, handle messages.Handle, most, bytes int,
) (told []*orderv1.HistoryEvent, others int64, err error) {
	size := 0
	h := newHistory(v.parts.Journal, handle, 1)
	err = h.Read(ctx, func(int) bool { return true }, func(ev *orderv1.HistoryEvent) bool {
		if ev.GetEventType() != eventtype.ResultLate {
			return true
		}
		size += proto.Size(ev)
		if len(told) > 0 && (size > bytes || len(told) == most) {
			others++
		} else {
			told = append(told, proto.CloneOf(ev))
		}
		return true
	})
	return told, others, err
}
