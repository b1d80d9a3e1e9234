package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
)

// Call is a call of a built-in activity whose properties may hold secrets.
type Call struct {
	Secrets Folder
	// Namespace is that of the definition.
	Namespace string
	// Sealed are the expressions that name secrets, by the JSON pointers of what they make.
	Sealed map[string]json.RawMessage
	// Scheme and Parameter are what authorizes a request; empty before that is known.
	Scheme, Parameter string
}

// Open returns a property of a call with its secrets; nil if it is not there. It tells whether there are any.
func (c Call) Open(name string, raw json.RawMessage) (v any, secret bool, err error) {
	if len(raw) > 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, false, invalid("%s is no JSON", name)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(c.Sealed)) {
		rest, mine := strings.CutPrefix(at, "/"+name)
		if !mine || rest != "" && rest[0] != '/' {
			continue
		}
		made, err := c.unseal(c.Sealed[at], 0)
		if err != nil {
			return nil, false, err
		}
		secret = true
		if rest == "" {
			v = made
		} else if !put(v, strings.Split(rest[1:], "/"), made) {
			return nil, false, invalid("there is no %s in what the engine sent", at)
		}
	}
	return v, secret, nil
}

// put sets the part of a value that a JSON pointer leads to. It tells whether it is there.
func put(in any, steps []string, v any) bool {
	name := messages.UnescapePointer(steps[0])
	var inner any
	switch in := in.(type) {
	case map[string]any:
		if _, has := in[name]; !has {
			return false
		}
		if len(steps) == 1 {
			in[name] = v
			return true
		}
		inner = in[name]
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(in) {
			return false
		}
		if len(steps) == 1 {
			in[i] = v
			return true
		}
		inner = in[i]
	default:
		return false
	}
	return put(inner, steps[1:], v)
}

// part is a part of an expression that names secrets, as the engine sends it.
type part struct {
	Value         json.RawMessage   `json:"value"`
	Secret        []string          `json:"secret"`
	Authorization string            `json:"authorization"`
	Text          []json.RawMessage `json:"text"`
	Format        string            `json:"format"`
}

// maxDepth is how deep parts may nest, as expressions do.
const maxDepth = 1000

// unseal evaluates an expression.
func (c Call) unseal(raw json.RawMessage, depth int) (any, error) {
	var p part
	if err := json.Unmarshal(raw, &p); err != nil || depth > maxDepth {
		return nil, invalid("an expression with secrets can't be read")
	}
	switch {
	case len(p.Secret) > 0:
		return c.secret(p.Secret)
	case p.Authorization == "scheme":
		return c.Scheme, nil
	case p.Authorization != "":
		return c.Parameter, nil
	case p.Text == nil:
		var v any
		d := json.NewDecoder(bytes.NewReader(p.Value))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, invalid("a value of an expression with secrets is no JSON")
		}
		return v, nil
	}
	var b strings.Builder
	for _, t := range p.Text {
		v, err := c.unseal(t, depth+1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, invalid("a part of a text with secrets is null")
		}
		b.WriteString(Text(v))
	}
	switch p.Format {
	case "@base64":
		return base64.StdEncoding.EncodeToString([]byte(b.String())), nil
	case "@uri":
		return messages.EscapeURI(b.String()), nil
	}
	return b.String(), nil
}

// secret returns a secret, or a part of one.
func (c Call) secret(steps []string) (any, error) {
	v, err := c.Secrets.read(c.Namespace, steps[0])
	if err != nil {
		return nil, err
	}
	for _, step := range steps[1:] {
		object, _ := v.(map[string]any)
		inner, has := object[step]
		if !has {
			return nil, forbidden("the secret %s of the namespace %s has no %q", steps[0], c.Namespace, step)
		}
		v = inner
	}
	return v, nil
}

// Text is a value as text: a string as it is, anything else as JSON.
func Text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "" // it was JSON
	}
	return string(text)
}

// Invalid is the error of a call that can't be made as it is: it was not done, and another try is of no use.
func Invalid(title, format string, args ...any) error {
	return adapters.Permanent(adapters.Problem{
		Type: adapters.ErrorTypeValidation, Title: title, Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...),
	})
}

// Forbidden is the same of a call that may not be made.
func Forbidden(title, format string, args ...any) error {
	return adapters.Permanent(adapters.Problem{
		Type: adapters.ErrorTypeAuthorization, Title: title, Status: http.StatusForbidden, Detail: fmt.Sprintf(format, args...),
	})
}

func invalid(format string, args ...any) error { return Invalid("Call is not valid", format, args...) }

func forbidden(format string, args ...any) error {
	return Forbidden("Secret can't be used", format, args...)
}
