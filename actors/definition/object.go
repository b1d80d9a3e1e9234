package definition

import (
	"cmp"
	"iter"
	"slices"
)

// anyProperty stands for properties of any name.
const anyProperty = "*"

// object is an object being read.
type object struct {
	c *compiler
	n *node
	// what names the object in messages.
	what string
	// ok: the node is there, and is an object.
	ok bool
}

// object reads an object that may have the properties allowed, and no others. A nil node is no mistake, and not ok.
func (c *compiler) object(n *node, what string, allowed ...string) object {
	o := object{c: c, n: n, what: what}
	if n == nil {
		return o
	}
	if n.kind != objectKind {
		form := ""
		if forms[what] != "" {
			form = " such as " + forms[what]
		}
		c.atf(n, "%s must be an object%s, but is %s", what, form, n.describe())
		return o
	}
	o.ok = true
	if slices.Contains(allowed, anyProperty) {
		return o
	}
	for _, k := range n.keys {
		if !slices.Contains(allowed, k.name) {
			c.atKeyf(n, k, "%s has no property %s: %s", what, shorten(k.name, 60),
				cmp.Or(former[what][k.name], hint(k.name, allowed, "remove it")))
		}
	}
	return o
}

// former says what properties have become that an earlier version of the language had, by what had them.
var former = map[string]map[string]string{
	"an external resource": {"uri": "since 1.0.0-alpha3 it is \"endpoint\"", "authentication": "since 1.0.0-alpha3 it is one of \"endpoint\""},
	"the property \"event\"": {
		"source": attributeAdvice, "type": attributeAdvice, "id": attributeAdvice, "time": attributeAdvice, "subject": attributeAdvice,
		"data": attributeAdvice,
	},
	"the property \"output\"": {
		"from": "since 1.0.0-alpha2 it is \"as\"", "to": "since 1.0.0-alpha2 it is \"export\" of the task, with \"as\"",
	},
	"the property \"with\" of \"call: asyncapi\"": {
		"operationRef": "since 1.0.0 it is \"operation\"", "payload": "since 1.0.0 it is one of \"message\"",
		"binding": "since 1.0.0 \"protocol\" says it",
	},
}

const attributeAdvice = "since 1.0.0-alpha3 it is one of \"with\""

// forms shows what to write where something else stands, by what is missing there.
var forms = map[string]string{
	"errors": "{type: https://example.com/errors/no-credit, status: 402}", "retries": "{delay: PT5S, limit: {attempt: {count: 3}}}",
	"timeouts": "{after: PT15M}", "authentications": "{bearer: {use: billingToken}}",

	"an external resource": "{endpoint: https://example.com/openapi.json}",

	"a case": "{when: .ready, then: next}", "a duration": "{seconds: 30}", "a correlation": "{from: .data.order}",
	"a filter of events": "{with: {type: com.example.paid}}", "the property \"correlate\"": "{order: {from: .data.order}}",
	"the property \"with\" of an event": "{type: com.example.paid}",
	"the property \"event\"":            "{with: {source: /shop, type: com.example.paid}}",
	"the property \"emit\"":             "{event: {with: {source: /shop, type: com.example.paid}}}",
	"the property \"listen\"":           "{to: {one: {with: {type: com.example.paid}}}}",
	"the property \"to\"":               "{one: {with: {type: com.example.paid}}}",
	"the property \"foreach\"":          "{item: event, do: [{name: {set: …}}]}",
	"a filter of errors":                "{status: 503}", "a retry policy": "{delay: PT5S, limit: {attempt: {count: 3}}}",
	"a schema": "{document: {type: object}}", "a timeout": "{after: PT15M}",
	"an authentication": "{bearer: {use: billingToken}}", "an error": "{type: https://example.com/errors/no-credit, status: 402}",
	"the property \"attempt\"": "{count: 3}", "the property \"backoff\"": "{exponential: {}}",
	"the property \"catch\"":    "{errors: {with: {status: 503}}, do: [{name: {set: …}}]}",
	"the property \"document\"": "{dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0'}",
	"the property \"for\"":      "{each: item, in: .items}", "the property \"fork\"": "{branches: [{name: {set: …}}]}",
	"the property \"errors\"": "{with: {status: 503}}", "the property \"export\"": "{as: \"${ $context + . }\"}",
	"the property \"input\"": "{from: \"${ .order }\"}", "the property \"jitter\"": "{from: PT0S, to: PT2S}",
	"the property \"labels\"":  "{customer: \"${ .customer }\"}",
	"the property \"message\"": "{payload: {orderId: \"${ .id }\"}}", "the property \"server\"": "{name: production}",
	"the property \"variables\"": "{environment: dev}",
	"the property \"limit\"":     "{attempt: {count: 3}}", "the property \"output\"": "{as: \"${ .id }\"}",
	"the property \"container\"": "{image: alpine}", "the property \"lifetime\"": "{cleanup: always}",
	"the property \"script\"": "{language: python, code: print(1)}", "the property \"shell\"": "{command: ls}",
	"the property \"raise\"":    "{error: {type: https://example.com/errors/no-credit, status: 402}}",
	"the property \"run\"":      "{workflow: {namespace: shop, name: bill, version: '1.0.0'}}",
	"the property \"with\"":     "{imsi: \"${ .imsi }\"} (without it, the input is handed on)",
	"the property \"workflow\"": "{namespace: shop, name: bill, version: '1.0.0'}",
}

// get returns a property, or nil.
func (o object) get(name string) *node {
	if !o.ok {
		return nil
	}
	return o.n.get(name)
}

// properties goes through the properties, in the order of the document. What is no object has none.
func (o object) properties() iter.Seq2[key, *node] {
	return func(yield func(key, *node) bool) {
		if !o.ok {
			return
		}
		for i, k := range o.n.keys {
			if !yield(k, o.n.items[i]) {
				return
			}
		}
	}
}

// required returns a property, or nil after a mistake.
func (o object) required(name string) *node {
	v := o.get(name)
	if v == nil && o.ok {
		o.c.atf(o.n, "%s lacks the property %q: add it", o.what, name)
	}
	return v
}

// text returns a property that is a string, or "".
func (o object) text(name string) string {
	v := o.get(name)
	if v == nil || !o.c.isString(v, name) {
		return ""
	}
	return v.text
}

// boolean reads a node that is true or false.
func (c *compiler) boolean(n *node, name string) (value, ok bool) {
	if n.kind != boolKind {
		c.atf(n, "%q must be true or false, but is %s", name, n.describe())
		return false, false
	}
	return n.text == "true", true
}

func (c *compiler) isString(n *node, name string) bool {
	if n.kind != stringKind {
		c.atf(n, "%q must be a string, but is %s", name, n.describe())
		return false
	}
	return true
}

// children returns the values of an object or list.
func (n *node) children() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// names returns the names of an object's properties.
func (n *node) names() []string {
	if n == nil {
		return nil
	}
	names := make([]string, 0, len(n.keys))
	for _, k := range n.keys {
		names = append(names, k.name)
	}
	return names
}
