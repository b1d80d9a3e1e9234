package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

//go:embed definitions/activate-mobile.yaml orders/*.json
var files embed.FS

// sample is one of the orders of the demo, and what must become of it.
type sample struct {
	name  string // of its file in orders/, without .json
	shows string // for people
	// opensIn moves the order's port window to so long from now; 0: it stays as the file has it.
	opensIn time.Duration
	// cancel says when to cancel the order; nil: never.
	cancel *trigger
	// What it must end as, with this title of its error, and after events of these types, in this order.
	status orderv1.Status
	title  string
	events []oneOf
}

// oneOf are types of events of which there must be one.
type oneOf []orderv1.EventType

func (o oneOf) String() string {
	var names []string
	for _, t := range o {
		names = append(names, eventtype.Name(t))
	}
	return strings.Join(names, " or ")
}

// attemptEnded: it is known what came of an attempt, or known to stay unknown.
var attemptEnded = oneOf{eventtype.AttemptSucceeded, eventtype.AttemptFailed, eventtype.AttemptNotDone, eventtype.AttemptInDoubt}

// trigger is a point in the life of an order, a while after an event, when it is cancelled.
type trigger struct {
	event    orderv1.EventType
	activity string // of the event; empty: any
	after    time.Duration
	// compensate: what was done is taken back.
	compensate bool
}

const windowOpensIn = 5 * time.Second

var samples = []sample{
	{
		name: "01-port-in", shows: "number port-in, all goes well",
		status: orderv1.Status_STATUS_COMPLETED,
	},
	{
		name: "02-new-number", shows: "no port-in: the other branch",
		status: orderv1.Status_STATUS_COMPLETED,
	},
	{
		name: "03-transient-failures", shows: "a lost answer and an outage: retried",
		status: orderv1.Status_STATUS_COMPLETED,
		events: []oneOf{{eventtype.AttemptFailed}, {eventtype.RetryScheduled}, {eventtype.RetryStarted}},
	},
	{
		name: "04-port-refused", shows: "refused for good: taken back, faults",
		status: orderv1.Status_STATUS_FAULTED, title: "Activation refused",
		events: []oneOf{
			{eventtype.AttemptFailed}, {eventtype.CompensationEnded}, {eventtype.CompensationEnded}, {eventtype.CatchStarted},
		},
	},
	{
		name: "05-port-window", shows: "waits until its port window opens", opensIn: windowOpensIn,
		status: orderv1.Status_STATUS_COMPLETED,
		events: []oneOf{{eventtype.WaitStarted}},
	},
	{
		name: "06-cancel-in-window", shows: "cancelled while it waits: taken back", opensIn: time.Hour,
		cancel: &trigger{event: eventtype.WaitStarted, after: time.Second, compensate: true},
		status: orderv1.Status_STATUS_CANCELLED,
		events: []oneOf{
			{eventtype.WaitStarted},
			{eventtype.StopRequested},
			{eventtype.CompensationEnded},
			{eventtype.CompensationEnded},
			{eventtype.OrderCancelled},
		},
	},
	{
		name: "07-cancel-over-the-air", shows: "cancelled during an activity",
		cancel: &trigger{event: eventtype.AttemptScheduled, activity: "sim.updateCard", after: 700 * time.Millisecond},
		status: orderv1.Status_STATUS_CANCELLED,
		events: []oneOf{{eventtype.StopRequested}, attemptEnded, {eventtype.OrderCancelled}}, // the attempt is awaited
	},
	{
		name: "08-unsupported", shows: "not for this workflow: raises an error",
		status: orderv1.Status_STATUS_FAULTED, title: "Only orders that add a mobile subscription are carried out here",
	},
}

// faults makes the downstreams behave as the samples need it, by flags.
var faults = map[string][]string{
	"hss":     {"--lose", "+491713920003=1"},
	"billing": {"--unavailable", "+491713920003=2"},
	"npdb":    {"--refuse", "+491713920004"},
	"sim":     {"--slow", "+491713920007=1500ms"},
}

// body returns the order as it is submitted, and the number that it activates.
func (s *sample) body(now time.Time) (order []byte, msisdn string, err error) {
	raw, err := files.ReadFile(path.Join("orders", s.name+".json"))
	if err != nil {
		return nil, "", fmt.Errorf("read order: %w", err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, "", fmt.Errorf("order %s: %w", s.name, err)
	}
	for _, c := range characteristics(doc) {
		switch value := c["value"].(type) {
		case string:
			if c["name"] == "msisdn" {
				msisdn = value
			}
		case map[string]any:
			if c["name"] == "portWindow" && s.opensIn > 0 {
				opens := now.Add(s.opensIn).Truncate(time.Second).UTC()
				value["startDateTime"] = opens.Format(time.RFC3339)
				value["endDateTime"] = opens.Add(2 * time.Hour).Format(time.RFC3339)
				doc["requestedStartDate"] = value["startDateTime"]
			}
		}
	}
	if msisdn == "" {
		return nil, "", fmt.Errorf("order %s has no characteristic msisdn", s.name)
	}
	order, err = json.Marshal(doc)
	if err != nil {
		return nil, "", fmt.Errorf("order %s: %w", s.name, err)
	}
	return order, msisdn, nil
}

func characteristics(order map[string]any) (found []map[string]any) {
	items, _ := order["serviceOrderItem"].([]any)
	for _, i := range items {
		item, _ := i.(map[string]any)
		service, _ := item["service"].(map[string]any)
		cs, _ := service["serviceCharacteristic"].([]any)
		for _, c := range cs {
			if c, ok := c.(map[string]any); ok {
				found = append(found, c)
			}
		}
	}
	return found
}

// check says what is not as it must be.
func (s *sample) check(o *orderv1.Order, history []*orderv1.HistoryEvent) []string {
	var wrong []string
	if o.GetStatus() != s.status {
		wrong = append(wrong, fmt.Sprintf("is %s, not %s", statusWord(o.GetStatus()), statusWord(s.status)))
	}
	if title := o.GetError().GetTitle(); s.title != "" && title != s.title {
		wrong = append(wrong, fmt.Sprintf("has the error %q, not %q", title, s.title))
	}
	if s.status == orderv1.Status_STATUS_COMPLETED {
		var out struct {
			State string `json:"state"`
		}
		if err := json.Unmarshal(o.GetOutput(), &out); err != nil || out.State != "completed" {
			wrong = append(wrong, fmt.Sprintf("has the output %s", o.GetOutput()))
		}
	}
	missing := s.events
	var due time.Time
	for _, e := range history {
		if e.GetEventType() == eventtype.TaskCompleted && e.GetAt().AsTime().Before(due) {
			wrong = append(wrong, fmt.Sprintf("went on at %v, before %v", e.GetAt().AsTime(), due))
		}
		due = time.Time{}
		if e.GetEventType() == eventtype.WaitStarted {
			due = e.GetDue().AsTime()
		}
		if len(missing) > 0 && slices.Contains(missing[0], e.GetEventType()) {
			missing = missing[1:]
		}
	}
	if len(missing) > 0 {
		var names []string
		for _, one := range missing {
			names = append(names, one.String())
		}
		wrong = append(wrong, "lacks in its history, in this order: "+strings.Join(names, ", "))
	}
	return wrong
}

func statusWord(s orderv1.Status) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_"))
}
