package http

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// secrets are the files of a folder, by namespace and name.
type secrets struct{ folder string }

// maxSecret is the longest secret, in bytes.
const maxSecret = 256 << 10

// plainName is what a namespace or a secret may be called: nothing that leads out of the folder.
var plainName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$`)

// read returns a secret: text, without a line break at its end, or what JSON says. It is read each time, so that it can be changed.
func (s secrets) read(namespace, name string) (any, error) {
	refuse := func(why string) error {
		return forbidden("the secret %s of the namespace %s can't be used: %s", name, namespace, why)
	}
	switch {
	case s.folder == "":
		return nil, refuse("the adapter was given no folder of secrets")
	case !plainName.MatchString(namespace) || !plainName.MatchString(name):
		return nil, refuse("its name can't be that of a file")
	}
	for _, suffix := range []string{"", ".json"} {
		text, err := readSome(filepath.Join(s.folder, namespace, name+suffix))
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return nil, refuse("it can't be read")
		case suffix == "":
			return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return nil, refuse("it is no JSON")
		}
		return v, nil
	}
	return nil, refuse("there is none")
}

// readSome reads a file that is not too long.
func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read only
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("it has more than %d bytes", maxSecret)
	}
	return text, err
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

// authorization is what authorizes a request; empty before that is known.
type authorization struct{ scheme, parameter string }

// unseal evaluates an expression.
func (x *exchange) unseal(raw json.RawMessage, depth int) (any, error) {
	var p part
	if err := json.Unmarshal(raw, &p); err != nil || depth > maxDepth {
		return nil, invalid("an expression with secrets can't be read")
	}
	switch {
	case len(p.Secret) > 0:
		return x.secret(p.Secret)
	case p.Authorization == "scheme":
		return x.authorized.scheme, nil
	case p.Authorization != "":
		return x.authorized.parameter, nil
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
		v, err := x.unseal(t, depth+1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, invalid("a part of a text with secrets is null")
		}
		b.WriteString(textOf(v))
	}
	switch p.Format {
	case "@base64":
		return base64.StdEncoding.EncodeToString([]byte(b.String())), nil
	case "@uri":
		return escaped(b.String()), nil
	}
	return b.String(), nil
}

// secret returns a secret, or a part of one.
func (x *exchange) secret(steps []string) (any, error) {
	v, err := x.sender.secrets.read(x.call.Namespace, steps[0])
	if err != nil {
		return nil, err
	}
	for _, step := range steps[1:] {
		object, _ := v.(map[string]any)
		inner, has := object[step]
		if !has {
			return nil, forbidden("the secret %s of the namespace %s has no %q", steps[0], x.call.Namespace, step)
		}
		v = inner
	}
	return v, nil
}

// textOf is a value as text: a string as it is, anything else as JSON.
func textOf(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "" // it was JSON
	}
	return string(text)
}
