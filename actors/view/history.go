package view

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// History finds the history of an order, to be read from a version on.
func (v *View) History(ctx context.Context, id messages.OrderID, from messages.Version) (*History, error) {
	e, err := v.parts.Journal.Find(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("order %s: %w", id, err)
	}
	h := newHistory(v.parts.Journal, e.Handle, from)
	h.partition = e.Partition
	return h, nil
}

// Partition returns the partition of the order.
func (h *History) Partition() messages.Partition { return h.partition }

// Next returns the version of the next event to be read.
func (h *History) Next() messages.Version { return h.next }

// Ended tells whether the order had ended, as far as its history was read.
func (h *History) Ended() bool { return h.ended }

// Behind notes whether the order has ended already, for a reader who wants only the events that come from now on.
func (h *History) Behind(ctx context.Context) error {
	row, err := h.journal.Row(ctx, h.handle)
	if err != nil {
		return fmt.Errorf("read the order's row: %w", err)
	}
	h.ended = row.GetEndedAt() != 0
	return nil
}

// History reads the history of one order from a version on, and goes on where it stopped.
type History struct {
	journal   Journal
	handle    messages.Handle
	partition messages.Partition
	from      messages.Version // the first to tell
	next      messages.Version // the next to read; 0: where to begin is not known yet
	record    messages.Version // the first of the record that the next is in
	// tasks are the tasks entered, by the numbers of their frames: only the first event of a frame names its task. Those that were left
	// are forgotten at the next landmark.
	tasks map[uint32]task
	// ended: the order has ended with one of the events read, and was not reopened since.
	ended bool
}

func newHistory(j Journal, h messages.Handle, from messages.Version) *History {
	return &History{journal: j, handle: h, from: max(from, 1), tasks: map[uint32]task{}}
}

// Read tells events until there are no more, or tell refuses one. Before an event is decoded, room is asked whether there is room for it:
// it is given the size that the event has in the journal. What is told is valid until tell returns.
func (h *History) Read(ctx context.Context, room func(bytes int) bool, tell func(*orderv1.HistoryEvent) bool) error {
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
func (h *History) tellRecord(
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
		h.ended = (h.ended || isEnd(out.GetEventType())) && ev.GetOrderReopened() == nil
	}
	h.record = v
	head, err := headOf(stored)
	if err == nil && head.GetEntered() != nil {
		h.entered(head.GetEntered())
	}
	return err == nil, err
}

// locate finds out at which landmark to begin, so that the tasks of all frames are known at the first version wanted. It returns the
// version of that record; 0 if reading goes on, begins at the first event, or has to wait for the first version wanted.
func (h *History) locate(ctx context.Context) (messages.Version, error) {
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

// Told returns what people and programs are told of a whole history, from its first event on, that is in memory.
func Told(events []*journalv1.Event) []*orderv1.HistoryEvent {
	tasks := map[uint32]task{}
	out := make([]*orderv1.HistoryEvent, 0, len(events))
	for i, ev := range events {
		told := historyEvent(ev, tasks)
		told.Version = uint64(i) + 1
		out = append(out, told)
	}
	return out
}

func headOf(stored persistence.StoredRecord) (*journalv1.RecordHead, error) {
	head := new(journalv1.RecordHead)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(stored.Data, head); err != nil {
		return nil, persistence.DecodeError("record", err)
	}
	return head, nil
}

// entered takes over the tasks that a landmark names.
func (h *History) entered(e *journalv1.TasksEntered) {
	clear(h.tasks)
	for _, t := range e.GetTasks() {
		h.tasks[t.GetFrame()] = task{
			ref: t.GetTask(), activity: t.GetActivity(), key: t.GetKey(), child: t.GetChildId(), attempt: t.GetAttempt(),
		}
	}
}
