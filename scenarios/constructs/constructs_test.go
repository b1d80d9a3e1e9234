package constructs

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// TestCases: each case has a name of its own, says what has to come of it, and defines what can be deployed.
func TestCases(t *testing.T) {
	t.Parallel()
	fetch := func(_ context.Context, address string) ([]byte, error) {
		u, err := url.Parse(address)
		if err != nil || shopDocuments[u.Path] == "" {
			return nil, errors.Join(errors.New("nothing is at "+address), err)
		}
		return []byte(shopDocuments[u.Path]), nil
	}
	name := regexp.MustCompile(`^[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name] || !name.MatchString(c.Name) {
			t.Errorf("%q is no name, or there twice", c.Name)
		}
		seen[c.Name] = true
		if c.Unfit == "" && c.Output == "" && c.Fault == nil && c.Status == orderv1.Status_STATUS_UNSPECIFIED {
			t.Errorf("%s: nothing has to come of it", c.Name)
		}
		for _, text := range append(c.Needs, c.Document) {
			_, err := client.Complete(t.Context(), []byte(text), fetch, func(_ context.Context, document []byte) ([]*definitionv1.Mistake, error) {
				_, mistakes := definition.Compile(document, definition.Limits{})
				for _, m := range mistakes {
					if m.GetResource() == "" && m.GetSeverity() != definitionv1.Severity_SEVERITY_WARNING {
						t.Errorf("%s: %d:%d %s: %s", c.Name, m.GetLine(), m.GetColumn(), m.GetPath(), m.GetMessage())
					}
				}
				return mistakes, nil
			})
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}

// TestJudge: what is not as a case says is found.
func TestJudge(t *testing.T) {
	t.Parallel()
	w := Want{Output: `{"a": [1, {"b": null}]}`, Path: "one>two", Did: []string{"GET x", "POST y", "POST y"}}
	part, fault := w, Want{Fault: &Fault{Type: "/timeout", Status: 408, Title: "Late"}}
	part.Part, part.Beside, part.Perhaps = true, true, "GET z"
	completed := func(output string) *orderv1.Order {
		return &orderv1.Order{Status: orderv1.Status_STATUS_COMPLETED, Output: []byte(output)}
	}
	faulted := func(p *problemv1.Problem) *orderv1.Order {
		return &orderv1.Order{Status: orderv1.Status_STATUS_FAULTED, Error: p}
	}
	for name, err := range map[string]error{
		"output":       w.ended(completed(`{"a":[1,{"b":null}]}`)),
		"part":         part.ended(completed(`{"a":[1,{"b":null,"c":2}],"d":3}`)),
		"fault":        fault.ended(faulted(&problemv1.Problem{Type: "https://x/timeout", Status: 408, Title: "Late"})),
		"path":         w.took([]string{"one", "two"}),
		"path beside":  part.took([]string{"two", "one"}),
		"did":          w.did([]string{"GET x", "GET x", "POST y", "POST y"}),
		"did beside":   part.did([]string{"POST y", "GET z", "GET x", "POST y"}),
		"any path":     fault.took([]string{"three"}),
		"did nothing":  fault.did(nil),
		"any output":   fault.ended(faulted(&problemv1.Problem{Type: "/timeout", Status: 408, Title: "Late", Detail: "very"})),
		"empty output": (&Want{}).ended(completed("")),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"another value":       w.ended(completed(`{"a":[2,{"b":null}]}`)),
		"more properties":     w.ended(completed(`{"a":[1,{"b":null,"c":2}]}`)),
		"no JSON":             w.ended(completed(`{`)),
		"part lacks":          part.ended(completed(`{"a":[1,{}]}`)),
		"part of other items": part.ended(completed(`{"a":[1,{"b":null},2]}`)),
		"part of another":     part.ended(completed(`[]`)),
		"it faulted":          w.ended(faulted(nil)),
		"it completed":        fault.ended(completed("1")),
		"another type":        fault.ended(faulted(&problemv1.Problem{Type: "/runtime", Status: 408, Title: "Late"})),
		"another status":      fault.ended(faulted(&problemv1.Problem{Type: "/timeout", Status: 409, Title: "Late"})),
		"another title":       fault.ended(faulted(&problemv1.Problem{Type: "/timeout", Status: 408, Title: "Later"})),
		"another path":        w.took([]string{"two", "one"}),
		"longer path":         part.took([]string{"two", "one", "one"}),
		"done twice":          w.did([]string{"GET x", "POST y", "POST y", "POST y"}),
		"not done":            w.did([]string{"GET x", "POST y"}),
		"in another order":    w.did([]string{"POST y", "POST y", "GET x"}),
		"done at all":         fault.did([]string{"GET x"}),
		"something else":      part.did([]string{"POST y", "GET zz", "GET x", "POST y"}),
	} {
		if !errors.Is(err, errUnlike) {
			t.Errorf("%s passes: %v", name, err)
		}
	}
}

// TestLog: what was done is known by order, with its children, and requests are told so that two are alike only if they are.
func TestLog(t *testing.T) {
	t.Parallel()
	l := &Log{}
	send := func(key, method, at, content string, headers ...string) {
		r := httptest.NewRequestWithContext(t.Context(), method, at, strings.NewReader(content))
		r.Header.Set("Accept", usualAccept)
		r.Header.Set("Idempotency-Key", key)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if got := string(l.Request(r)); got != content {
			t.Errorf("the content is %q, want %q", got, content)
		}
	}
	send("a:/do/0/x", http.MethodPost, "https://h/x?y=1", `{"b": 1.0, "a": 2}`,
		"Content-Type", "application/json", "Authorization", "Bearer t")
	send("a~1:/do/0/x", http.MethodGet, "http://h/x", "", "Accept", "text/plain")
	send("ab:/do/0/x", http.MethodGet, "http://h/other", "")
	send("a:/do/0/x", http.MethodPut, "http://h/x", "a=1", "Content-Type", "text/plain", "Authorization", "Digest nonce=1")
	want := []string{
		`POST https://h/x?y=1 Bearer t {"a":2,"b":1.0}`, "GET http://h/x Accept: text/plain", "PUT http://h/x Digest (text/plain) a=1",
	}
	if got := l.Of("a"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
