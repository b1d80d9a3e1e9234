package definition

import (
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// maxTermLabels is how many labels a definition can give its orders.
const maxTermLabels = 100

// terms reads what orders are accepted with where they do not say it themselves. N is the property "metadata.holdfast"; nil: there is none.
func (c *compiler) terms(n *node) {
	key, priority, labels := n.get("orderKey"), n.get("priority"), n.get("labels")
	if key == nil && priority == nil && labels == nil {
		return
	}
	t := &workflow.Terms{}
	if key != nil && c.isString(key, "orderKey") {
		t.OrderKey = c.template(key, placeTerms, nil)
	}
	if priority != nil {
		t.Priority = c.priority(priority)
	}
	if labels != nil {
		t.Labels = c.labels(labels)
	}
	c.def.Terms = t
}

// priority reads the priority of orders; nil after a mistake.
func (c *compiler) priority(n *node) workflow.Expr {
	p, whole := n.integer()
	if whole && 0 <= p && p < messages.Priorities || n.isExpression() || c.loose && n.kind == stringKind {
		return c.template(n, placeTerms, nil)
	}
	c.atf(n, "\"priority\" must be a whole number from 0 to %d, or an expression in ${ } that yields one, but is %s",
		messages.Priorities-1, n.describe())
	return nil
}

// labels reads the labels of orders.
func (c *compiler) labels(n *node) []workflow.LabelTerm {
	o := c.object(n, "the property \"labels\"", anyProperty)
	if !o.ok {
		return nil
	}
	if len(n.items) > maxTermLabels {
		c.atf(n, "\"labels\" has %d labels, more than the %d allowed: leave some out", len(n.items), maxTermLabels)
		return nil
	}
	var out []workflow.LabelTerm
	for k, v := range o.properties() {
		switch {
		case !messages.IsLabelName(k.name):
			c.atKeyf(n, k, "a label must have a name of 1 to %d bytes without =, but this is %s: rename it", messages.MaxLabelName,
				shorten(k.name, 80))
		case v.kind != stringKind:
			c.atf(v, "the label %q must be a string, but is %s: put it in quotes, or leave it out", k.name, v.describe())
		case !c.loose && !v.isExpression() && len(v.text) > messages.MaxLabelValue:
			c.atf(v, "the label %q has %d bytes, more than the %d allowed: shorten it", k.name, len(v.text), messages.MaxLabelValue)
		default:
			if e := c.template(v, placeTerms, nil); e != nil {
				out = append(out, workflow.LabelTerm{Name: k.name, Value: e})
			}
		}
	}
	slices.SortFunc(out, func(a, b workflow.LabelTerm) int { return strings.Compare(a.Name, b.Name) })
	return out
}
