package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/jsonscan"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const maxReason = 1024

// checkJSON says what is wrong with a JSON value: its encoding, form, length or depth, or a name that stands twice.
func checkJSON(data []byte, maxBytes, maxDepth int) error {
	if len(data) > maxBytes {
		return fmt.Errorf("has %d bytes, more than the limit of %d", len(data), maxBytes) //nolint:err113 // for people
	}
	if !utf8.Valid(data) {
		return errors.New("is not valid UTF-8") //nolint:err113 // for people
	}
	if !json.Valid(data) {
		return fmt.Errorf("is not a JSON value: %s", whyInvalid(data)) //nolint:err113 // for people
	}
	return jsonscan.Check(data, maxDepth)
}

func whyInvalid(data []byte) string {
	var v any
	err := json.Unmarshal(data, &v)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%v at byte %d", syntax, syntax.Offset)
	case err != nil:
		return err.Error()
	}
	return "unknown"
}

// check checks an order and pins its definition.
func (s *Server) check(ctx context.Context, o *orderv1.WorkOrder) (*journalv1.OrderAccepted, error) {
	var m mistakes
	if o == nil {
		m.add("order", "is missing")
		return nil, m.err()
	}
	if err := messages.OrderID(o.GetId()).Validate(); err != nil {
		m.add("order.id", err.Error())
	}
	ref, err := messages.ParseDefinitionRef(o.GetDefinition())
	if err != nil {
		m.add("order.definition", err.Error())
	}
	input := bytes.TrimSpace(o.GetInput())
	if len(input) == 0 {
		input = []byte("{}")
	}
	work := &heavyCheck{
		Server: s, ctx: ctx, of: o, namespace: ref.Namespace, is: len(input) >= heavyInput || s.engine.Heavy(o.GetDefinition()),
	}
	if err := work.parse(input, &m); err != nil {
		return nil, err
	}
	due := s.deadline(&m, "order", o.GetDeadline(), o.GetDeadlineAfter())
	s.checkFields(o, &m)
	if err := m.err(); err != nil {
		return nil, err
	}
	a := &journalv1.OrderAccepted{
		OrderId: o.GetId(), Input: input, OrderKey: o.GetOrderKey(), Priority: o.GetPriority(), Labels: labels(o.GetLabels()), Deadline: due,
	}
	a.ContentHash = contentHash(o, input, a) // what the definition says does not count
	known := s.engine.Catalog()
	pin, err := catalog.Look(ctx, known, func() (catalog.Pin, error) { return work.pin(known, ref, a) })
	if errors.Is(err, catalog.ErrRetired) {
		accepted, e := s.engine.View().Has(ctx, messages.OrderID(o.GetId()))
		switch {
		case e != nil:
			return nil, e
		case accepted: // the request may repeat an order that was accepted before
			err = nil
		default:
			m.add("order.definition", "is retired: name a version that is not, see definition list, or have it reinstated")
		}
	}
	if wrong, ok := errors.AsType[*catalog.InputError](err); ok {
		m.add("order.input", wrong.Error())
		return nil, m.err()
	}
	if err != nil {
		f := s.explain(err)
		if errors.Is(err, catalog.ErrUnknown) {
			m.add("order.definition", "is not deployed: deploy it first, or see with definition list which are")
		}
		f.fields = m.fields
		return nil, f
	}
	a.Definition, a.DefinitionHash = pin.Ref.String(), pin.Hash
	if pin.Agreed != nil {
		pin.Agreed.Give(a)
	}
	return a, nil
}

func (s *Server) checkFields(o *orderv1.WorkOrder, m *mistakes) {
	if k := o.GetOrderKey(); len(k) > s.config.MaxKey {
		m.add("order.order_key", fmt.Sprintf("has %d bytes, more than the limit of %d", len(k), s.config.MaxKey))
	}
	if p := o.GetPriority(); p < 0 || p >= messages.Priorities {
		m.add("order.priority", fmt.Sprintf("is %d, and must be from 0 to %d", p, messages.Priorities-1))
	}
	if n := len(o.GetLabels()); n > s.config.MaxLabels {
		m.add("order.labels", fmt.Sprintf("has %d labels, more than the limit of %d", n, s.config.MaxLabels))
	}
	for name, value := range o.GetLabels() {
		if !messages.IsLabelName(name) {
			m.add("order.labels", fmt.Sprintf("has the name %q: 1 to %d bytes without = are allowed", name, messages.MaxLabelName))
		}
		if len(value) > messages.MaxLabelValue {
			m.add("order.labels", fmt.Sprintf("%s has %d bytes, more than %d", name, len(value), messages.MaxLabelValue))
		}
	}
}

func checkReason(m *mistakes, field, text string) {
	if len(text) > maxReason {
		m.add(field, fmt.Sprintf("has more than %d bytes", maxReason))
	}
}

func labels(m map[string]string) []*journalv1.Label {
	if len(m) == 0 {
		return nil
	}
	out := make([]*journalv1.Label, 0, len(m))
	for name, value := range m {
		out = append(out, &journalv1.Label{Name: name, Value: value})
	}
	slices.SortFunc(out, func(a, b *journalv1.Label) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}
