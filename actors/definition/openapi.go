package definition

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// openapiCall compiles the call of an operation that an OpenAPI document describes, 2.0 or 3, into that of an HTTP endpoint.
func (c *compiler) openapiCall(n *node, t *workflow.Task, s scope) {
	w := c.object(n, "the property \"with\" of \"call: openapi\"",
		"document", "operationId", "parameters", "authentication", "output", "redirect")
	if !w.ok {
		return
	}
	call := &workflow.Call{Activity: activityRequestOnce}
	t.Kind = call
	r := c.request(s)
	id := w.required("operationId")
	if op := c.called(w.required("document"), id); op != nil {
		if slices.Contains(idempotentMethods, strings.ToUpper(op.method)) {
			call.Activity = activityRequest
		}
		r.operation(op, w)
	}
	if v := w.get("authentication"); v != nil {
		r.authentication(v)
	}
	r.exchange(w)
	call.With = r.done()
}

// called finds the operation that a call names; nil after a mistake.
func (c *compiler) called(document, id *node) *operation {
	if document == nil || id == nil || !c.isString(id, "operationId") {
		return nil
	}
	content, address := c.resource(document)
	if address == "" {
		return nil
	}
	return c.operation(document, id, content, address)
}

// operation is one that an OpenAPI document describes.
type operation struct {
	method, uri string
	parameters  []parameter
	// kind is the type of the body, if there is one.
	kind string
}

// parameter is one of an operation. in is path, query, header, form or body.
type parameter struct {
	name, in string
	required bool
	// separator joins the elements of a list in the query; "" has each sent by itself.
	separator string
}

// openapiMethods are those that a path may have.
var openapiMethods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// pathName is what stands for a parameter in a path.
var pathName = regexp.MustCompile(`\{([^{}]*)\}`)

// operation finds an operation in an OpenAPI document; nil after a mistake.
func (c *compiler) operation(at, id *node, content []byte, address string) *operation {
	root, ok := c.open(at, content, address)
	if !ok {
		return nil
	}
	top := outside{value: root}
	version := top.get(root, "openapi").text()
	second := top.get(root, "swagger").text() == "2.0"
	if !second && !strings.HasPrefix(version, "3.") {
		c.atf(at, "the resource %s is no document of OpenAPI, 2.0 or 3", shorten(address, 200))
		return nil
	}
	var known []string
	paths, _ := top.get(root, "paths").value.(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := outside{value: paths[path]}.deref(root)
		for _, method := range openapiMethods {
			op := item.get(root, method)
			name := op.get(root, "operationId").text()
			if known = append(known, name); name == "" || name != id.text {
				continue
			}
			f := &operation{method: method}
			base, err := serverOf(root, top, item, op, address, second)
			if err != nil {
				c.atf(at, "the resource %s does not say where %s is served: %v", shorten(address, 200), shorten(name, 60), err)
				return nil
			}
			f.uri = strings.TrimSuffix(base, "/") + path
			problem := f.read(root, item, op, second)
			for _, name := range pathName.FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(f.parameters, func(p parameter) bool { return p.in == "path" && p.name == name[1] }) {
					problem = fmt.Sprintf("its path has %s, and no parameter of this name", shorten(name[0], 60))
				}
			}
			if problem != "" {
				c.atf(id, "the operation %s can't be called: %s", shorten(name, 60), problem)
				return nil
			}
			if second {
				f.kind = preferred(kindsOf(root, op.get(root, "consumes")), kindsOf(root, top.get(root, "consumes")))
			}
			return f
		}
	}
	known = slices.DeleteFunc(known, func(name string) bool { return name == "" })
	c.atf(id, "there is no operation %s in the resource: %s", shorten(id.text, 60), hint(id.text, known, "its operations have no names"))
	return nil
}

// serverOf is where an operation is served.
func serverOf(root any, top, item, op outside, address string, second bool) (string, error) {
	from, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("its address is none: %w", err)
	}
	if second {
		u := &url.URL{Scheme: from.Scheme, Host: top.get(root, "host").text(), Path: top.get(root, "basePath").text()}
		if u.Host == "" {
			u.Host = from.Host
		}
		if schemes := kindsOf(root, top.get(root, "schemes")); len(schemes) > 0 && !slices.Contains(schemes, u.Scheme) {
			u.Scheme = schemes[0]
			if slices.Contains(schemes, "https") {
				u.Scheme = "https"
			}
		}
		return checkServer(u)
	}
	for _, of := range []outside{op, item, top} {
		servers := of.get(root, "servers").list(root)
		if len(servers) == 0 {
			continue
		}
		text := servers[0].get(root, "url").text()
		variables, _ := servers[0].get(root, "variables").value.(map[string]any)
		for name, v := range variables {
			text = strings.ReplaceAll(text, "{"+name+"}", outside{value: v}.get(root, "default").text())
		}
		u, err := from.Parse(text)
		if err != nil {
			return "", fmt.Errorf("the address %s is none", shorten(text, 100))
		}
		return checkServer(u)
	}
	return checkServer(&url.URL{Scheme: from.Scheme, Host: from.Host, Path: "/"})
}

func checkServer(u *url.URL) (string, error) {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(u.Path, "{}") {
		return "", fmt.Errorf("%s is no address that begins with http:// or https://", shorten(u.Redacted(), 100))
	}
	return u.String(), nil
}

// read reads the parameters of an operation. It says what can't be sent, "" if all can.
func (f *operation) read(root any, item, op outside, second bool) (problem string) {
	seen := make(map[[2]string]bool)
	for _, p := range append(op.get(root, "parameters").list(root), item.get(root, "parameters").list(root)...) {
		name, in := p.get(root, "name").text(), p.get(root, "in").text()
		if seen[[2]string{name, in}] {
			continue // that of the operation counts
		}
		seen[[2]string{name, in}] = true
		required, _ := p.get(root, "required").value.(bool)
		found := parameter{name: name, in: in, required: required || in == "path"}
		switch in {
		case "path", "header":
		case "query":
			found.separator = separatorOf(root, p, second)
		case "body":
			found.name = "body"
		case "formData":
			if p.get(root, "type").text() == "file" {
				return fmt.Sprintf("its parameter %s is a file", shorten(name, 60))
			}
			found.in = "form"
		default:
			return fmt.Sprintf("its parameter %s is in %s, which is not supported", shorten(name, 60), shorten(in, 40))
		}
		if in == "header" && slices.Contains([]string{"accept", "content-type", "authorization"}, strings.ToLower(name)) {
			continue // as OpenAPI has it
		}
		f.parameters = append(f.parameters, found)
	}
	if body := op.get(root, "requestBody"); !second && body.value != nil {
		content, _ := body.get(root, "content").value.(map[string]any)
		kinds := slices.Sorted(maps.Keys(content))
		f.kind = preferred(kinds)
		if len(kinds) > 0 && f.kind == "multipart/form-data" {
			return "its content is of several parts, which is not supported"
		}
		required, _ := body.get(root, "required").value.(bool)
		f.parameters = append(f.parameters, parameter{name: "body", in: "body", required: required})
	}
	return ""
}

const formKind = "application/x-www-form-urlencoded"

// separatorOf is what stands between the elements of a list.
func separatorOf(root any, p outside, second bool) string {
	if second {
		switch p.get(root, "collectionFormat").text() {
		case "multi":
			return ""
		case "ssv":
			return " "
		case "tsv":
			return "\t"
		case "pipes":
			return "|"
		}
		return ","
	}
	style := p.get(root, "style").text()
	explode, said := p.get(root, "explode").value.(bool)
	switch {
	case style == "spaceDelimited":
		return " "
	case style == "pipeDelimited":
		return "|"
	case said && !explode:
		return ","
	}
	return ""
}

// kindsOf are the texts of a list.
func kindsOf(root any, o outside) (kinds []string) {
	for _, item := range o.list(root) {
		kinds = append(kinds, item.text())
	}
	return kinds
}

// preferred is the type of content that is sent where there are several: JSON, a form, or the first one.
func preferred(lists ...[]string) string {
	for _, kinds := range lists {
		for _, kind := range []string{"application/json", formKind} {
			if slices.Contains(kinds, kind) {
				return kind
			}
		}
		if len(kinds) > 0 {
			return kinds[0]
		}
	}
	return "application/json"
}

// operation adds the request of an operation, with the parameters of a call.
func (r *request) operation(op *operation, w object) {
	r.name("method")
	writeString(&r.literal, op.method)
	r.name("uri")
	writeString(&r.literal, op.uri)
	given := r.c.object(w.get("parameters"), "the property \"parameters\"", anyProperty)
	values := make(map[string][]parameter)
	var names []string
	for _, p := range op.parameters {
		names = append(names, p.name)
		v := given.get(p.name)
		if v == nil && p.required {
			r.c.atf(w.n, "the operation needs the parameter %q: add it to \"parameters\"", p.name)
		}
		if v != nil {
			values[p.in] = append(values[p.in], p)
		}
	}
	if given.ok {
		for _, k := range given.n.keys {
			if !slices.Contains(names, k.name) {
				r.c.atKeyf(given.n, k, "the operation has no parameter %s: %s", shorten(k.name, 60), hint(k.name, names, "it has none"))
			}
		}
	}
	r.parameters("path", values["path"], given)
	r.parameters("query", values["query"], given)
	r.separators(values["query"])
	kind := ""
	switch {
	case len(values["body"]) > 0:
		r.property("body", given.get("body"))
		kind = op.kind
	case len(values["form"]) > 0:
		r.parameters("body", values["form"], given)
		kind = formKind
	}
	r.headers(values["header"], given, kind)
}

// parameters adds those parameters of a call that go to one place of the request.
func (r *request) parameters(name string, these []parameter, given object) {
	if len(these) > 0 {
		r.name(name)
		r.literal.WriteByte('{')
		r.values(these, given)
		r.literal.WriteByte('}')
	}
}

// values adds parameters to the object that has begun.
func (r *request) values(these []parameter, given object) {
	above := r.at + "/"
	for i, p := range these {
		if i > 0 {
			r.literal.WriteByte(',')
		}
		writeString(&r.literal, p.name)
		r.literal.WriteByte(':')
		r.at = above + messages.EscapePointer(p.name)
		r.add(given.get(p.name))
	}
}

// headers adds the parameters that go into headers, and what kind of content there is; "" if there is none.
func (r *request) headers(these []parameter, given object, kind string) {
	if len(these) == 0 && kind == "" {
		return
	}
	r.name("headers")
	r.literal.WriteByte('{')
	r.values(these, given)
	if kind != "" {
		if len(these) > 0 {
			r.literal.WriteByte(',')
		}
		writeString(&r.literal, "Content-Type")
		r.literal.WriteByte(':')
		writeString(&r.literal, kind)
	}
	r.literal.WriteByte('}')
}

// separators says what stands between the elements of lists in the query, where each is not sent by itself.
func (r *request) separators(these []parameter) {
	these = slices.DeleteFunc(slices.Clone(these), func(p parameter) bool { return p.separator == "" })
	if len(these) == 0 {
		return
	}
	r.name("separators")
	for i, p := range these {
		r.literal.WriteString([]string{"{", ","}[min(i, 1)])
		writeString(&r.literal, p.name)
		r.literal.WriteByte(':')
		writeString(&r.literal, p.separator)
	}
	r.literal.WriteByte('}')
}
