package definition

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// asyncMessage is one that an operation takes.
type asyncMessage struct {
	// kind is the type of its content.
	kind string
	// payload, headers and bound are JSON schemas, the last one that of the headers of HTTP; nil: there is none that can be used.
	payload, headers, bound any
}

// messages reads which messages an operation takes, and of which type the content of others would be.
func (d *asyncDocument) messages(op, channel outside, f *asyncOperation) {
	f.kind = cmp.Or(d.get(d.top, "defaultContentType").text(), "application/json")
	for _, o := range d.taken(op, channel) {
		f.messages = append(f.messages, asyncMessage{
			kind:    cmp.Or(d.given(o, "contentType").text(), f.kind),
			payload: d.schemaOf(d.get(o, "payload"), d.get(o, "schemaFormat").text()),
			headers: d.schemaOf(d.given(o, "headers"), ""),
			bound:   d.schemaOf(d.given(o, "bindings", "http", "headers"), ""),
		})
	}
}

// taken are the messages that an operation takes: in AsyncAPI 3 those of the channel, if it does not say which of them.
func (d *asyncDocument) taken(op, channel outside) (all []outside) {
	if d.second() {
		message := d.get(op, "message")
		if all = d.list(d.get(message, "oneOf")); len(all) == 0 && message.value != nil {
			all = append(all, message)
		}
		return all
	}
	if listed := d.get(op, "messages"); listed.value != nil {
		return d.list(listed)
	}
	of := d.get(channel, "messages")
	for _, name := range of.names() {
		all = append(all, d.get(of, name))
	}
	return all
}

// schemaOf returns a schema if it is a JSON schema; else nil. AsyncAPI 3 puts one of another format into an object that says so.
func (d *asyncDocument) schemaOf(o outside, format string) any {
	if own := d.get(o, "schemaFormat").text(); own != "" && !d.second() {
		o, format = d.get(o, "schema"), own
	}
	for _, known := range []string{"", "application/vnd.aai.asyncapi", "application/schema+json", "application/schema+yaml"} {
		if name, _, _ := strings.Cut(format, ";"); name == known || known != "" && strings.HasPrefix(name, known+"+") {
			return o.value
		}
	}
	return nil
}

// query reads what of the payload goes into the query. It stays in the content if a message names it, too.
func (d *asyncDocument) query(op outside, f *asyncOperation) {
	query := d.given(op, "bindings", "http", "query")
	f.querySchema = query.value
	required := kindsOf(d.root, d.get(query, "required"))
	for _, name := range d.get(query, "properties").names() {
		q := queried{name: name, required: slices.Contains(required, name)}
		for _, message := range f.messages {
			q.kept = q.kept || d.get(d.get(outside{message.payload}, "properties"), name).value != nil
		}
		f.query = append(f.query, q)
	}
}

// check checks what is written out of a message, and finds out the type of its content.
func (d *asyncDocument) check(f *asyncOperation, m *sending) {
	d.checkQuery(f, m)
	if fit := d.fitting(f, m); len(fit) > 0 {
		i := slices.IndexFunc(fit, func(message asyncMessage) bool { return isStructured(message.kind) })
		f.kind = fit[max(i, 0)].kind
	}
	kind := f.kind
	if own := m.header("Content-Type"); own != nil && own.kind == stringKind {
		kind = own.text
	}
	if m.payload != nil && m.payload.kind == objectKind && !f.bare() && !isExpression(kind) && !isStructured(kind) {
		d.atf(m.payload, "the content of the message is of the type %s, and an object can be sent as JSON or as a form alone: write an "+
			"expression that makes the text", shorten(kind, 60))
	}
}

// isStructured tells whether an object can be sent as content of a type.
func isStructured(kind string) bool {
	kind, _, _ = strings.Cut(strings.ToLower(kind), ";")
	kind = strings.TrimSpace(kind)
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json") || kind == formKind
}

// checkQuery checks what of a payload that is written out goes into the query.
func (d *asyncDocument) checkQuery(f *asyncOperation, m *sending) {
	if m.payload != nil && m.payload.kind != objectKind {
		if f.bare() && len(f.query) == 0 {
			d.atf(m.payload, "a request with the method %s has no content, and the operation describes no query: remove \"payload\"", f.method)
		}
		return
	}
	lacks, values, written := false, make(map[string]any), true
	var names []string
	for _, q := range f.query {
		names = append(names, q.name)
		v := m.payload.get(q.name)
		switch {
		case v == nil && q.required:
			lacks = true
			d.atf(cmp.Or(m.payload, m.name), "the query needs %s: add it to \"payload\"", shorten(q.name, 60))
		case v != nil:
			values[q.name] = v.value()
			written = written && d.c.written(v)
		}
	}
	if m.payload == nil {
		return
	}
	if written && !lacks && len(values) > 0 {
		d.tell(d.misfits(m.payload, values, f.querySchema), "what goes into the query does not fit")
	}
	for _, k := range m.payload.keys {
		if f.bare() && !f.asks(k.name) {
			d.failed = true
			d.c.atKeyf(m.payload, k, "a request with the method %s has no content, and the query has no %s: %s", f.method, shorten(k.name, 60),
				hint(k.name, names, "remove it"))
		}
	}
}

// fitting returns the messages that what is written out fits, or all of them if nothing is, or none fits.
func (d *asyncDocument) fitting(f *asyncOperation, m *sending) (fit []asyncMessage) {
	var content, headers map[string]any // nil: they are not written out
	if m.payload != nil && m.payload.kind == objectKind && d.c.written(m.payload) && !f.bare() {
		content = make(map[string]any)
		for i, k := range m.payload.keys {
			if f.sends(k.name) {
				content[k.name] = m.payload.items[i].value()
			}
		}
	}
	if m.headers.ok && d.c.written(m.headers.n) {
		headers, _ = m.headers.n.value().(map[string]any)
	}
	var wrong []misfit
	for _, message := range f.messages {
		found := slices.Concat(d.misfits(m.payload, content, message.payload), d.misfits(m.headers.n, headers, message.headers),
			d.misfits(m.headers.n, headers, message.bound))
		if len(found) == 0 {
			fit = append(fit, message)
		}
		wrong = append(wrong, found...)
	}
	switch {
	case len(fit) > 0:
		return fit
	case len(f.messages) == 1:
		d.tell(wrong, "the message does not fit what the operation takes")
	case len(f.messages) > 1:
		d.atf(cmp.Or(m.payload, m.headers.n), "the message fits none of the %d that the operation takes", len(f.messages))
	}
	return f.messages
}

// misfit is why a value at n does not fit a schema.
type misfit struct {
	n    *node
	text string
}

// tell adds mistakes about what does not fit.
func (d *asyncDocument) tell(all []misfit, what string) {
	for _, wrong := range all {
		d.atf(wrong.n, "%s: %s", what, wrong.text)
	}
}

// misfits checks what is written at n against a schema; nil fits, as it is not known.
func (d *asyncDocument) misfits(n *node, value map[string]any, of any) (all []misfit) {
	if value == nil || of == nil {
		return nil
	}
	s := d.compiled(n, of)
	if s == nil {
		return nil
	}
	_, err := s.costOf(value)
	if err == nil {
		err = s.compiled.Validate(value)
	}
	var problems *jsonschema.ValidationError
	switch {
	case errors.As(err, &problems):
		for _, p := range leaves(problems, nil) {
			all = append(all, misfit{n.find(p.InstanceLocation), say(p)})
		}
	case err != nil:
		all = append(all, misfit{n, err.Error()})
	}
	return all
}

// bundled is a schema that was compiled, or why it can't be.
type bundled struct {
	schema *schema
	err    error
}

// maxBundled is the size of all schemas together that are compiled for one definition.
const maxBundled = 10 * maxSchema

// compiled compiles a JSON schema of the document, with all that it refers to there. If it can't be used there is a warning at n, as the
// call can be made all the same.
func (d *asyncDocument) compiled(n *node, of any) *schema {
	b := &bundle{root: d.root, names: make(map[string]string), definitions: make(map[string]any)}
	whole := map[string]any{"allOf": []any{b.add(of)}, "definitions": b.definitions}
	if b.lost != "" {
		d.lost = cmp.Or(d.lost, b.lost)
		return nil
	}
	s, err := d.c.bundled(whole, b.parts)
	if err != nil {
		d.c.warnf(n, "%q is not checked, as the schema in the resource can't be used: %v", n.property(), err)
	}
	return s
}

// bundled compiles a schema of so many parts once.
func (c *compiler) bundled(whole any, parts int) (*schema, error) {
	if parts > maxSchema {
		return nil, fmt.Errorf("it has more than %d parts", maxSchema)
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	known, done := c.bundles[string(text)]
	if done {
		return known.schema, known.err
	}
	if c.bundledParts += parts; c.bundledParts > maxBundled {
		return nil, fmt.Errorf("all such schemas together have more than %d parts", maxBundled)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		known.schema, err = compileSchema(decoded, jsonschema.Draft7)
	}
	var invalid *jsonschema.SchemaValidationError
	var problems *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &problems) {
		err = errors.New(say(leaves(problems, nil)[0])) // the rest is about places in what was made of it
	}
	known.err = err
	c.bundles[string(text)] = known
	return known.schema, err
}

// bundle makes of a schema one that stands for itself: what it refers to is in its definitions.
type bundle struct {
	root any
	// names are those of definitions, by the references that lead to them.
	names       map[string]string
	definitions map[string]any
	parts       int
	// lost is a reference that leads to nothing; "" if none does.
	lost string
}

// add returns a copy of a part of a schema. There is no more of it than may be.
func (b *bundle) add(v any) any {
	if b.parts++; b.parts > maxSchema {
		return nil
	}
	switch v := v.(type) {
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			list = append(list, b.add(item))
		}
		return list
	case map[string]any:
		if reference, is := v["$ref"].(string); is {
			return map[string]any{"$ref": "#/definitions/" + b.define(reference)}
		}
		object := make(map[string]any, len(v))
		for _, name := range sortedNames(v) {
			if _, is := v[name].(string); is && (name == "$id" || name == "$schema") {
				continue // references are those of JSON, which know no base, and AsyncAPI says of which draft a schema is
			}
			object[name] = b.add(v[name])
		}
		return object
	case map[any]any: // of YAML with names that are no texts
		object := make(map[string]any, len(v))
		for name, item := range v {
			object[fmt.Sprint(name)] = item
		}
		return b.add(object)
	}
	return v
}

// define has what a reference leads to among the definitions, and returns its name there.
func (b *bundle) define(reference string) string {
	name, has := b.names[reference]
	if !has {
		name = strconv.Itoa(len(b.names))
		b.names[reference] = name
		v := lookUp(b.root, reference).value
		if v == nil && b.lost == "" {
			b.lost = reference
		}
		b.definitions[name] = b.add(v)
	}
	return name
}
