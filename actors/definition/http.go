package definition

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// The activities that send an HTTP request: one for requests that can be repeated, and one for those that can't.
const (
	activityRequest     = "http.request"
	activityRequestOnce = "http.requestOnce"
)

// builtin are the names of the adapters that calls and processes of the language are executed by, with what stands for their activities. A
// definition can't call these by themselves.
var builtin = map[string]string{"grpc": "\"call: grpc\"", "http": "\"call: http\"", "shell": "\"run: {shell: …}\""}

// repeatable are the activities for what can be repeated, by those of the same work for what can't.
var repeatable = map[string]string{
	activityRequestOnce: activityRequest, activityCallOnce: activityCall,
	activityCommandOnce: "shell.command", activityScriptOnce: "shell.script", activityContainerOnce: "shell.container",
}

// Builtin tells whether an activity is one of a built-in adapter, which stands for a request or a process, and whether that may be done
// again.
func Builtin(activity string) (is, again bool) {
	for once, repeated := range repeatable {
		if activity == once || activity == repeated {
			return true, activity == repeated
		}
	}
	return false, false
}

// idempotentMethods are those that can be repeated (RFC 9110, 9.2.2), but for TRACE.
var idempotentMethods = []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}

// httpCall compiles the call of an HTTP endpoint.
func (c *compiler) httpCall(n *node, t *workflow.Task, s scope) {
	w := c.object(n, "the property \"with\" of \"call: http\"", "method", "endpoint", "headers", "body", "query", "output", "redirect")
	if !w.ok {
		return
	}
	call := &workflow.Call{Activity: activityRequestOnce}
	t.Kind = call
	r := c.request(s)
	if v := w.required("method"); v != nil && r.method(v) && slices.Contains(idempotentMethods, strings.ToUpper(v.text)) {
		call.Activity = activityRequest
	}
	if v := w.required("endpoint"); v != nil {
		r.endpoint(v)
	}
	r.exchange(w)
	call.With = r.done()
}

// exchange reads what of a request and its answer is the same for HTTP and OpenAPI.
func (r *request) exchange(w object) {
	for _, name := range [...]string{"headers", "query"} {
		if v := w.get(name); v != nil {
			r.pairs(v, name)
		}
	}
	if v := w.get("body"); v != nil {
		r.property("body", v)
	}
	if v := w.get("output"); v != nil {
		if v.kind != stringKind || !slices.Contains(outputs, v.text) {
			r.c.atf(v, "\"output\" must be %s, but is %s", quoted(outputs), v.describe())
		}
		r.property("output", v)
	}
	if v := w.get("redirect"); v != nil {
		_, _ = r.c.boolean(v, "redirect")
		r.property("redirect", v)
	}
}

// outputs are the forms in which the answer to a request can be had.
var outputs = []string{"raw", "content", "response"}

var methodPattern = regexp.MustCompile("^[A-Za-z]{1,32}$")

// method reads the method of a request. It tells whether that is known.
func (r *request) method(n *node) bool {
	if !r.c.isString(n, "method") {
		return false
	}
	constant := !n.isExpression()
	if namesSecrets(n.text) || strings.EqualFold(n.text, "CONNECT") || constant && !methodPattern.MatchString(n.text) {
		r.c.atf(n, "\"method\" must be a method of HTTP such as \"get\", or an expression in ${ }, but is %s", n.describe())
	}
	r.property("method", n)
	return constant
}

// pairs reads an object of texts, or an expression that makes one.
func (r *request) pairs(n *node, name string) {
	switch {
	case n.kind == objectKind:
		r.c.scalars(n, name == "query")
	case !n.isExpression():
		r.c.atf(n, "%q must be an object such as {name: value}, or an expression in ${ }, but is %s", name, n.describe())
	}
	r.property(name, n)
}

// scalars checks that the values of an object are texts, numbers and the like, or perhaps lists.
func (c *compiler) scalars(n *node, lists bool) {
	for _, item := range n.items {
		if item.kind == objectKind || item.kind == listKind && !lists {
			c.atf(item, "%q must be a string, a number, true or false, but is %s", item.property(), item.describe())
		}
	}
}

// endpoint reads where a request goes to, and who says that it comes.
func (r *request) endpoint(n *node) {
	if n.kind == stringKind {
		r.uri(n)
		return
	}
	o := r.c.object(n, "the property \"endpoint\"", "uri", "authentication")
	if v := o.required("uri"); v != nil && r.c.isString(v, "uri") {
		r.uri(v)
	}
	if v := o.get("authentication"); v != nil {
		r.authentication(v)
	}
}

// uri reads the address of an endpoint.
func (r *request) uri(n *node) {
	if n.isExpression() {
		r.property("uri", n)
		return
	}
	e, problem := newURITemplate(n.text)
	if problem != "" {
		r.c.atf(n, "%q must be the address of an endpoint, such as \"https://example.com/pets/{id}\", but in %s %s",
			n.property(), shorten(n.text, 100), problem)
		return
	}
	if u, err := url.Parse(strings.Join(e.texts, "1")); err == nil && u.Host == "" && e.texts[0] != "" {
		r.c.warnf(n, "%q names no host: the call will fail", n.property())
	}
	r.name("uri")
	r.part(e)
}

// uriTemplate is an address in which names stand for properties of a task's input, by the simple expansion of RFC 6570.
type uriTemplate struct {
	// texts surround the names: there is one more of them.
	texts, names []string
}

// newURITemplate reads an address. The problem is what is wrong with it, "" if nothing is.
func newURITemplate(text string) (e *uriTemplate, problem string) {
	e = &uriTemplate{}
	rest := text
	for {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, "there is } without {: write %7D"
		}
		e.texts = append(e.texts, before)
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		switch {
		case !closed:
			return nil, "there is { without }: write %7B"
		case name == "" || strings.ContainsAny(name[:1], "+#./;?&=,!@|") || strings.ContainsAny(name, "{*:,"):
			return nil, fmt.Sprintf("{%s} is more than the name of a property of the input: only those are replaced", name)
		}
		e.names = append(e.names, name)
		rest = behind
	}
	if e.texts[0] == "" && len(e.names) > 0 {
		return e, "" // the scheme is known when the request is sent
	}
	u, err := url.Parse(strings.Join(e.texts, "1"))
	switch {
	case err != nil:
		return nil, "something is wrong: " + err.Error()
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "http:// or https:// is missing"
	case u.User != nil:
		return nil, "there are a name or a password: use \"authentication\" for that"
	case u.Fragment != "":
		return nil, "there is a fragment, #, which is not sent: remove it"
	}
	return e, ""
}

func (e *uriTemplate) Eval(in *workflow.Value, _ *workflow.Args) (*workflow.Value, error) {
	var properties map[string]any
	if len(e.names) > 0 {
		decoded, err := in.Any()
		if err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
		properties, _ = decoded.(map[string]any) // of anything else no property is there
	}
	var b strings.Builder
	b.WriteString(e.texts[0])
	for i, name := range e.names {
		switch v := properties[name].(type) {
		case nil:
		case map[string]any, []any:
			return nil, fmt.Errorf("the property %q of the input stands in the address, and must be a string, a number, true, false or null", name)
		default:
			text := fmt.Sprint(v)
			if text == "." || text == ".." {
				return nil, fmt.Errorf("the property %q of the input stands in the address, and can't be . or .., which lead elsewhere", name)
			}
			b.WriteString(messages.EscapeURI(text))
		}
		b.WriteString(e.texts[i+1])
	}
	return textValue(b.String()), nil
}

func (e *uriTemplate) Bool(*workflow.Value, *workflow.Args) (bool, error) { return true, nil }

// idempotent reads whether a request or process can be repeated, whatever is taken otherwise.
func (c *compiler) idempotent(n *node, t *workflow.Task) {
	can, ok := c.boolean(n, "idempotent")
	call, _ := t.Kind.(*workflow.Call)
	for once, repeated := range repeatable {
		if call != nil && (call.Activity == once || call.Activity == repeated) {
			if call.Activity = once; can || !ok {
				call.Activity = repeated
			}
			return
		}
	}
	c.atf(n, "\"idempotent\" is for requests and processes, such as \"call: http\" and \"run: {shell: …}\": an activity of an adapter says "+
		"itself what it is")
}

// request builds what an activity of a built-in adapter gets: an object. Of its properties those expressions that name secrets are left to
// the adapter, which finds them in the property "sealed", by their JSON pointers.
type request struct {
	templateBuilder

	scope  scope
	sealed []sealed
	first  bool
	// without are the ways to authenticate that there are not, with the reasons.
	without map[string]string
}

func (c *compiler) request(s scope) *request {
	r := &request{templateBuilder: templateBuilder{c: c, place: placeTask, vars: s.vars}, scope: s, first: true}
	r.seal = func(n *node, at string) { r.sealed = append(r.sealed, sealed{n, at}) }
	r.literal.WriteByte('{')
	r.name("namespace")
	writeString(&r.literal, c.def.Ref.Namespace)
	return r
}

// name begins a property.
func (r *request) name(name string) {
	if !r.first {
		r.literal.WriteByte(',')
	}
	r.first = false
	writeString(&r.literal, name)
	r.literal.WriteByte(':')
	r.at = "/" + messages.EscapePointer(name)
}

// property adds a property as it is written.
func (r *request) property(name string, n *node) {
	r.name(name)
	r.add(n)
}

// done returns the expression that makes the request.
func (r *request) done() workflow.Expr {
	if len(r.sealed) > 0 {
		r.name("sealed")
		for i, s := range r.sealed {
			r.literal.WriteString([]string{"{", ","}[min(i, 1)])
			writeString(&r.literal, s.at)
			r.literal.WriteByte(':')
			r.unsealed(s.n)
		}
		r.literal.WriteByte('}')
	}
	r.literal.WriteByte('}')
	return &template{parts: r.parts, tail: r.literal.Bytes(), limits: &r.c.limits}
}
