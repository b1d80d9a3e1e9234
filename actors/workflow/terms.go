package workflow

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Terms are what a definition says of its orders where those do not say it themselves. They are evaluated once, when an order is accepted,
// on its raw input alone, so that the same input yields the same. Nil parts say nothing.
type Terms struct {
	// OrderKey yields a string, and Priority a whole number from 0 to 9. Null, the empty string and 0 are as if nothing was said.
	OrderKey, Priority Expr
	// Labels are in the order of their names.
	Labels []LabelTerm
}

// LabelTerm says a label: Value yields a string, or null for no such label.
type LabelTerm struct {
	Name  string
	Value Expr
}

// TermLimits bound what orders are accepted with. Zero values stand for the defaults.
type TermLimits struct {
	// Key is the length of the longest order key, in bytes. Default 256.
	Key int
	// Labels is the most labels of an order, with its own ones. Default 16.
	Labels int
}

// withDefaults fills what is zero.
func (l TermLimits) withDefaults() TermLimits {
	return TermLimits{Key: cmp.Or(l.Key, 256), Labels: cmp.Or(l.Labels, 16)}
}

// Agreed is what an order is accepted with.
type Agreed struct {
	OrderKey string
	Priority int32
	Labels   []*journalv1.Label // in the order of their names
}

// Give gives it to an order.
func (a *Agreed) Give(o *journalv1.OrderAccepted) {
	o.OrderKey, o.Priority, o.Labels = a.OrderKey, a.Priority, a.Labels
}

// OfChild are the terms of an order that another one runs: its key and its priority are not the definition's to say. Of none they are none.
func (t *Terms) OfChild() *Terms {
	if t == nil {
		return nil
	}
	return &Terms{Labels: t.Labels}
}

// Agree returns what an order with an input is accepted with: what it says itself, and else what the terms say. What it says itself is not
// evaluated. The order stays as it is. An error says which property the input does not fit, and what that must yield. The meter may be
// nil; expressions that take too many steps together are an error.
func (t *Terms) Agree(o *journalv1.OrderAccepted, input *Value, most TermLimits, meter *Meter) (*Agreed, error) {
	if meter == nil {
		meter = &Meter{}
	}
	a := &agreement{input: input, args: Args{Meter: meter}, most: most.withDefaults()}
	out := &Agreed{OrderKey: o.GetOrderKey(), Priority: o.GetPriority(), Labels: o.GetLabels()}
	var err error
	if out.OrderKey == "" && t.OrderKey != nil {
		if out.OrderKey, _, err = a.text("orderKey", t.OrderKey, a.most.Key); err != nil {
			return nil, err
		}
	}
	if out.Priority == 0 && t.Priority != nil {
		if out.Priority, err = a.priority(t.Priority); err != nil {
			return nil, err
		}
	}
	if len(t.Labels) > 0 {
		if out.Labels, err = a.labels(o.GetLabels(), t.Labels); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// agreement evaluates terms.
type agreement struct {
	input *Value
	args  Args
	most  TermLimits
}

// text evaluates a term that yields a string of at most so many bytes, or null: then there is none.
func (a *agreement) text(property string, e Expr, most int) (text string, is bool, err error) {
	v, x, err := a.eval(e)
	if x == nil && err == nil {
		return "", false, nil
	}
	if err == nil {
		switch text, is = x.(string); {
		case !is:
			err = yields(v)
		case len(text) > most:
			err = fmt.Errorf("it yields one of %d bytes", len(text))
		default:
			return text, true, nil
		}
	}
	want := "a string"
	if most < math.MaxInt {
		want = fmt.Sprintf("a string of at most %d bytes", most)
	}
	return "", false, wrongTerm(property, want+", or null for none", err)
}

// priority evaluates the term of the priority.
func (a *agreement) priority(e Expr) (int32, error) {
	v, x, err := a.eval(e)
	if x == nil && err == nil {
		return 0, nil
	}
	if err == nil {
		n, wrong := strconv.ParseFloat(string(bytes.TrimSpace(v.JSON())), 64) // a string has quotes
		if wrong == nil && n == math.Trunc(n) && 0 <= n && n < messages.Priorities {
			return int32(n), nil
		}
		err = yields(v)
	}
	return 0, wrongTerm("priority", fmt.Sprintf("a whole number from 0 to %d, or null for none", messages.Priorities-1), err)
}

// labels adds the labels that terms say to an order's own ones, which are sorted by name.
func (a *agreement) labels(own []*journalv1.Label, terms []LabelTerm) ([]*journalv1.Label, error) {
	out := slices.Clone(own)
	for _, t := range terms {
		if slices.ContainsFunc(own, func(l *journalv1.Label) bool { return l.GetName() == t.Name }) {
			continue
		}
		switch text, is, err := a.text("labels."+t.Name, t.Value, messages.MaxLabelValue); {
		case err != nil:
			return nil, err
		case is:
			out = append(out, &journalv1.Label{Name: t.Name, Value: text})
		}
	}
	if n := len(out); n > len(own) && n > a.most.Labels {
		return nil, fmt.Errorf("%q gives it %d labels, with its own ones, more than the limit of %d", termProperty("labels"), n, a.most.Labels)
	}
	slices.SortFunc(out, func(a, b *journalv1.Label) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out, nil
}

// eval evaluates an expression to a value, and what that is decoded.
func (a *agreement) eval(e Expr) (*Value, any, error) {
	v, err := e.Eval(a.input, &a.args)
	if err != nil {
		return nil, nil, err
	}
	x, err := v.Any()
	return v, x, err
}

// yields says what an expression yields that it must not.
func yields(v *Value) error {
	return errors.New("it yields " + messages.Clip(string(bytes.TrimSpace(v.JSON())), 60))
}

// termProperty is what a term is called in messages.
func termProperty(name string) string { return "metadata.holdfast." + name }

func wrongTerm(name, want string, err error) error {
	return fmt.Errorf("%q must yield %s: %w", termProperty(name), want, err)
}
