package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// drafts are the versions of JSON Schema.
var drafts = map[string]*jsonschema.Draft{
	"json":          jsonschema.Draft2020,
	"json:2020-12":  jsonschema.Draft2020,
	"json:2019-09":  jsonschema.Draft2019,
	"json:draft-07": jsonschema.Draft7,
	"json:draft-06": jsonschema.Draft6,
	"json:draft-04": jsonschema.Draft4,
}

// schema reads and compiles a schema; nil if there is none, or after a mistake.
func (c *compiler) schema(n *node) workflow.Schema {
	o := c.object(n, "a schema", "format", "document", "resource")
	if !o.ok {
		return nil
	}
	draft := jsonschema.Draft2020
	if v := o.get("format"); v != nil {
		if !c.isString(v, "format") {
			return nil
		}
		if draft = drafts[v.text]; draft == nil {
			c.atf(v, "the format %s is not supported: use \"json\", or with a draft \"json:2020-12\", \"json:2019-09\", "+
				"\"json:draft-07\", \"json:draft-06\" or \"json:draft-04\"", shorten(v.text, 40))
			return nil
		}
	}
	document, resource := o.get("document"), o.get("resource")
	switch {
	case document != nil && resource != nil:
		c.atf(resource, "a schema has the property \"document\" already: remove one of them")
		return nil
	case resource != nil:
		content, address := c.resource(resource)
		if address == "" {
			return nil
		}
		if document = c.readResource(resource.get("endpoint"), content, address); document == nil {
			return nil
		}
	case document == nil:
		c.atf(n, "a schema lacks the property \"document\", which has the JSON schema: write {document: {type: object}}")
		return nil
	}
	s, done := c.schemas[document] // calls of a function share it
	if !done {
		s = c.jsonSchema(document, draft)
		c.schemas[document] = s
	}
	return s
}

// maxSchema is the size of the largest schema, in names and values: the time to compile it grows with the square.
const maxSchema = 10_000

// schemaURL is what a schema is called in messages.
const schemaURL = "urn:holdfast:schema"

func (c *compiler) jsonSchema(document *node, draft *jsonschema.Draft) workflow.Schema {
	if document.kind != objectKind && document.kind != boolKind {
		c.atf(document, "a JSON schema must be an object, but is %s", document.describe())
		return nil
	}
	if document.size() > maxSchema {
		c.atf(document, "the schema has more than %d parts: simplify it", maxSchema)
		return nil
	}
	s, err := compileSchema(document.value(), draft)
	if err != nil {
		c.schemaMistake(document, err)
		return nil
	}
	return s
}

// compileSchema compiles a JSON schema that refers to nothing outside of itself.
func compileSchema(document any, draft *jsonschema.Draft) (*schema, error) {
	js := jsonschema.NewCompiler()
	js.DefaultDraft(draft)
	js.AssertFormat() // whatever the draft: by themselves, some drafts only take note of a format
	js.UseLoader(noLoader{})
	js.UseRegexpEngine(func(text string) (jsonschema.Regexp, error) {
		p, err := compilePattern(text)
		if err != nil {
			return nil, err
		}
		return p.re, nil
	})
	if err := js.AddResource(schemaURL, document); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it is about
	}
	compiled, err := js.Compile(schemaURL)
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	cost := newSchemaCost(compiled)
	s := &schema{compiled: compiled, cost: cost.costs(partCost)}
	if cost.texts() {
		s.text = cost.costs(textCost)
	}
	return s, nil
}

// noLoader refuses to load what a schema refers to.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not loaded: only references within the schema are supported", shorten(url, 100))
}

// schemaMistake notes what is wrong with a schema, at its place if that is known.
func (c *compiler) schemaMistake(document *node, err error) {
	var invalid *jsonschema.SchemaValidationError
	var problems *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &problems) {
		for _, p := range leaves(problems, nil) {
			c.atf(document.find(p.InstanceLocation), "the schema is wrong: %s", say(p))
		}
		return
	}
	c.atf(document, "the schema is wrong: %v", err)
}

// find returns the node that a path leads to, or the last on the way.
func (n *node) find(path []string) *node {
	for _, name := range path {
		i := slices.IndexFunc(n.items, func(child *node) bool { return child.name == name })
		if i < 0 {
			break
		}
		n = n.items[i]
	}
	return n
}

// leaves returns what errors come down to.
func leaves(e *jsonschema.ValidationError, found []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return append(found, e)
	}
	for _, cause := range e.Causes {
		if len(found) >= maxProblems {
			break
		}
		found = leaves(cause, found)
	}
	return found
}

// maxProblems is how many problems with a value are told.
const maxProblems = 5

var english = message.NewPrinter(language.English)

// maxSaid is how long a problem with a value may be told, about, in bytes.
const maxSaid = 300

// say says what a problem is. Of a long text the middle is left out: the value comes first there, and what is wrong with it last.
func say(e *jsonschema.ValidationError) string {
	text := e.ErrorKind.LocalizedString(english)
	if len(text) <= maxSaid {
		return messages.Clip(text, maxSaid)
	}
	return messages.Clip(text, maxSaid/2) + strings.ToValidUTF8(text[len(text)-maxSaid/2:], "")
}

// schema is a compiled JSON schema.
type schema struct {
	compiled *jsonschema.Schema
	// cost bounds, by the depth of a value, how many schemas are applied to any part of it, or what takes as long; text bounds the same for
	// each byte of its texts and names, nil: that is nothing.
	cost, text []int64
}

// maxChecks is the most applications of a schema in one validation, and what takes as long: half a second.
const maxChecks = 5_000_000

// Validate checks a value.
func (s *schema) Validate(v *workflow.Value, m *workflow.Meter) error {
	decoded, err := v.Any()
	if err != nil {
		return err
	}
	cost, err := s.costOf(decoded)
	if err != nil {
		return err
	}
	m.Check(int(cost))
	err = s.compiled.Validate(decoded)
	var problems *jsonschema.ValidationError
	if err == nil {
		return nil
	}
	if !errors.As(err, &problems) {
		return fmt.Errorf("check the value: %w", err)
	}
	var b strings.Builder
	for i, p := range leaves(problems, nil) {
		if i > 0 {
			b.WriteString("; ")
		}
		if len(p.InstanceLocation) > 0 {
			b.WriteString("at ")
			for _, name := range p.InstanceLocation {
				b.WriteString("/" + messages.Clip(messages.EscapePointer(name), 100))
			}
			b.WriteString(": ")
		}
		b.WriteString(say(p))
	}
	return errors.New(b.String())
}

// costOf bounds what it takes to check a value. An error says that it is too much, or that the value can't be checked.
func (s *schema) costOf(decoded any) (int64, error) {
	size := &valueSize{}
	if err := size.visit(decoded, 1); err != nil {
		return 0, err
	}
	cost := bounded(s.cost[min(size.depth, len(s.cost)-1)], size.parts)
	if s.text != nil {
		cost += bounded(s.text[min(size.depth, len(s.text)-1)], size.bytes)
	}
	if cost > maxChecks {
		return 0, errors.New("the value is too large or too deep to be checked with this schema: simplify the schema")
	}
	return cost, nil
}

// bounded is how much many cost, or more than maxChecks.
func bounded(cost int64, many int) int64 {
	if many > 0 && cost > maxChecks/int64(many) {
		return maxChecks + 1
	}
	return cost * int64(many)
}

// valueSize counts the parts of a value, how deep they nest, and the bytes of its texts and names.
type valueSize struct{ parts, depth, bytes int }

// maxExponent is the largest exponent of a number that is checked: beyond it, calculating takes long.
const maxExponent = 400

func (s *valueSize) visit(v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("the value nests more than %d deep", maxDepth)
	}
	s.parts++
	s.depth = max(s.depth, depth)
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := s.visit(e, depth+1); err != nil {
				return err
			}
		}
	case string:
		s.bytes += len(v)
	case map[string]any:
		for k, e := range v {
			s.bytes += len(k)
			if err := s.visit(e, depth+1); err != nil {
				return err
			}
		}
	case json.Number:
		return checkMagnitude(v)
	}
	return nil
}

func checkMagnitude(n json.Number) error {
	text := string(n)
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent := strings.TrimLeft(text[i+1:], "+-0")
		if len(exponent) > 3 || len(exponent) == 3 && exponent > fmt.Sprint(maxExponent) {
			return fmt.Errorf("the number %s is too large or too small", shorten(text, 40))
		}
	}
	if len(text) > maxDigits {
		return fmt.Errorf("a number has more than %d digits", maxDigits)
	}
	return nil
}
