package http_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/http"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	succeeded = adapterv1.Outcome_OUTCOME_SUCCEEDED
	failed    = adapterv1.Outcome_OUTCOME_FAILED
	inDoubt   = adapterv1.Outcome_OUTCOME_IN_DOUBT
)

// object is what the engine sends.
type object map[string]any

// bench is an adapter with a node.
type bench struct {
	*testing.T

	node *adaptertest.Node
}

// setup runs an adapter that may send requests to this machine.
func setup(t *testing.T, c outbound.Config) *bench {
	t.Helper()
	if c.Allow == nil {
		c.Allow = []string{"127.0.0.0/8"}
	}
	a, err := http.New(http.Config{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	node := adaptertest.Start(t)
	node.Run(a, adapters.Config{})
	return &bench{t, node}
}

// serve runs a server until the test ends.
func serve(t *testing.T, handler nethttp.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// send sends a request by an activity.
func (b *bench) send(activity string, o object) *adapterv1.Result {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for name, v := range map[string]any{"namespace": "shop", "method": "get"} {
		if o[name] == nil {
			o[name] = v
		}
	}
	return b.node.Do(ctx, activity, o)
}

// output sends a request that succeeds.
func (b *bench) output(o object) any {
	b.Helper()
	r := b.send("request", o)
	if r.GetOutcome() != succeeded || r.GetError() != nil {
		b.Fatalf("%v", r)
	}
	var v any
	if err := json.Unmarshal(r.GetOutput(), &v); err != nil {
		b.Fatal(err)
	}
	return v
}

// like tells whether a value is as JSON says.
func like(t *testing.T, what string, got any, want string) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Errorf("%s: got %s, want %s", what, text, want)
	}
}

// TestContents: what an answer holds is a value, a text, or bytes in base64.
func TestContents(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{})
	for _, c := range []struct{ kind, content, want, raw string }{
		{"application/json", `{"a": [1.50, "x"]}`, `{"a":[1.5,"x"]}`, `"eyJhIjogWzEuNTAsICJ4Il19"`},
		{"application/problem+json; charset=utf-8", "\xEF\xBB\xBF true", `true`, `"77u/IHRydWU="`},
		{"text/plain; charset=ISO-8859-1", "stra\xDFe", `"straße"`, `"c3RyYd9l"`},
		{"text/csv", "a;b\n", `"a;b\n"`, `"YTtiCg=="`},
		{"application/soap+xml", "<a/>", `"\u003ca/\u003e"`, `"PGEvPg=="`},
		{"application/octet-stream", "\x00\x01", `"AAE="`, `"AAE="`},
		{"", "x", `"x"`, `"eA=="`},
		{"application/json", "", `null`, `null`},
	} {
		url := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Content-Type", c.kind)
			if c.kind == "" {
				w.Header().Set("Content-Type", "text/plain")
			}
			_, _ = io.WriteString(w, c.content)
		})
		like(t, c.kind, b.output(object{"uri": url}), c.want)
		like(t, c.kind+" raw", b.output(object{"uri": url, "output": "raw"}), c.raw)
	}
	for _, kind := range []string{"application/json", "text/plain; charset=klingon"} {
		url := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, "{")
		})
		if r := b.send("request", object{"uri": url}); r.GetOutcome() != succeeded || r.GetError().GetType() != adapters.ErrorTypeUnreported {
			t.Errorf("%s: %v", kind, r)
		}
	}
}

// received is a request as a server got it.
type received struct {
	Method string         `json:"method"`
	URI    string         `json:"uri"`
	Body   string         `json:"body"`
	Header nethttp.Header `json:"header"`
}

// echo serves what it got.
func echo(w nethttp.ResponseWriter, r *nethttp.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(received{r.Method, r.RequestURI, string(body), r.Header})
}

// echoed sends a request to a server that answers with what it got.
func (b *bench) echoed(url string, o object) received {
	b.Helper()
	o["uri"] = url
	text, err := json.Marshal(b.output(o))
	if err != nil {
		b.Fatal(err)
	}
	var got received
	if err := json.Unmarshal(text, &got); err != nil {
		b.Fatal(err)
	}
	return got
}

// TestRequests: a request is what the call says.
func TestRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{})
	url := serve(t, echo)
	got := b.echoed(url+"/a?x=1", object{
		"method": "post", "query": object{"q": "a b", "n": 1.5, "l": []any{true, "y"}, "none": nil},
		"headers": object{"x-a": 7, "X-None": nil}, "body": object{"b": 2},
	})
	if got.Method != nethttp.MethodPost || got.URI != "/a?x=1&l=true&l=y&n=1.5&q=a+b" || got.Body != `{"b":2}` ||
		got.Header.Get("X-A") != "7" || got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Idempotency-Key") == "" {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		body          any
		kind          string
		want, content string
	}{
		{"text", "", "text", "text/plain; charset=utf-8"},
		{`{"a":1}`, "application/json", `{"a":1}`, "application/json"},
		{object{"a": "b c", "n": 1, "none": nil}, "application/x-www-form-urlencoded", "a=b+c&n=1", "application/x-www-form-urlencoded"},
		{[]any{1, "a"}, "application/vnd.x+json", `[1,"a"]`, "application/vnd.x+json"},
		{false, "", "false", "application/json"},
	} {
		headers := object{}
		if c.kind != "" {
			headers["content-type"] = c.kind
		}
		got := b.echoed(url, object{"method": "PUT", "body": c.body, "headers": headers})
		if got.Body != c.want || got.Header.Get("Content-Type") != c.content {
			t.Errorf("%v: %+v", c.body, got)
		}
	}
	out, _ := b.output(object{"uri": url + "/p?q=1", "output": "response", "headers": object{"X-Y": "z", "Authorization": "mine"}}).(map[string]any)
	like(t, "status", out["statusCode"], "200")
	request, _ := out["request"].(map[string]any)
	headers, _ := request["headers"].(map[string]any)
	if request["method"] != "get" || request["uri"] != url+"/p?q=1" || headers["X-Y"] != "z" || headers["Authorization"] != nil {
		t.Errorf("%v", request)
	}
}

// TestInvalid: what can't be sent is told, and not sent.
func TestInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{})
	var came atomic.Int32
	url := serve(t, func(nethttp.ResponseWriter, *nethttp.Request) { came.Add(1) })
	for name, o := range map[string]object{
		"no scheme":      {"uri": strings.TrimPrefix(url, "http:")},
		"another scheme": {"uri": "file:///etc/passwd"},
		"a password":     {"uri": strings.Replace(url, "http://", "http://a:b@", 1)},
		"no address":     {"uri": "http://[::1"},
		"no text":        {"uri": 7},
		"a method":       {"uri": url, "method": "GE T"},
		"a header":       {"uri": url, "headers": object{"X A": "1"}},
		"a value":        {"uri": url, "headers": object{"X-A": "1\r\nX-B: 2"}},
		"the host":       {"uri": url, "headers": object{"Host": "other"}},
		"twice":          {"uri": url, "headers": object{"X-A": "1", "x-a": "2"}},
		"a list":         {"uri": url, "headers": []any{1}},
		"a query":        {"uri": url, "query": "a=b"},
	} {
		r := b.send("request", o)
		if r.GetOutcome() != failed || !r.GetPermanent() || r.GetError().GetStatus() != 400 || r.GetError().GetType() != adapters.ErrorTypeValidation {
			t.Errorf("%s: %v", name, r)
		}
	}
	if r := b.send("request", object{"uri": "https://"}); r.GetOutcome() != failed || !r.GetPermanent() || r.GetError().GetStatus() != 503 {
		t.Errorf("no host: %v", r)
	}
	if came.Load() != 0 {
		t.Error("a request was sent")
	}
}

// TestClassified: whether a request was done is what its server says, and otherwise open.
func TestClassified(t *testing.T) {
	t.Parallel()
	b, impatient := setup(t, outbound.Config{ResponseBytes: 1000}), setup(t, outbound.Config{Timeout: time.Second})
	type want struct {
		outcome   adapterv1.Outcome
		permanent bool
		status    int32
	}
	status := func(code int) string {
		return serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) { nethttp.Error(w, "why", code) })
	}
	raw := func(answer string) string {
		return serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			conn, _, err := nethttp.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		})
	}
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + refusing.Addr().String()
	_ = refusing.Close()
	slow := serve(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) { <-r.Context().Done() })
	endless := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	secure := httptest.NewTLSServer(nethttp.HandlerFunc(echo))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct {
		url            string
		repeated, once want
	}{
		"400":       {status(400), want{failed, true, 400}, want{failed, true, 400}},
		"404":       {status(404), want{failed, true, 404}, want{failed, true, 404}},
		"408":       {status(408), want{failed, false, 408}, want{failed, false, 408}},
		"429":       {status(429), want{failed, false, 429}, want{failed, false, 429}},
		"500":       {status(500), want{inDoubt, false, 500}, want{inDoubt, false, 500}},
		"501":       {status(501), want{failed, true, 501}, want{failed, true, 501}},
		"502":       {status(502), want{inDoubt, false, 502}, want{inDoubt, false, 502}},
		"503":       {status(503), want{failed, false, 503}, want{failed, false, 503}},
		"504":       {status(504), want{inDoubt, false, 504}, want{inDoubt, false, 504}},
		"302":       {status(302), want{failed, true, 302}, want{failed, true, 302}},
		"nobody":    {nobody, want{failed, false, 503}, want{failed, false, 503}},
		"reset":     {raw(""), want{inDoubt, false, 503}, want{inDoubt, false, 503}},
		"no HTTP":   {raw("hello\r\n"), want{inDoubt, false, 503}, want{inDoubt, false, 503}},
		"broken":    {raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), want{inDoubt, false, 503}, want{succeeded, false, 500}},
		"chunks":    {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), want{inDoubt, false, 503}, want{succeeded, false, 500}},
		"slow":      {slow, want{inDoubt, false, 408}, want{inDoubt, false, 408}},
		"too long":  {endless, want{succeeded, false, 500}, want{succeeded, false, 500}},
		"header":    {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10)), want{inDoubt, false, 503}, want{inDoubt, false, 503}},
		"bad TLS":   {secure.URL, want{failed, false, 503}, want{failed, false, 503}},
		"plain TLS": {strings.Replace(status(200), "http:", "https:", 1), want{failed, false, 503}, want{failed, false, 503}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := b
			if c.url == slow {
				b = impatient
			}
			for activity, want := range map[string]want{"request": c.repeated, "requestOnce": c.once} {
				r := b.send(activity, object{"uri": c.url})
				if r.GetOutcome() != want.outcome || r.GetPermanent() != want.permanent || r.GetError().GetStatus() != want.status {
					t.Errorf("%s: %v, want %v", activity, r, want)
				}
			}
		})
	}
}
