package view

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// OrderOf is an order as its state tells it. It shares payloads with the state, which does not change them.
func OrderOf(s *workflow.State) *orderv1.Order {
	a := s.Accepted()
	o := &orderv1.Order{
		Id: a.GetOrderId(), Definition: a.GetDefinition(), OrderKey: a.GetOrderKey(), Priority: a.GetPriority(),
		Labels: labelMap(a.GetLabels()), Input: a.GetInput(), ParentId: orderID(a.GetParent().GetOrderId()), AwaitedIds: s.Awaited(),
		PastNoReturn: s.PastReturn(),
	}
	for _, w := range s.Waits() {
		waiting := &orderv1.Waiting{Task: w.Task, Reason: waitsFor(w)}
		if !w.Until.IsZero() {
			waiting.Until = timestamppb.New(w.Until)
		}
		o.Waiting = append(o.Waiting, waiting)
	}
	o.Status, o.Version = s.Status(), uint64(s.Version())
	o.AcceptedAt = timestamppb.New(s.AcceptedAt())
	if d := s.Deadline(); !d.IsZero() {
		o.Deadline = timestamppb.New(d)
	}
	if s.Ended() {
		o.EndedAt = timestamppb.New(s.EndedAt())
		o.Error = endError(s)
	}
	o.Output = output(s)
	return o
}

// EndOf is the status, error and output of an order that has ended.
func EndOf(s *workflow.State) *orderv1.Order {
	return &orderv1.Order{Status: s.Status(), Error: endError(s), Output: output(s)}
}

// output is that of a completed order.
func output(s *workflow.State) []byte {
	if s.Output() == nil {
		return nil
	}
	return s.Output().JSON()
}

// orderID is the id of an instance, if that is an order: what else is the parent of one is nothing that clients know of.
func orderID(id string) string {
	if messages.OrderID(id).Kind() != messages.KindOrder {
		return ""
	}
	return id
}

// Listed is an order as its row tells it.
func Listed(row *journalv1.OrderRow) *orderv1.Order {
	return &orderv1.Order{
		Id: row.GetId(), Definition: row.GetDefinition(), Status: orderv1.Status(row.GetStatus()), OrderKey: row.GetOrderKey(),
		Priority: row.GetPriority(), Labels: labelMap(row.GetLabels()), Deadline: stamp(row.GetDeadline()),
		AcceptedAt: stamp(row.GetAcceptedAt()), EndedAt: stamp(row.GetEndedAt()), ParentId: orderID(row.GetParent()),
	}
}

func labelMap(ls []*journalv1.Label) map[string]string {
	if len(ls) == 0 {
		return nil
	}
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.GetName()] = l.GetValue()
	}
	return m
}

// waitsFor says what an order waits for.
func waitsFor(w workflow.Wait) string {
	var words []string
	for _, t := range w.Events {
		words = append(words, "an event of type "+t)
		if t == "" {
			words[len(words)-1] = "an event"
		}
	}
	if w.Retry > 0 {
		words = append(words, fmt.Sprintf("retry %d", w.Retry))
	}
	if w.Slowed {
		words = append(words, slowed(true))
	}
	if len(words) == 0 {
		return "the end of its wait"
	}
	return strings.Join(words, ", ")
}

// slowed says why an order that is slowed down does not go on at once; nothing of another.
func slowed(down bool) string {
	if !down {
		return ""
	}
	return "slowed down: it has gone back so often without waiting; does it loop, or is its work given back?"
}

// endError says why an order did not complete.
func endError(s *workflow.State) *problemv1.Problem {
	if s.Status() == orderv1.Status_STATUS_CANCELLED && s.Error() == nil {
		return &problemv1.Problem{Title: "Cancelled", Detail: s.Reason()}
	}
	return s.Error()
}

// stamp is a time in nanoseconds since 1970; nil if it is 0.
func stamp(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}
