package http

import (
	"context"
	"encoding/json"
	"mime"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/adapters/sealed"
	"github.com/holdfast-run/holdfast/messages"
)

// prepare makes the request of what the engine says of it.
func (x *exchange) prepare(ctx context.Context) error {
	x.transport = x.plain()
	if err := x.authenticate(ctx); err != nil {
		return err
	}
	return x.write()
}

// write makes the request, once it is known what authorizes it.
func (x *exchange) write() error {
	x.request = outgoing{method: strings.ToUpper(x.call.Method)}
	r := &x.request
	if !httpguts.ValidHeaderFieldName(r.method) {
		return outbound.Invalid("the method %q is none of HTTP", x.call.Method)
	}
	if err := x.address(); err != nil {
		return err
	}
	if err := x.headers(); err != nil {
		return err
	}
	if err := x.body(); err != nil {
		return err
	}
	return x.check()
}

// open returns a property of the call with its secrets; nil if it is not there. It tells whether there are any.
func (x *exchange) open(name string, raw json.RawMessage) (v any, secret bool, err error) {
	c := sealed.Call{
		Secrets: x.sender.config.Secrets, Namespace: x.call.Namespace, Sealed: x.call.Sealed,
		Scheme: x.authorized.Scheme, Parameter: x.authorized.Parameter,
	}
	return c.Open(name, raw)
}

// address makes the address.
func (x *exchange) address() error {
	v, secret, err := x.open("uri", x.call.URI)
	if err != nil {
		return err
	}
	r := &x.request
	text, _ := v.(string)
	path, inPath, err := x.open("path", x.call.Path)
	if err != nil {
		return err
	}
	r.secretURL = secret || inPath
	if text, err = expand(text, path); err != nil {
		return err
	}
	if r.url, err = url.Parse(text); err != nil {
		if r.secretURL {
			return outbound.Invalid("the address is none")
		}
		return outbound.Invalid("the address is none: %v", err)
	}
	r.url.Fragment = ""
	v, secret, err = x.open("query", x.call.Query)
	if err != nil {
		return err
	}
	r.secretQuery = secret
	query, isObject := v.(map[string]any)
	if v != nil && !isObject {
		return outbound.Invalid("\"query\" is no object")
	}
	values := make(url.Values)
	for name, v := range query {
		list, isList := v.([]any)
		if separator := x.call.Separators[name]; !isList {
			list = []any{v}
		} else if separator != "" {
			list = []any{joined(list, separator)}
		}
		for _, v := range list {
			if v != nil {
				values.Add(name, sealed.Text(v))
			}
		}
	}
	if more := values.Encode(); more != "" && r.url.RawQuery != "" {
		r.url.RawQuery += "&" + more
	} else if more != "" {
		r.url.RawQuery = more
	}
	return nil
}

// expand puts values for the names in an address, all of which have to be there.
func expand(address string, path any) (string, error) {
	values, _ := path.(map[string]any)
	for name, v := range values {
		if list, is := v.([]any); is {
			v = joined(list, ",")
		}
		text := sealed.Text(v)
		if v == nil || text == "" || text == "." || text == ".." {
			return "", outbound.Invalid("the parameter %q stands in the path of the address, and can't be empty, . or ..", name)
		}
		address = strings.ReplaceAll(address, "{"+name+"}", messages.EscapeURI(text))
	}
	return address, nil
}

// joined is a list as one text.
func joined(list []any, separator string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = sealed.Text(v)
	}
	return strings.Join(texts, separator)
}

// unsettable are headers that follow from the request and the connection.
var unsettable = []string{
	"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer", "Expect",
	"Proxy-Authorization", "Proxy-Connection", "Accept-Encoding",
}

// headers makes the headers.
func (x *exchange) headers() error {
	v, _, err := x.open("headers", x.call.Headers)
	if err != nil {
		return err
	}
	all := x.call.Sealed["/headers"] != nil
	headers, isObject := v.(map[string]any)
	if v != nil && !isObject {
		return outbound.Invalid("\"headers\" is no object")
	}
	r := &x.request
	r.header = make(nethttp.Header)
	for name, v := range headers {
		if v == nil {
			continue
		}
		key := nethttp.CanonicalHeaderKey(name)
		text := sealed.Text(v)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return outbound.Invalid("%q is no name of a header", name)
		case slices.Contains(unsettable, key):
			return outbound.Invalid("the header %s follows from the request, and can't be set", key)
		case !httpguts.ValidHeaderFieldValue(text):
			return outbound.Invalid("the header %s has characters that it can't have", key)
		case r.header.Get(key) != "":
			return outbound.Invalid("the header %s is there twice, in two spellings", key)
		}
		r.header.Set(key, text)
		_, sealed := x.call.Sealed["/headers/"+messages.EscapePointer(name)]
		if sealed || all {
			r.secretHeaders = append(r.secretHeaders, key)
		}
	}
	r.secretHeaders = append(r.secretHeaders, "Authorization", "Cookie")
	if !r.has("User-Agent") {
		r.header.Set("User-Agent", outbound.UserAgent)
	}
	if !r.has("Accept") {
		r.header.Set("Accept", "application/json, */*;q=0.8")
	}
	return nil
}

// body makes the content: a string as it is, an object as a form if the header says so, anything else as JSON.
func (x *exchange) body() error {
	raw := x.call.Body
	r := &x.request
	v, secret, err := x.open("body", raw)
	if err != nil {
		return err
	}
	r.secretBody = secret
	if v == nil {
		return nil
	}
	if secret {
		if raw, err = json.Marshal(v); err != nil {
			return outbound.Invalid("the body is no JSON")
		}
	}
	kind, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	text, isText := v.(string)
	form, isObject := v.(map[string]any)
	switch {
	case isText:
		r.body, kind = []byte(text), "text/plain; charset=utf-8"
	case isObject && kind == "application/x-www-form-urlencoded":
		values := make(url.Values, len(form))
		for name, v := range form {
			if v != nil {
				values.Set(name, sealed.Text(v))
			}
		}
		r.body = []byte(values.Encode())
	default:
		r.body, kind = raw, "application/json"
	}
	if !r.has("Content-Type") {
		r.header.Set("Content-Type", kind)
	}
	return nil
}
