package definition

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// sealed is an expression that names secrets, which the engine must not know: an adapter evaluates it. What in it needs no secret is
// evaluated before. The rest is a tree of these objects:
//
//	{"value": …}                          a value
//	{"secret": ["name", "property", …]}   a secret, or a part of one
//	{"authorization": "scheme"}           what authorizes the request: its scheme or parameter
//	{"text": […], "format": "@base64"}    texts, one after the other; each that is no string as JSON, and in the format if there is one
type sealed struct {
	n  *node
	at string // the JSON pointer of what it makes
}

// secretPattern finds what only a built-in adapter knows.
var secretPattern = regexp.MustCompile(`\$(?:secrets|authorization)\b`)

func namesSecrets(text string) bool { return secretPattern.MatchString(text) }

// secretFormats are those that secrets can be written in.
var secretFormats = []string{"@text", "@base64", "@uri"}

// unsealed adds the tree of a sealed expression, or of the name of a secret.
func (r *request) unsealed(n *node) {
	if !n.isExpression() {
		r.secret(n, n.text)
		return
	}
	text := inner(n.text)
	q, err := gojq.Parse(text)
	if err != nil || len(text) > r.c.limits.Expression {
		r.c.expression(n, n.text, r.place, r.vars) // says what is wrong
		return
	}
	if !r.tree(n, q) {
		r.c.atf(n, "the expression %s of %q is wrong: of an expression with $secrets or $authorization only these parts can be evaluated where "+
			"secrets are known: $secrets.name.property, \"text \\($secrets.name)\", +, @base64 and @uri; do the rest before, in a task of its own",
			shorten(strings.TrimSpace(text), 120), n.property())
	}
}

// tree adds a part of an expression. It tells whether that can be.
func (r *request) tree(n *node, q *gojq.Query) bool {
	switch {
	case !namesSecrets(q.String()):
		return r.value(n, q.String())
	case len(q.FuncDefs) > 0 || q.Meta != nil || len(q.Imports) > 0 || len(q.Patterns) > 0:
		return false
	case q.Op == gojq.OpAdd:
		return r.texts(n, "@text", summands(q)...)
	case q.Op == gojq.OpPipe:
		t := q.Right.Term
		return t != nil && t.Type == gojq.TermTypeFormat && t.Str == nil && len(t.SuffixList) == 0 && r.texts(n, t.Format, q.Left)
	case q.Term == nil:
		return false
	}
	t := q.Term
	switch {
	case t.Type == gojq.TermTypeFunc && len(t.Func.Args) == 0:
		return r.named(n, t)
	case len(t.SuffixList) > 0:
		return false
	case t.Type == gojq.TermTypeQuery:
		return r.tree(n, t.Query)
	case t.Type == gojq.TermTypeString:
		return r.interpolation(n, "@text", t.Str)
	case t.Type == gojq.TermTypeFormat && t.Str != nil:
		return r.interpolation(n, t.Format, t.Str)
	}
	return false
}

// summands are the parts of a sum, of which one without secrets is whole.
func summands(q *gojq.Query) []*gojq.Query {
	if q.Op != gojq.OpAdd || len(q.FuncDefs) > 0 || !namesSecrets(q.String()) {
		return []*gojq.Query{q}
	}
	return append(summands(q.Left), summands(q.Right)...)
}

// value adds a part that needs no secret.
func (r *request) value(n *node, text string) bool {
	r.literal.WriteString(`{"value":`)
	r.part(r.c.expression(n, text, r.place, r.vars))
	r.literal.WriteByte('}')
	return true
}

// texts adds parts that make one text.
func (r *request) texts(n *node, format string, parts ...*gojq.Query) bool {
	if !slices.Contains(secretFormats, format) {
		return false
	}
	r.literal.WriteString(`{"text":[`)
	for i, q := range parts {
		if i > 0 {
			r.literal.WriteByte(',')
		}
		if !r.tree(n, q) {
			return false
		}
	}
	r.literal.WriteString(`],"format":"` + format + `"}`)
	return true
}

// interpolation adds a string that is put together. What is written there is in no format.
func (r *request) interpolation(n *node, format string, s *gojq.String) bool {
	r.literal.WriteString(`{"text":[`)
	for i, q := range s.Queries {
		if i > 0 {
			r.literal.WriteByte(',')
		}
		if t := q.Term; t != nil && t.Type == gojq.TermTypeString && t.Str.Queries == nil {
			r.literal.WriteString(`{"value":`)
			writeString(&r.literal, t.Str.Str)
			r.literal.WriteByte('}')
			continue
		}
		if !r.texts(n, format, q) {
			return false
		}
	}
	r.literal.WriteString(`]}`)
	return true
}

// named adds a secret, or what authorizes the request.
func (r *request) named(n *node, t *gojq.Term) bool {
	var steps []string
	for _, s := range t.SuffixList {
		if s.Index == nil || s.Iter || s.Optional {
			return false
		}
		step, ok := stepOf(s.Index)
		if !ok || step.isIndex {
			return false
		}
		steps = append(steps, step.key)
	}
	if t.Func.Name == "$authorization" {
		known := len(steps) == 1 && (steps[0] == "scheme" || steps[0] == "parameter")
		if known {
			r.literal.WriteString(`{"authorization":"` + steps[0] + `"}`)
		}
		return known
	}
	if t.Func.Name != "$secrets" || len(steps) == 0 {
		return false
	}
	r.secret(n, steps...)
	return true
}

// secret adds a secret, or a part of one.
func (r *request) secret(n *node, steps ...string) {
	if !r.c.secrets[steps[0]] {
		r.c.atf(n, "there is no secret %s in \"use.secrets\": %s", shorten(steps[0], 60),
			hint(steps[0], sortedNames(r.c.secrets), "add it there"))
	}
	for i, step := range steps {
		r.literal.WriteString([]string{`{"secret":[`, ","}[min(i, 1)])
		writeString(&r.literal, step)
	}
	r.literal.WriteString("]}")
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
