package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// asyncProtocols are those that the language knows. The first one is supported.
var asyncProtocols = []string{
	"http", "amqp", "amqp1", "anypointmq", "googlepubsub", "ibmmq", "jms", "kafka", "mercure", "mqtt", "mqtt5", "nats", "pulsar", "redis",
	"sns", "solace", "sqs", "stomp", "ws",
}

const (
	noBroker = "which is not supported yet, as only HTTP is: call an activity of an adapter that sends there, or name a server that takes " +
		"messages by HTTP"
	noSubscription = "\"subscription\" is not supported: over HTTP there is nothing to subscribe to, and other protocols are not supported " +
		"yet; use \"listen\", and have messages sent as events to \"holdfast event http\""
)

// asyncapiCall compiles the sending of a message to an application that a document of AsyncAPI describes, 2 or 3, into the call of an HTTP
// endpoint.
func (c *compiler) asyncapiCall(n *node, t *workflow.Task, s scope) {
	w := c.object(n, "the property \"with\" of \"call: asyncapi\"",
		"document", "channel", "operation", "server", "protocol", "message", "subscription", "authentication")
	if !w.ok {
		return
	}
	call := &workflow.Call{Activity: activityRequestOnce}
	t.Kind = call
	r := c.request(s)
	if m := c.sending(w); m != nil {
		if op := c.asyncOperation(m); op != nil {
			if slices.Contains(idempotentMethods, op.method) {
				call.Activity = activityRequest
			}
			r.send(op, m)
		}
	}
	if v := w.get("authentication"); v != nil {
		r.authentication(v)
	}
	call.With = r.done()
}

// sending is what a call says of a message that it sends.
type sending struct {
	document *node
	// name is that of an operation, or of a channel, as the property says that it is of.
	name *node
	// server is the name of one; nil: the first that fits. variables are those of its address that are given.
	server    *node
	variables object
	payload   *node
	headers   object
}

// sending reads what a call says of a message that it sends; nil after a mistake.
func (c *compiler) sending(w object) *sending {
	m := &sending{document: w.required("document"), name: c.addressee(w)}
	ok := c.sentTo(w, m) && m.document != nil && m.name != nil
	if v := w.get("subscription"); v != nil {
		c.atf(v, noSubscription)
		return nil
	}
	v := w.required("message")
	o := c.object(v, "the property \"message\"", "payload", "headers")
	ok = ok && o.ok
	if m.payload = o.get("payload"); m.payload != nil && m.payload.kind != objectKind && !m.payload.isExpression() {
		c.atf(m.payload, "\"payload\" must be an object such as {name: value}, or an expression in ${ }, but is %s", m.payload.describe())
		ok = false
	}
	if v := o.get("headers"); v != nil {
		if m.headers = c.object(v, "the property \"headers\"", anyProperty); m.headers.ok {
			c.scalars(v, false)
		}
		ok = ok && m.headers.ok
	}
	if !ok {
		return nil
	}
	return m
}

// addressee returns the name of the operation that is called, or that of its channel; nil after a mistake.
func (c *compiler) addressee(w object) *node {
	channel, operation := w.get("channel"), w.get("operation")
	n := cmp.Or(operation, channel)
	switch {
	case channel != nil && operation != nil:
		c.atf(operation, "\"channel\" and \"operation\" exclude each other: keep \"operation\" if the document is one of AsyncAPI 3, "+
			"\"channel\" if it is one of AsyncAPI 2")
	case n == nil:
		c.atf(w.n, "%s does not say what is called: add \"operation\" if the document is one of AsyncAPI 3, \"channel\" if it is one of "+
			"AsyncAPI 2", w.what)
	case !c.isString(n, n.name):
	case n.isExpression():
		c.atf(n, "%q must be a name in the document, but is %s", n.name, n.describe())
	default:
		return n
	}
	return nil
}

// sentTo reads at which server a message is sent, and by which protocol. It tells whether that can be.
func (c *compiler) sentTo(w object, m *sending) bool {
	v, ok := w.get("server"), true
	o := c.object(v, "the property \"server\"", "name", "variables")
	if v != nil {
		m.server = o.required("name")
		ok = m.server != nil && c.isString(m.server, "name")
	}
	if v := o.get("variables"); v != nil {
		if m.variables = c.object(v, "the property \"variables\"", anyProperty); m.variables.ok {
			c.scalars(v, false)
		}
		ok = ok && m.variables.ok
	}
	p := w.get("protocol")
	switch {
	case p == nil:
	case p.kind != stringKind || !slices.Contains(asyncProtocols, p.text):
		c.atf(p, "\"protocol\" must be one of those that the language knows, but is %s: %s", p.describe(), hint(p.text, asyncProtocols, ""))
		return false
	case p.text != asyncProtocols[0] && v == nil: // with a server, the protocol does not count
		c.atf(p, "the protocol is %q, "+noBroker, p.text)
		return false
	}
	return ok
}

// header returns a header of a message, in whatever letter case; nil if it has none of the name.
func (m *sending) header(name string) *node {
	if m.headers.ok {
		for i, k := range m.headers.n.keys {
			if strings.EqualFold(k.name, name) {
				return m.headers.n.items[i]
			}
		}
	}
	return nil
}

// asyncOperation is how a message is sent.
type asyncOperation struct {
	method string
	// uri is the address, with names in braces for what is placed there.
	uri    string
	placed []placed
	// query are the properties of the payload that go into the query, querySchema is what is said of all of them.
	query       []queried
	querySchema any
	messages    []asyncMessage
	// kind is the type of the content.
	kind string
}

// queried is a property of the payload that goes into the query.
type queried struct {
	name string
	// kept: it stays in the content, too.
	required, kept bool
}

// placed is what stands for a name in an address.
type placed struct {
	name string
	// n is what is written there. What is left of a path leads on in what the expression n makes.
	n    *node
	rest []string
	// input: it is a property of the task's input of the same name. otherwise is what is there if neither says anything.
	input     bool
	otherwise string
}

// bare tells whether the request has no content, whatever the payload is.
func (f *asyncOperation) bare() bool { return f.method == "GET" || f.method == "HEAD" }

// asks tells whether a property of the payload goes into the query.
func (f *asyncOperation) asks(name string) bool {
	return slices.ContainsFunc(f.query, func(q queried) bool { return q.name == name })
}

// sends tells whether a property of the payload is part of the content.
func (f *asyncOperation) sends(name string) bool {
	return !f.bare() && !slices.ContainsFunc(f.query, func(q queried) bool { return q.name == name && !q.kept })
}

// send adds the request that sends a message.
func (r *request) send(f *asyncOperation, m *sending) {
	r.name("method")
	writeString(&r.literal, f.method)
	r.name("uri")
	writeString(&r.literal, f.uri)
	r.placed(f.placed, m.name)
	kind := ""
	if r.content(f, m) && m.header("Content-Type") == nil {
		kind = f.kind
	}
	var headers []parameter
	if m.headers.ok {
		for _, k := range m.headers.n.keys {
			headers = append(headers, parameter{name: k.name})
		}
	}
	r.headers(headers, m.headers, kind)
}

// placed adds what stands for names in the address. What an expression lacks is told at n.
func (r *request) placed(all []placed, n *node) {
	if len(all) == 0 {
		return
	}
	r.name("path")
	for i, p := range all {
		r.literal.WriteString([]string{"{", ","}[min(i, 1)])
		writeString(&r.literal, p.name)
		r.literal.WriteByte(':')
		r.at = "/path/" + messages.EscapePointer(p.name)
		switch {
		case p.input:
			name := jqText(p.name)
			text := fmt.Sprintf("if type == \"object\" and has(%[1]s) then .[%[1]s] else %[2]s end", name, jqText(p.otherwise))
			r.part(r.c.expression(n, text, r.place, r.vars))
		case p.n == nil:
			writeString(&r.literal, p.otherwise)
		case len(p.rest) > 0:
			steps := make([]string, len(p.rest))
			for i, step := range p.rest {
				steps[i] = jqText(step)
			}
			r.picked(p.n, "getpath(["+strings.Join(steps, ",")+"])")
		default:
			r.add(p.n)
		}
	}
	r.literal.WriteByte('}')
}

// content adds the content of a message, and what of its payload goes into the query. It tells whether there is any content.
func (r *request) content(f *asyncOperation, m *sending) bool {
	switch p := m.payload; {
	case p == nil:
		return false
	case p.kind != objectKind:
		return r.madeContent(f, p)
	default:
		given := object{c: r.c, n: p, ok: true}
		var query, body []parameter
		for _, k := range p.keys {
			if f.asks(k.name) {
				query = append(query, parameter{name: k.name})
			}
			if f.sends(k.name) {
				body = append(body, parameter{name: k.name})
			}
		}
		r.parameters("query", query, given)
		if len(body) == len(p.keys) && !f.bare() {
			r.property("body", p)
			return true
		}
		r.parameters("body", body, given)
		return len(body) > 0
	}
}

// madeContent adds the same of a payload that an expression makes.
func (r *request) madeContent(f *asyncOperation, n *node) bool {
	var gone []string
	for i, q := range f.query {
		if i == 0 {
			r.name("query")
		}
		r.literal.WriteString([]string{"{", ","}[min(i, 1)])
		writeString(&r.literal, q.name)
		r.literal.WriteByte(':')
		r.picked(n, "getpath(["+jqText(q.name)+"])")
		if !q.kept {
			gone = append(gone, ".["+jqText(q.name)+"]")
		}
	}
	if len(f.query) > 0 {
		r.literal.WriteByte('}')
	}
	switch {
	case f.bare():
		return false
	case len(gone) == 0:
		r.property("body", n)
	default:
		r.name("body")
		r.picked(n, "del("+strings.Join(gone, ", ")+")")
	}
	return true
}

// picked adds what a filter makes of what an expression yields.
func (r *request) picked(n *node, filter string) {
	if namesSecrets(n.text) {
		r.c.atf(n, "a part of %q is needed for the address, and can't be picked out of an expression with secrets: write an object, with an "+
			"expression for each property", n.property())
		return
	}
	if r.c.expression(n, n.text, r.place, r.vars) == nil {
		return
	}
	e, err := r.c.programs.compile("("+inner(n.text)+"\n) | "+filter, r.place, r.vars)
	if err != nil {
		r.c.atf(n, "a part of %q is needed for the address, and can't be picked out of its expression: %v", n.property(), err)
		return
	}
	r.part(e)
}

// jqText is a text as jq writes it.
func jqText(text string) string { return `"` + quoteInside(text) + `"` }
