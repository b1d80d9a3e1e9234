package workflow

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// eventSteps is the most steps of an interpreter that an expression about an event may take, half a millisecond: there may be many of
// them for each event.
const eventSteps = 10_000

// Event is a CloudEvent (version 1.0 of the specification), in the JSON format. It is not safe for concurrent use.
type Event struct {
	whole      *Value
	attributes map[string]*Value
}

// NewEvent makes an event of the JSON of one, which is known to be a JSON object.
func NewEvent(raw []byte) *Event { return &Event{whole: NewValue(raw)} }

// attribute returns an attribute of the event, or its data; nil if it has none.
func (e *Event) attribute(name string) *Value {
	if e.attributes == nil {
		var raw map[string]json.RawMessage
		_ = json.Unmarshal(e.whole.JSON(), &raw) // one that is no object has none
		e.attributes = make(map[string]*Value, len(raw))
		for k, v := range raw {
			e.attributes[k] = NewValue(v)
		}
	}
	return e.attributes[name]
}

func (e *Event) text(name string) string {
	v, err := e.attribute(name).Any()
	if text, is := v.(string); err == nil && is {
		return text
	}
	return ""
}

// JSON returns the event as it is.
func (e *Event) JSON() []byte { return e.whole.JSON() }

// Type returns the type of the event.
func (e *Event) Type() string { return e.text("type") }

// Source and ID tell the event from others.
func (e *Event) Source() string { return e.text("source") }

// ID returns what tells the event from others of its source.
func (e *Event) ID() string { return e.text("id") }

// Key is what the event is known by: a digest of its source and id.
func (e *Event) Key() [16]byte {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	return [16]byte(sum[:16])
}

// EventFilter selects events by themselves alone.
type EventFilter struct {
	// Type is the only type of the events; empty: the conditions tell.
	Type       string
	Conditions []Condition
	// Correlations are the values that an event must have, in the order of the texts of their expressions.
	Correlations []Correlation
}

// Condition is about one attribute of an event, or its data. One of Is, Like and Holds is set.
type Condition struct {
	Attribute string
	// Is is the value that it must have, as text; see correlationText.
	Is string
	// Like must match the whole of its text.
	Like *regexp.Regexp
	// Holds gets the attribute: if it yields true, that fits; if anything but false or null, that is what it must be.
	Holds Expr
}

// Correlation is a value of an event that has to do with something else.
type Correlation struct {
	Name string
	// From yields the value of an event. Text is what it was written as.
	From Expr
	Text string
	// Expect is what the value must be, as it is for the order when it begins to listen; nil: what the first event has that is consumed.
	Expect Expr
}

// Matches tells whether the filter selects an event, but for its correlations. An expression that fails does not.
func (f *EventFilter) Matches(e *Event) bool {
	if f.Type != "" && e.Type() != f.Type {
		return false
	}
	for _, c := range f.Conditions {
		v := e.attribute(c.Attribute)
		if v == nil || !c.fits(v) {
			return false
		}
	}
	for _, c := range f.Correlations {
		if _, is := c.of(e); !is {
			return false
		}
	}
	return true
}

func (c *Condition) fits(v *Value) bool {
	text, _ := correlationText(v)
	switch {
	case c.Like != nil:
		return c.Like.MatchString(text)
	case c.Holds == nil:
		return text == c.Is
	}
	out, err := c.Holds.Eval(v, &Args{Steps: eventSteps})
	if err != nil {
		return false
	}
	switch is, err := out.Any(); is {
	case true:
		return err == nil
	case false, nil:
		return false
	}
	want, _ := correlationText(out)
	return text == want
}

// of returns the value of an event; false if it has none.
func (c *Correlation) of(e *Event) (string, bool) {
	v, err := c.From.Eval(e.whole, &Args{Steps: eventSteps})
	if err != nil {
		return "", false
	}
	return correlationText(v)
}

// correlationText is a value as text, so that texts which are equal tell values that are: a string as it is, anything else as JSON. It is
// false for null, and for what is not there: that correlates with nothing.
func correlationText(v *Value) (string, bool) {
	x, err := v.Any()
	if err != nil || x == nil {
		return "", false
	}
	if text, is := x.(string); is {
		return text, true
	}
	if n, is := x.(json.Number); is {
		if f, err := n.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return strconv.FormatInt(int64(f), 10), true // 7.0 is 7
		}
	}
	text, err := json.Marshal(x)
	return string(text), err == nil
}

// Correlate returns the values of an event by which others correlate with it, by the names of the correlations. It is false if the event
// lacks one, or has another one than those given. What the filter expects does not count: the slot has no other events.
func (f *EventFilter) Correlate(e *Event, given map[string]string) (map[string]string, bool) {
	var out map[string]string
	for _, c := range f.Correlations {
		if c.Expect != nil {
			continue
		}
		value, is := c.of(e)
		if first, others := given[c.Name]; !is || others && value != first {
			return nil, false
		}
		if out == nil {
			out = map[string]string{}
		}
		out[c.Name] = value
	}
	return out, true
}

// Slot returns the correlation slot in which the filter listens in a namespace, by what it expects.
func (f *EventFilter) Slot(namespace string, in *Value, args *Args) (*journalv1.SlotOpened, error) {
	fixed := f.fixed()
	values := make([]string, len(fixed))
	for i, c := range fixed {
		v, err := c.Expect.Eval(in, args)
		if err != nil {
			return nil, err
		}
		var is bool
		if values[i], is = correlationText(v); !is {
			//nolint:err113 // for people
			return nil, fmt.Errorf("the correlation %q expects null, and nothing is alike to that", c.Name)
		}
	}
	return slot(namespace, f.Route(), values), nil
}

// fixed returns the correlations of a filter whose values are known when an order begins to listen.
func (f *EventFilter) fixed() []Correlation {
	var out []Correlation
	for _, c := range f.Correlations {
		if c.Expect != nil {
			out = append(out, c)
		}
	}
	return out
}

// Route is the events that the filter may select.
func (f *EventFilter) Route() *journalv1.Route {
	r := &journalv1.Route{Type: f.Type}
	for _, c := range f.fixed() {
		r.Correlations = append(r.Correlations, c.Text)
	}
	return r
}

// slot is the correlation slot of a route for some values of its correlations.
func slot(namespace string, r *journalv1.Route, values []string) *journalv1.SlotOpened {
	o := &journalv1.SlotOpened{Namespace: namespace, Type: r.GetType()}
	for i, from := range r.GetCorrelations() {
		o.Correlation = append(o.Correlation, &journalv1.Correlation{From: from, Value: values[i]})
	}
	o.Id = string(messages.SlotID(o))
	return o
}

// SlotOf returns the correlation slot where an event goes by a route of a namespace; nil if it goes to none. The expressions of the route
// are given.
func SlotOf(namespace string, r *journalv1.Route, from []Expr, e *Event) *journalv1.SlotOpened {
	if r.GetType() != "" && r.GetType() != e.Type() {
		return nil
	}
	values := make([]string, len(from))
	for i, x := range from {
		value, is := (&Correlation{From: x}).of(e)
		if !is {
			return nil
		}
		values[i] = value
	}
	return slot(namespace, r, values)
}

// Check says what is wrong with an event: CloudEvents 1.0, sections "Context Attributes" and "Event Data".
func (e *Event) Check() error {
	x, err := e.whole.Any()
	attributes, is := x.(map[string]any)
	if err != nil || !is {
		return errNoEvent
	}
	for _, name := range []string{"id", "source", "type"} {
		if text, is := attributes[name].(string); !is || text == "" {
			return fmt.Errorf("%q of an event must be a text that is not empty", name) //nolint:err113 // for people
		}
	}
	if v := attributes["specversion"]; v != "1.0" {
		return fmt.Errorf(`"specversion" of an event must be "1.0", but is %v`, v) //nolint:err113 // the same
	}
	if at, has := attributes["time"]; has {
		text, _ := at.(string)
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf(`"time" of an event must be a time such as "2030-01-31T12:00:00Z", but is %v`, at) //nolint:err113 // the same
		}
	}
	if attributes["data"] != nil && attributes["data_base64"] != nil {
		return errors.New(`an event can't have "data" and "data_base64"`) //nolint:err113 // the same
	}
	for name, v := range attributes {
		if name == "data" || name == "data_base64" {
			continue
		}
		if !attributeName.MatchString(name) {
			return fmt.Errorf("the attribute %.60q of an event must have a name of a to z and 0 to 9", name) //nolint:err113 // the same
		}
		switch v.(type) {
		case string, bool, json.Number:
		default:
			//nolint:err113 // the same
			return fmt.Errorf("the attribute %q of an event must be a text, a number or a boolean: move it to its data", name)
		}
	}
	return nil
}

var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)
