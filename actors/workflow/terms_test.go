package workflow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// termsOf compiles a definition whose metadata says this of its orders.
func termsOf(t *testing.T, said string) *workflow.Terms {
	t.Helper()
	def, mistakes := definition.Compile([]byte("document: {dsl: 1.0.3, namespace: test, name: one, version: 1.0.0, metadata: {holdfast: "+
		said+"}}\ndo: [{a: {set: {b: 1}}}]\n"), definition.Limits{})
	if def == nil {
		t.Fatalf("%s: %v", said, mistakes)
	}
	return def.Terms
}

// agreed shows what an order is accepted with.
func agreed(a *workflow.Agreed) string {
	out := fmt.Sprintf("%q %d", a.OrderKey, a.Priority)
	for _, l := range a.Labels {
		out += fmt.Sprintf(" %s=%q", l.GetName(), l.GetValue())
	}
	return out
}

const allTerms = `{orderKey: "${ .msisdn }", priority: "${ .priority }", labels: {customer: "${ .customer }", channel: web, note: "${ .note }"}}`

func TestTerms(t *testing.T) {
	t.Parallel()
	terms := termsOf(t, allTerms)
	label := func(name, value string) *journalv1.Label { return &journalv1.Label{Name: name, Value: value} }
	for name, c := range map[string]struct {
		order *journalv1.OrderAccepted
		input string
		want  string
	}{
		"all":               {nil, `{"msisdn": "49", "priority": 8, "customer": "c", "note": ""}`, `"49" 8 channel="web" customer="c" note=""`},
		"nothing":           {nil, `{}`, `"" 0 channel="web"`},
		"null":              {nil, `{"msisdn":null,"priority":null,"customer":null,"note":null}`, `"" 0 channel="web"`},
		"a whole number":    {nil, `{"priority": 7.0}`, `"" 7 channel="web"`},
		"with an exponent":  {nil, `{"priority": 0.9e1}`, `"" 9 channel="web"`},
		"its own key":       {&journalv1.OrderAccepted{OrderKey: "own"}, `{"msisdn":7}`, `"own" 0 channel="web"`},
		"its own priority":  {&journalv1.OrderAccepted{Priority: 2}, `{"priority":"high"}`, `"" 2 channel="web"`},
		"none of its own":   {&journalv1.OrderAccepted{Labels: []*journalv1.Label{label("zone", "z")}}, `{"customer":"c"}`, `"" 0 channel="web" customer="c" zone="z"`},
		"some of its own":   {&journalv1.OrderAccepted{Labels: []*journalv1.Label{label("channel", ""), label("customer", "own")}}, `{"customer":7}`, `"" 0 channel="" customer="own"`},
		"the longest key":   {nil, `{"msisdn":"` + strings.Repeat("ü", 128) + `"}`, `"` + strings.Repeat("ü", 128) + `" 0 channel="web"`},
		"the longest value": {nil, `{"note":"` + strings.Repeat("x", 256) + `"}`, `"" 0 channel="web" note="` + strings.Repeat("x", 256) + `"`},
	} {
		o := c.order
		if o == nil {
			o = &journalv1.OrderAccepted{}
		}
		before := o.String()
		a, err := terms.Agree(o, workflow.NewValue([]byte(c.input)), workflow.TermLimits{}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := agreed(a); got != c.want {
			t.Errorf("%s: accepted with\n%s, want\n%s", name, got, c.want)
		}
		if o.String() != before {
			t.Errorf("%s: the order was changed to %v", name, o)
		}
		a.Give(o)
		if o.GetOrderKey() != a.OrderKey || o.GetPriority() != a.Priority || len(o.GetLabels()) != len(a.Labels) {
			t.Errorf("%s: the order is %v", name, o)
		}
	}
}

// An input that does not fit is told with the property, what that must yield, and what it yields.
func TestUnfitTerms(t *testing.T) {
	t.Parallel()
	const key, priority = `"metadata.holdfast.orderKey" must yield a string of at most 256 bytes, or null for none: `,
		`"metadata.holdfast.priority" must yield a whole number from 0 to 9, or null for none: `
	const customer = `"metadata.holdfast.labels.customer" must yield a string of at most 256 bytes, or null for none: `
	for name, c := range map[string]struct{ said, input, want string }{
		"a key that is a number":  {allTerms, `{"msisdn":49170}`, key + "it yields 49170"},
		"a key that is a list":    {allTerms, `{"msisdn":["` + strings.Repeat("x", 100) + `"]}`, key + `it yields ["` + strings.Repeat("x", 58) + "…"},
		"a long key":              {allTerms, `{"msisdn":"` + strings.Repeat("ü", 129) + `"}`, key + "it yields one of 258 bytes"},
		"a key that fails":        {`{orderKey: "${ .a | ascii_downcase }"}`, `{"a":1}`, key + `expression ".a | ascii_downcase": `},
		"no value":                {`{orderKey: "${ empty }"}`, `{}`, "it yields no value"},
		"too many steps":          {`{orderKey: "${ last(range(1e9)) | tostring }"}`, `{}`, "it took too many steps"},
		"too many together":       {`{orderKey: "${ [range(1e5)] | length | tostring }", priority: "${ last(range(1e9)) }"}`, `{}`, priority + `expression "last(range(1e9))": with what was evaluated`},
		"a priority that is text": {allTerms, `{"priority":"8"}`, priority + `it yields "8"`},
		"a priority of true":      {allTerms, `{"priority":true}`, priority + `it yields true`},
		"a fraction":              {allTerms, `{"priority":8.5}`, priority + `it yields 8.5`},
		"a high priority":         {allTerms, `{"priority":10}`, priority + `it yields 10`},
		"a low priority":          {allTerms, `{"priority":-1}`, priority + `it yields -1`},
		"a very high priority":    {allTerms, `{"priority":1e999}`, priority + `it yields 1e999`},
		"a label of a number":     {allTerms, `{"customer":7}`, customer + `it yields 7`},
		"a long label":            {allTerms, `{"customer":"` + strings.Repeat("x", 257) + `"}`, customer + `it yields one of 257 bytes`},
	} {
		start := time.Now()
		_, err := termsOf(t, c.said).Agree(&journalv1.OrderAccepted{}, workflow.NewValue([]byte(c.input)), workflow.TermLimits{}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// Limits are those of the node, and an order's own labels count.
func TestTermLimits(t *testing.T) {
	t.Parallel()
	terms := termsOf(t, `{orderKey: abcd, labels: {a: "1", b: "2", c: "${ .c }"}}`)
	own := []*journalv1.Label{{Name: "b"}, {Name: "d"}, {Name: "e"}}
	for _, c := range []struct {
		input string
		most  workflow.TermLimits
		want  string
	}{
		{`{}`, workflow.TermLimits{Key: 4, Labels: 4}, ""},
		{`{}`, workflow.TermLimits{Key: 3, Labels: 4}, `"metadata.holdfast.orderKey" must yield a string of at most 3 bytes`},
		{`{"c":"3"}`, workflow.TermLimits{Labels: 4}, `"metadata.holdfast.labels" gives it 5 labels, with its own ones, more than the limit of 4`},
	} {
		_, err := terms.Agree(&journalv1.OrderAccepted{Labels: own}, workflow.NewValue([]byte(c.input)), c.most, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s within %+v: %v, want %q", c.input, c.most, err, c.want)
		}
	}
}

// Of an order that another one runs, only labels come from its definition.
func TestTermsOfChild(t *testing.T) {
	t.Parallel()
	child := termsOf(t, allTerms).OfChild()
	o := &journalv1.OrderAccepted{OrderKey: "parent's", Priority: 5}
	a, err := child.Agree(o, workflow.NewValue([]byte(`{"msisdn":7,"priority":"x","customer":"c"}`)), workflow.TermLimits{}, nil)
	if err != nil || agreed(a) != `"parent's" 5 channel="web" customer="c"` {
		t.Errorf("accepted with %v, %v", a, err)
	}
	if (*workflow.Terms)(nil).OfChild() != nil {
		t.Error("no terms are some of a child")
	}
}
