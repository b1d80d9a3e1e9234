package lifecycle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// prefix is what the types of all lifecycle events begin with.
const prefix = "io.serverlessworkflow."

// Teller makes lifecycle events of the history of one order. It is to be given the whole history, from its first event on: it knows by it
// which tasks are under way, and has no more in memory.
type Teller struct {
	order, workflow string
	definition      map[string]string
	// open are the references of the tasks under way, in the order in which they began; of several branches that run the same task, it is
	// there for each.
	open []string
	// listen are those of them that listen for events.
	listen map[string]bool
}

// New returns a teller for an order of a definition, namespace/name:version.
func New(order *orderv1.Order) (*Teller, error) {
	namespace, rest, whole := strings.Cut(order.GetDefinition(), "/")
	name, version, versioned := strings.Cut(rest, ":")
	if !whole || !versioned || order.GetId() == "" {
		const text = "order %q of definition %q: an id and a definition namespace/name:version are expected"
		return nil, fmt.Errorf(text, order.GetId(), order.GetDefinition())
	}
	return &Teller{
		order: order.GetId(), workflow: name + "-" + order.GetId() + "." + namespace,
		definition: map[string]string{"namespace": namespace, "name": name, "version": version}, listen: map[string]bool{},
	}, nil
}

// Events returns the lifecycle events that an event of the history is. Most are none or one. A task that begins is two, as it is created
// then; the end of a task or of the order is also that of the tasks inside that were still under way, which are cancelled.
func (t *Teller) Events(ev *orderv1.HistoryEvent) ([]*eventv1.Event, error) {
	b := batch{Teller: t, ev: ev}
	switch eventtype.Named(ev.GetType()) { //nolint:exhaustive // other events are none of the specification's
	case eventtype.OrderStarted:
		b.ofOrder("started", "startedAt", "definition", t.definition)
	case eventtype.OrderSuspended:
		b.ofOrder("suspended", "suspendedAt", "", nil)
	case eventtype.OrderResumed, eventtype.OrderRetried, eventtype.OrderSkipped, eventtype.OrderRestarted, eventtype.OrderCancelling:
		b.ofOrder("resumed", "resumedAt", "", nil) // the last four go on with an order that had faulted
	case eventtype.ListenStarted:
		t.listen[ev.GetTask()] = true
		b.ofOrder("correlation-started", "startedAt", "", nil)
	case eventtype.TaskStarted:
		t.open = append(t.open, ev.GetTask())
		b.ofTask(ev.GetTask(), "created", "createdAt", "", nil)
		b.ofTask(ev.GetTask(), "started", "startedAt", "", nil)
	case eventtype.RetryStarted:
		b.left(ev.GetTask())
		b.ofTask(ev.GetTask(), "retried", "retriedAt", "", nil)
	case eventtype.TaskCompleted:
		b.ends("completed", "completedAt", "output", value(ev.GetData()))
	case eventtype.TaskFaulted:
		b.ends("faulted", "faultedAt", "error", problem(ev))
	case eventtype.OrderCompleted:
		b.left("")
		b.ofOrder("completed", "completedAt", "output", value(ev.GetData()))
	case eventtype.OrderFaulted:
		b.left("")
		b.ofOrder("faulted", "faultedAt", "error", problem(ev))
	case eventtype.OrderCancelled:
		b.left("")
		b.ofOrder("cancelled", "cancelledAt", "", nil)
	}
	return b.events, b.err
}

// batch is what is told of one event of the history.
type batch struct {
	*Teller

	ev     *orderv1.HistoryEvent
	events []*eventv1.Event
	err    error
}

// ends tells that a task has ended, and before it those inside that were still under way, unless another branch runs the same task: they
// may be that one's.
func (b *batch) ends(what, when, also string, value any) {
	task := b.ev.GetTask()
	if at := lastIndex(b.open, task); at >= 0 {
		b.open = slices.Delete(b.open, at, at+1)
	}
	again := slices.Contains(b.open, task)
	if !again {
		b.left(task)
	}
	b.ofTask(task, what, when, also, value)
	if b.listen[task] && !again {
		delete(b.listen, task)
		if what == "completed" {
			b.ofOrder("correlation-completed", "completedAt", "", nil)
		}
	}
}

// left tells that the tasks inside a task are cancelled that are still under way, the latest first. The order is around all tasks: "".
func (b *batch) left(task string) {
	for at, inside := range slices.Backward(b.open) {
		if strings.HasPrefix(inside, task+"/") {
			b.open = slices.Delete(b.open, at, at+1)
			delete(b.listen, inside)
			b.ofTask(inside, "cancelled", "cancelledAt", "", nil)
		}
	}
}

// ofOrder tells something of the order.
func (b *batch) ofOrder(what, when, also string, value any) {
	b.tell("workflow."+what, when, map[string]any{"name": b.workflow}, also, value)
}

// ofTask tells something of a task.
func (b *batch) ofTask(task, what, when, also string, value any) {
	b.tell("task."+what, when, map[string]any{"workflow": b.workflow, "task": task}, also, value)
}

// tell tells something that happened when the event of the history did, with one more property, unless that is "".
func (b *batch) tell(what, when string, data map[string]any, also string, value any) {
	data[when] = b.ev.GetAt().AsTime().Format(time.RFC3339Nano)
	if also != "" && value != nil {
		data[also] = value
	}
	text, err := json.Marshal(data)
	if err != nil {
		b.err = fmt.Errorf("version %d of order %s: %w", b.ev.GetVersion(), b.order, err)
		return
	}
	b.events = append(b.events, &eventv1.Event{
		Id: fmt.Sprintf("%d.%d", b.ev.GetVersion(), len(b.events)+1), Source: "/orders/" + b.order, Type: prefix + what + ".v1",
		Subject: b.order, Time: b.ev.GetAt(), ContentType: "application/json", Data: text,
	})
}

// value embeds a JSON value; nil if there is none.
func value(raw []byte) any {
	if len(raw) == 0 {
		return nil
	}
	return json.RawMessage(raw)
}

// problem is the error of an event, with the properties of the specification.
func problem(ev *orderv1.HistoryEvent) any { return shown.EventOf(ev).Error }

func lastIndex(list []string, text string) int {
	for at, x := range slices.Backward(list) {
		if x == text {
			return at
		}
	}
	return -1
}
