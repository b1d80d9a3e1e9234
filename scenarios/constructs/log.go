package constructs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Log is what stubs and stand-ins were asked for, and did. Its zero value is empty.
type Log struct {
	mu    sync.Mutex
	lines []line
}

type line struct{ order, text string }

// Add writes down what was done by an attempt with an idempotency key. What has none was done by nobody's order.
func (l *Log) Add(key, text string) {
	order, _, _ := strings.Cut(key, ":")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line{order, text})
}

// Of is what was done by an order, and by its children, in the order in which it was.
func (l *Log) Of(order string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, one := range l.lines {
		if one.order == order || strings.HasPrefix(one.order, order+"~") {
			all = append(all, one.text)
		}
	}
	return all
}

// usualAccept is what the adapter says it takes, if the definition says nothing.
const usualAccept = "application/json, */*;q=0.8"

// Request writes down a request, and returns its content: its method and address, what authorizes it, headers that matter, and its content.
func (l *Log) Request(r *http.Request) []byte {
	content, _ := io.ReadAll(r.Body) // what has not come is missing in the line
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	text := r.Method + " " + scheme + "://" + r.Host + r.URL.RequestURI()
	by := r.Header.Get("Authorization")
	if strings.HasPrefix(by, "Digest ") { // the rest is another one each time
		by = "Digest"
	}
	text += " " + by
	text = strings.TrimSpace(text)
	if accept := r.Header.Get("Accept"); accept != usualAccept {
		text += " Accept: " + accept
	}
	kind := r.Header.Get("Content-Type")
	switch sorted, isJSON := sortedJSON(content); {
	case isJSON && kind == "application/json":
		text += " " + sorted
	case kind != "":
		text += fmt.Sprintf(" (%s) %s", kind, content)
	}
	l.Add(r.Header.Get("Idempotency-Key"), strings.TrimSpace(text))
	return content
}

// sortedJSON is a JSON value with the properties of objects in the order of their names.
func sortedJSON(text []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", false
	}
	sorted, err := json.Marshal(v)
	return string(sorted), err == nil
}
