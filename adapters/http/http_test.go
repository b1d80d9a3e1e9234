package http_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/http"
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
func setup(t *testing.T, c http.Config) *bench {
	t.Helper()
	if c.Allow == nil {
		c.Allow = []string{"127.0.0.0/8"}
	}
	a, err := http.New(c)
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
	b := setup(t, http.Config{})
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
	b := setup(t, http.Config{})
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
	b := setup(t, http.Config{})
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
	b := setup(t, http.Config{ResponseBytes: 1000, Timeout: 2 * time.Second})
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
	secure.Config.ErrorLog = nil
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
			for activity, want := range map[string]want{"request": c.repeated, "requestOnce": c.once} {
				r := b.send(activity, object{"uri": c.url})
				if r.GetOutcome() != want.outcome || r.GetPermanent() != want.permanent || r.GetError().GetStatus() != want.status {
					t.Errorf("%s: %v, want %v", activity, r, want)
				}
			}
		})
	}
}

// TestNeverTwice: a request that can't be repeated is sent once, also if the connection that it was sent on was closed meanwhile.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	b := setup(t, http.Config{})
	var came atomic.Int32
	url := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if came.Add(1)%2 == 0 {
			conn, _, err := nethttp.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	for i := range 20 {
		before := came.Load()
		var body any
		if i%4 < 2 {
			body = "x"
		}
		r := b.send("requestOnce", object{"uri": url, "method": "post", "body": body})
		if sent := came.Load() - before; sent != 1 {
			t.Fatalf("it was sent %d times: %v", sent, r)
		}
		if want := []adapterv1.Outcome{succeeded, inDoubt}[i%2]; r.GetOutcome() != want {
			t.Errorf("%d: %v", i, r)
		}
	}
}

// TestAllowed: requests go where the list says, also by names and redirects that lead elsewhere.
func TestAllowed(t *testing.T) {
	t.Parallel()
	var came atomic.Int32
	url := serve(t, func(nethttp.ResponseWriter, *nethttp.Request) { came.Add(1) })
	port := url[strings.LastIndex(url, ":"):]
	address := strings.TrimPrefix(url, "http://")
	for _, c := range []struct {
		allow, resolve []string
		uri            string
		allowed        bool
	}{
		{[]string{}, nil, url, false},
		{[]string{}, nil, "http://localhost" + port, false},
		{[]string{}, nil, "http://[::ffff:127.0.0.1]" + port, false},
		{[]string{}, nil, "http://0.0.0.0" + port, false},
		{[]string{}, nil, "http://169.254.169.254/latest", false},
		{[]string{"*"}, nil, url, false},
		{[]string{"*", "127.0.0.1"}, nil, url, true},
		{[]string{"127.0.0.0/8"}, nil, "http://localhost" + port, true},
		{[]string{"127.0.0.1" + port}, nil, url, true},
		{[]string{"127.0.0.1:1"}, nil, url, false},
		{[]string{"localhost"}, nil, "http://localhost" + port, false},
		{[]string{"api.test"}, []string{"api.test:80=" + address}, "http://api.test/x", true},
		{[]string{"*.test"}, []string{"api.test:80=" + address}, "http://API.test/x", true},
		{[]string{"other.test"}, []string{"api.test:81=" + address}, "http://api.test/x", false},
	} {
		if len(c.allow) == 0 {
			c.allow = nil
		}
		config := http.Config{Allow: c.allow, Resolve: c.resolve}
		a, err := http.New(config)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t, adaptertest.Start(t)}
		b.node.Run(a, adapters.Config{})
		before := came.Load()
		r := b.send("request", object{"uri": c.uri})
		sent := came.Load() > before
		if sent != c.allowed || !c.allowed && r.GetError().GetStatus() != 403 {
			t.Errorf("%v %s: sent %t, %v", c.allow, c.uri, sent, r)
		}
	}
}

// TestRedirects: they are followed if the call says so, within the list, and take no secrets to others.
func TestRedirects(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	writeSecret(t, secrets, "shop/key", "k-1")
	b := setup(t, http.Config{Secrets: secrets})
	other := serve(t, echo)
	var hops atomic.Int32
	url := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/other":
			nethttp.Redirect(w, r, other+"/there", nethttp.StatusTemporaryRedirect)
		case "/same":
			nethttp.Redirect(w, r, "/echo", nethttp.StatusFound)
		case "/done":
			nethttp.Redirect(w, r, "/lost", nethttp.StatusSeeOther)
		case "/lost":
			w.WriteHeader(nethttp.StatusServiceUnavailable)
		case "/ever":
			hops.Add(1)
			nethttp.Redirect(w, r, "/ever", nethttp.StatusFound)
		case "/metadata":
			nethttp.Redirect(w, r, "http://169.254.169.254/latest/meta-data", nethttp.StatusFound)
		case "/file":
			nethttp.Redirect(w, r, "file:///etc/passwd", nethttp.StatusFound)
		case "/cached":
			w.WriteHeader(nethttp.StatusNotModified)
		default:
			echo(w, r)
		}
	})
	with := func() object {
		return object{
			"method": "post", "redirect": true, "body": "b", "headers": object{"X-Key": nil, "X-Plain": "p"},
			"sealed":         object{"/headers/X-Key": object{"secret": []any{"key"}}},
			"authentication": object{"basic": object{"username": "u", "password": "p"}},
		}
	}
	got := b.echoed(url+"/other", with())
	if got.Method != nethttp.MethodPost || got.URI != "/there" || got.Body != "b" || got.Header.Get("X-Plain") != "p" ||
		got.Header.Get("X-Key")+got.Header.Get("Authorization") != "" {
		t.Errorf("elsewhere: %+v", got)
	}
	got = b.echoed(url+"/same", with())
	if got.Method != nethttp.MethodGet || got.Body != "" || got.Header.Get("X-Key") != "k-1" || got.Header.Get("Authorization") == "" {
		t.Errorf("the same server: %+v", got)
	}
	o := with()
	o["uri"], o["sealed"] = url+"/other", object{"/body": object{"secret": []any{"key"}}}
	if r := b.send("request", o); r.GetError().GetStatus() != 403 {
		t.Errorf("a secret body: %v", r)
	}
	for path, status := range map[string]int32{"/ever": 302, "/metadata": 403, "/file": 400} {
		if r := b.send("request", object{"uri": url + path, "redirect": true}); r.GetError().GetStatus() != status || r.GetOutcome() != failed {
			t.Errorf("%s: %v", path, r)
		}
	}
	if hops.Load() != 11 {
		t.Errorf("%d redirects were followed", hops.Load())
	}
	like(t, "not modified", b.output(object{"uri": url + "/cached", "redirect": true}), "null")
	if r := b.send("request", object{"uri": url + "/same"}); r.GetError().GetStatus() != 302 {
		t.Errorf("without being followed: %v", r)
	}
	r := b.send("requestOnce", object{"uri": url + "/done", "method": "post", "redirect": true})
	if r.GetOutcome() != succeeded || r.GetError().GetType() != adapters.ErrorTypeUnreported {
		t.Errorf("done, and its outcome lost: %v", r)
	}
}

// TestRetryAfter: a server that asks to wait is left alone for that time, by all requests.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t, http.Config{RetryAfter: 2 * time.Second})
	var came atomic.Int32
	var first atomic.Int64
	url := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		if came.Add(1) == 1 {
			first.Store(time.Now().UnixNano())
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(nethttp.StatusTooManyRequests)
			return
		}
		if after := time.Since(time.Unix(0, first.Load())); after < time.Second {
			t.Errorf("it came again after %v", after)
		}
	})
	like(t, "after a second", b.output(object{"uri": url}), "null")
	long := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		came.Add(1)
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(nethttp.TimeFormat))
		w.WriteHeader(nethttp.StatusServiceUnavailable)
	})
	came.Store(0)
	for range 2 {
		if r := b.send("request", object{"uri": long}); r.GetOutcome() != failed || r.GetPermanent() || r.GetError().GetStatus() != 503 {
			t.Errorf("after an hour: %v", r)
		}
	}
	if came.Load() != 1 {
		t.Errorf("%d requests came", came.Load())
	}
}

func writeSecret(t *testing.T, folder, name, text string) {
	t.Helper()
	file := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSecrets: what a secret holds is where the call wants it, and nowhere else.
func TestSecrets(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	writeSecret(t, secrets, "shop/plain", "s3cr3t\n")
	writeSecret(t, secrets, "shop/object.json", `{"user": "u", "n": 1.50, "deep": {"x": ["y"]}}`)
	writeSecret(t, secrets, "other/theirs", "t")
	writeSecret(t, secrets, "shop/broken.json", `{`)
	b := setup(t, http.Config{Secrets: secrets})
	url := serve(t, echo)
	secret := func(steps ...any) object { return object{"secret": steps} }
	text := func(format string, parts ...any) object { return object{"text": parts, "format": format} }
	value := func(v any) object { return object{"value": v} }
	got := b.echoed(url, object{
		"method": "put", "headers": object{"X-A": nil, "X-B": nil}, "query": object{"q": nil}, "body": object{"in": []any{nil, 1.50}},
		"sealed": object{
			"/headers/X-A": text("", value("Bearer "), text("@text", secret("plain"))),
			"/headers/X-B": text("@base64", secret("object", "user"), value(":"), secret("object", "n")),
			"/query/q":     text("@uri", value("a/"), secret("plain")),
			"/body/in/0":   secret("object", "deep"),
		},
	})
	if got.Header.Get("X-A") != "Bearer s3cr3t" || got.Header.Get("X-B") != base64.StdEncoding.EncodeToString([]byte("u:1.50")) ||
		got.URI != "/?q=a%252Fs3cr3t" || got.Body != `{"in":[{"x":["y"]},1.5]}` {
		t.Errorf("%+v", got)
	}
	out := b.output(object{
		"uri": url + "/p", "output": "response", "headers": object{"X-A": nil}, "query": object{"q": nil},
		"sealed": object{"/headers/X-A": secret("plain"), "/query/q": secret("plain")},
	})
	request, _ := out.(map[string]any)["request"].(map[string]any)
	if all := fmt.Sprint(request); strings.Contains(all, "s3cr3t") {
		t.Errorf("%s", all)
	}
	for name, steps := range map[string][]any{
		"not there": {"nobody"}, "another's": {"theirs"}, "no part": {"object", "password"}, "a way out": {"../other/theirs"}, "no JSON": {"broken"},
	} {
		r := b.send("request", object{"uri": url, "headers": object{"X": nil}, "sealed": object{"/headers/X": secret(steps...)}})
		if r.GetOutcome() != failed || !r.GetPermanent() || r.GetError().GetStatus() != 403 || r.GetError().GetType() != adapters.ErrorTypeAuthorization {
			t.Errorf("%s: %v", name, r)
		}
	}
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	for _, o := range []object{
		{"uri": nil, "sealed": object{"/uri": text("", value("http://"+down.Addr().String()+"/"), secret("plain"))}},
		{"uri": "http://" + down.Addr().String(), "query": object{"q": nil}, "sealed": object{"/query/q": secret("plain")}},
	} {
		if r := b.send("request", o); r.GetOutcome() != failed || strings.Contains(r.String(), "s3cr3t") {
			t.Errorf("a failure: %v", r)
		}
	}
}

// TestAuthentication: requests say who sends them as the policy has it.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	writeSecret(t, secrets, "shop/token", "tok\n")
	b := setup(t, http.Config{Secrets: secrets})
	url := serve(t, echo)
	authorization := func(policy, sealed object) string {
		return b.echoed(url, object{"authentication": policy, "sealed": sealed}).Header.Get("Authorization")
	}
	if got := authorization(object{"basic": object{"username": "u", "password": "p"}}, nil); got != "Basic dTpw" {
		t.Errorf("basic: %s", got)
	}
	if got := authorization(object{"bearer": nil}, object{"/authentication/bearer": object{"secret": []any{"token"}}}); got != "Bearer tok" {
		t.Errorf("bearer: %s", got)
	}
	got := b.echoed(url, object{
		"authentication": object{"bearer": object{"token": "abc"}}, "headers": object{"X-Is": nil},
		"sealed": object{"/headers/X-Is": object{"text": []any{object{"authorization": "scheme"}, object{"authorization": "parameter"}}}},
	})
	if got.Header.Get("X-Is") != "Bearerabc" {
		t.Errorf("$authorization: %+v", got)
	}
	var asked atomic.Int32
	digested := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		asked.Add(1)
		if h := r.Header.Get("Authorization"); strings.HasPrefix(h, "Digest ") && strings.Contains(h, `username="u"`) &&
			strings.Contains(h, `uri="/x?y=1"`) && strings.Contains(h, "response=") {
			return
		}
		w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`)
		w.WriteHeader(nethttp.StatusUnauthorized)
	})
	o := object{"uri": digested + "/x?y=1", "authentication": object{"digest": object{"username": "u", "password": "p"}}}
	if b.output(o); asked.Load() != 2 {
		t.Errorf("digest: asked %d times", asked.Load())
	}
	o["authentication"] = object{"digest": object{"username": "v", "password": "p"}}
	if r := b.send("request", o); r.GetError().GetStatus() != 401 || asked.Load() != 4 {
		t.Errorf("digest: %v", r)
	}
}

// authority gives tokens, t-1, t-2, …, and serves what only the last one opens.
type authority struct {
	mu     sync.Mutex
	given  int
	forms  []string
	status int
}

func (a *authority) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"token_endpoint": "http://" + r.Host + "/oauth2/token"})
	case "/oauth2/token":
		body, _ := io.ReadAll(r.Body)
		a.forms = append(a.forms, r.Header.Get("Content-Type")+" "+r.Header.Get("Authorization")+" "+string(body))
		if a.status != 0 {
			w.WriteHeader(a.status)
			_, _ = io.WriteString(w, `{"error": "invalid_client"}`)
			return
		}
		a.given++
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprintf("t-%d", a.given), "expires_in": 3600})
	default:
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t-%d", a.given) {
			w.WriteHeader(nethttp.StatusUnauthorized)
		}
	}
}

// TestOAuth: a token is got once, again when it is refused, and whoever gets none is told why.
func TestOAuth(t *testing.T) {
	t.Parallel()
	b := setup(t, http.Config{})
	a := &authority{}
	url := serve(t, a.ServeHTTP)
	o := func(scheme string, client object, more ...any) object {
		policy := object{"authority": url, "grant": "client_credentials", "client": client, "scopes": []any{"a", "b"}, "audiences": []any{"x"}}
		for i := 0; i < len(more); i += 2 {
			policy[fmt.Sprint(more[i])] = more[i+1]
		}
		return object{"uri": url + "/api", "authentication": object{scheme: policy}}
	}
	client := object{"id": "c", "secret": "s"}
	for range 3 {
		b.output(o("oauth2", client))
	}
	if a.given != 1 || a.forms[0] != "application/x-www-form-urlencoded  audience=x&client_id=c&client_secret=s&grant_type=client_credentials&scope=a+b" {
		t.Errorf("%v", a.forms)
	}
	a.given++ // the token that is held is refused from now on
	b.output(o("oauth2", client))
	if len(a.forms) != 2 {
		t.Errorf("%v", a.forms)
	}
	b.output(o("oidc", object{"id": "c", "secret": "s:", "authentication": "client_secret_basic"}, "request", object{"encoding": "application/json"}))
	if last := a.forms[len(a.forms)-1]; last != `application/json Basic YzpzJTNB {"audience":"x","grant_type":"client_credentials","scope":"a b"}` {
		t.Errorf("%s", last)
	}
	b.output(o("oauth2", object{"id": "c", "secret": strings.Repeat("s", 32), "authentication": "client_secret_jwt"}))
	if last := a.forms[len(a.forms)-1]; !strings.Contains(last, "client_assertion=ey") || strings.Contains(last, "sss") {
		t.Errorf("%s", last)
	}
	b.output(o("oauth2", object{"id": "c", "authentication": "none"}, "grant", "password", "username", "u", "password", "p"))
	if last := a.forms[len(a.forms)-1]; !strings.Contains(last, "username=u") || !strings.Contains(last, "password=p") {
		t.Errorf("%s", last)
	}
	if r := b.send("request", o("oauth2", client, "issuers", []any{"https://id"})); r.GetError().GetStatus() != 401 {
		t.Errorf("of no issuer: %v", r)
	}
	for status, want := range map[int]int32{401: 401, 503: 503} {
		a.status = status
		r := b.send("request", o("oauth2", object{"id": fmt.Sprint(status), "secret": "s"}))
		if r.GetOutcome() != failed || r.GetPermanent() != (status == 401) || r.GetError().GetStatus() != want {
			t.Errorf("%d: %v", status, r)
		}
	}
}

// TestTLS: servers are verified by the certificates of the file, and know clients by theirs.
func TestTLS(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	server := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, _ = fmt.Fprintf(w, "%d of HTTP/%d", len(r.TLS.PeerCertificates), r.ProtoMajor)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(secrets, "ca.pem")
	certificate, key := pemOf(t, server.TLS.Certificates[0])
	writeSecret(t, secrets, "ca.pem", certificate)
	text, err := json.Marshal(map[string]string{"certificate": certificate, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	writeSecret(t, secrets, "shop/mine.json", string(text))
	writeSecret(t, secrets, "shop/bad.json", `{"certificate": "x", "key": "y"}`)
	b := setup(t, http.Config{Secrets: secrets, CA: ca, Resolve: []string{"example.com:443=" + server.Listener.Addr().String()}})
	like(t, "without", b.output(object{"uri": "https://example.com/"}), `"0 of HTTP/2"`)
	with := func(secret string) object {
		return object{
			"uri": "https://example.com/", "authentication": object{"certificate": nil},
			"sealed": object{"/authentication/certificate": object{"secret": []any{secret}}},
		}
	}
	like(t, "with", b.output(with("mine")), `"1 of HTTP/2"`)
	if r := b.send("request", with("bad")); r.GetError().GetStatus() != 403 {
		t.Errorf("bad: %v", r)
	}
}

// TestProxy: requests go by the proxy, as far as the list allows their names.
func TestProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Pointer[string]
	proxy := serve(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) {
		host := r.URL.String()
		asked.Store(&host)
	})
	b := setup(t, http.Config{Proxy: proxy, Allow: []string{"*.test"}})
	like(t, "by the proxy", b.output(object{"uri": "http://api.test/x"}), "null")
	if got := asked.Load(); got == nil || *got != "http://api.test/x" {
		t.Errorf("%v", got)
	}
	for _, uri := range []string{"http://169.254.169.254/", "http://other.example/"} {
		if r := b.send("request", object{"uri": uri}); r.GetError().GetStatus() != 403 {
			t.Errorf("%s: %v", uri, r)
		}
	}
}

// TestConfig: everything that is wrong with the settings is told.
func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := http.New(http.Config{
		Allow: []string{"a b", "*.*.x", "host:"}, Resolve: []string{"a=b"}, Proxy: "socks5://x", Secrets: "/nowhere/at/all", Concurrency: -1,
		Timeout: -1, KeyHeader: "a b", ResponseBytes: 1 << 40,
	})
	for _, part := range []string{`"a b"`, `"*.*.x"`, `"host:"`, `"a=b"`, "socks5", "/nowhere", "concurrency", "timeout", "key header", "response bytes"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("nothing is said of %s: %v", part, err)
		}
	}
	if _, err := http.New(http.Config{CA: "/nowhere/at/all"}); err == nil {
		t.Error("a file that is not there is taken")
	}
}
