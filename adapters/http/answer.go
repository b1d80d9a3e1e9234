package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	nethttp "net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
)

// maxExcerpt is how much of a refusal is told, in bytes.
const maxExcerpt = 1000

// read reads the content of an answer.
func (x *exchange) read(res *nethttp.Response) ([]byte, error) {
	limit := x.sender.config.ResponseBytes
	if !x.succeeded(res) {
		limit = min(limit, drained)
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	switch {
	case len(content) > limit:
		return content[:limit], x.failed(res.StatusCode, true, fmt.Sprintf("the content has more than %d bytes, which is the limit", limit))
	case err == nil:
		return content, nil
	case x.once || x.done:
		return content, x.failed(res.StatusCode, true, "the content broke off: "+err.Error())
	}
	return content, adapters.InDoubt(adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "Answer broke off", Status: nethttp.StatusServiceUnavailable,
		Detail: fmt.Sprintf("%s %s: %v", x.request.method, x.request.shown(), err),
	})
}

// succeeded tells whether an answer says that the request was fulfilled.
func (x *exchange) succeeded(res *nethttp.Response) bool {
	return res.StatusCode >= 200 && res.StatusCode < 300 || x.call.Redirect && res.StatusCode < 400 && res.StatusCode >= 300
}

// refusal is the error of an answer that is no success.
func (x *exchange) refusal(res *nethttp.Response, content []byte) error {
	if x.succeeded(res) {
		return nil
	}
	detail := "no more is said"
	if text := strings.TrimSpace(string(content)); text != "" && utf8.ValidString(messages.Cut(text, maxExcerpt)) {
		detail = messages.Clip(text, maxExcerpt)
	}
	err := x.failed(res.StatusCode, x.done, detail)
	if x.unclear {
		return adapters.InDoubt(err)
	}
	return err
}

// response is an answer as the language has it.
type response struct {
	Request struct {
		Method  string            `json:"method"`
		URI     string            `json:"uri"`
		Headers map[string]string `json:"headers"`
	} `json:"request"`
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Content    json.RawMessage   `json:"content"`
}

// output makes what the call leaves.
func (x *exchange) output(res *nethttp.Response, content []byte) (json.RawMessage, error) {
	if x.call.Output == "raw" {
		return encoded(content)
	}
	value, err := decoded(res.Header.Get("Content-Type"), content)
	if err != nil {
		return nil, x.failed(res.StatusCode, true, err.Error())
	}
	if x.call.Output != "response" {
		return value, nil
	}
	r := response{StatusCode: res.StatusCode, Headers: flat(res.Header, nil), Content: value}
	r.Request.Method, r.Request.URI = strings.ToLower(x.request.method), x.request.told()
	r.Request.Headers = flat(x.request.header, x.request.secretHeaders)
	text, err := json.Marshal(r)
	if err != nil {
		return nil, x.failed(res.StatusCode, true, "the answer can't be encoded")
	}
	return text, nil
}

// told is the address with its parameters, as far as they are not secret.
func (r *outgoing) told() string {
	told := r.shown()
	if !r.secretURL && !r.secretQuery && r.url.RawQuery != "" {
		told += "?" + r.url.RawQuery
	}
	return told
}

// flat is a header of one text for each name, without those that are hidden.
func flat(h nethttp.Header, hidden []string) map[string]string {
	m := make(map[string]string, len(h))
	for name, values := range h {
		m[name] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	for _, name := range hidden {
		delete(m, name)
	}
	return m
}

// encoded is content in base64; null if there is none.
func encoded(content []byte) (json.RawMessage, error) {
	if len(content) == 0 {
		return json.RawMessage("null"), nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode the content: %w", err)
	}
	return text, nil
}

// decoded is content as a value: what JSON says, text as a string, anything else in base64.
func decoded(contentType string, content []byte) (json.RawMessage, error) {
	kind, parameters, _ := mime.ParseMediaType(contentType)
	content = bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))
	switch {
	case len(content) == 0:
		return json.RawMessage("null"), nil
	case kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json"):
		if !json.Valid(content) {
			return nil, errors.New("the content should be JSON, and is none")
		}
		return content, nil
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "/xml"), strings.HasSuffix(kind, "+xml"),
		kind == "application/yaml", kind == "application/x-www-form-urlencoded", kind == "application/javascript":
		text, err := inUTF8(content, parameters["charset"])
		if err != nil {
			return nil, err
		}
		return json.Marshal(text) //nolint:wrapcheck // a string can always be encoded
	}
	return encoded(content)
}

// inUTF8 reads text in the characters that it says.
func inUTF8(content []byte, charset string) (string, error) {
	if charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii") {
		return strings.ToValidUTF8(string(content), "\uFFFD"), nil
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return "", fmt.Errorf("the characters of the content are called %.40q, which is not known", charset)
	}
	text, err := e.NewDecoder().Bytes(content)
	if err != nil {
		return "", fmt.Errorf("the content is not in the characters %s", charset)
	}
	return string(text), nil
}
