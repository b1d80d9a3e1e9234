package http_test

import (
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/http"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/adapters/sealed"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// TestNeverTwice: a request that can't be repeated is sent once, also if the connection that it was sent on was closed meanwhile.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{})
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

// TestNeverTwiceWhatever: neither the method, nor a key of one's own, nor HTTP/2 has a request sent again that can't be repeated.
func TestNeverTwiceWhatever(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var came atomic.Int32
	silent := func(nethttp.ResponseWriter, *nethttp.Request) {
		if came.Add(1)%2 == 1 {
			return // so that there is a connection that was used before
		}
		panic(nethttp.ErrAbortHandler)
	}
	plain := serve(t, silent)
	secure := httptest.NewUnstartedServer(nethttp.HandlerFunc(silent))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	certificate, _ := pemOf(t, secure.TLS.Certificates[0])
	writeSecret(t, dir, "ca.pem", certificate)
	b := setup(t, outbound.Config{CA: filepath.Join(dir, "ca.pem"), Resolve: []string{"example.com:443=" + secure.Listener.Addr().String()}})
	for _, url := range []string{plain, "https://example.com/"} {
		for _, o := range []object{
			{"method": "get"},
			{"method": "head"},
			{"method": "post"},
			{"method": "post", "headers": object{"Idempotency-Key": "mine"}},
			{"method": "delete", "headers": object{"X-Idempotency-Key": "mine"}, "body": "x"},
		} {
			for i := range 4 {
				before := came.Load()
				o["uri"] = url
				r := b.send("requestOnce", o)
				if sent := came.Load() - before; sent != 1 {
					t.Fatalf("%s %v: it was sent %d times: %v", url, o, sent, r)
				}
				if want := []adapterv1.Outcome{succeeded, inDoubt}[i%2]; r.GetOutcome() != want {
					t.Errorf("%s %v: %v", url, o, r)
				}
			}
		}
	}
}

// TestNoHTTPAnyMore: a server that ends HTTP on the connection holds nobody up.
func TestNoHTTPAnyMore(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{Timeout: 10 * time.Second})
	var conns sync.Map
	t.Cleanup(func() {
		conns.Range(func(c, _ any) bool {
			conn, _ := c.(net.Conn)
			return conn.Close() == nil
		})
	})
	url := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		conn, _, err := nethttp.NewResponseController(w).Hijack()
		if err == nil {
			conns.Store(conn, true)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		}
	})
	if r := b.send("request", object{"uri": url}); r.GetOutcome() != inDoubt || r.GetError().GetStatus() != 503 {
		t.Errorf("%v", r)
	}
	o := object{"uri": url, "authentication": object{"oauth2": object{"authority": url, "grant": "client_credentials"}}}
	if r := b.send("request", o); r.GetOutcome() != failed || r.GetError().GetStatus() != 401 {
		t.Errorf("%v", r)
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
		{[]string{}, nil, "http://127.0.0.1." + port, false},
		{[]string{}, nil, "http://0x7f000001" + port, false},
		{[]string{}, nil, "http://2130706433" + port, false},
		{[]string{}, nil, "http://[64:ff9b::127.0.0.1]" + port, false},
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
		config := outbound.Config{Allow: c.allow, Resolve: c.resolve}
		a, err := http.New(http.Config{Config: config})
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
	b := setup(t, outbound.Config{Secrets: sealed.Folder(secrets)})
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
	b := setup(t, outbound.Config{RetryAfter: 2 * time.Second})
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

// TestDoneBeforeRedirect: what a server has done stays done, also if nobody may, or can, go where it leads to for the outcome.
func TestDoneBeforeRedirect(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{})
	url := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		status, _ := strconv.Atoi(r.Header.Get("X-Status"))
		w.Header().Set("Location", r.Header.Get("X-To"))
		w.WriteHeader(status)
	})
	for _, to := range []string{
		"http://169.254.169.254/latest", "http://10.0.0.1/", "file:///etc/passwd", "http://a:b@127.0.0.1/", "http://", "http://[::1", "/again",
	} {
		for _, c := range []struct {
			status, method string
			outcome        adapterv1.Outcome
			kind           string
		}{
			{"303", "post", succeeded, adapters.ErrorTypeUnreported},
			{"303", "put", succeeded, adapters.ErrorTypeUnreported},
			{"303", "get", failed, ""},
			{"303", "head", failed, ""},
			{"302", "post", inDoubt, ""},
			{"301", "post", inDoubt, ""},
			{"302", "put", failed, ""},
			{"307", "post", failed, ""},
		} {
			r := b.send("requestOnce", object{
				"uri": url, "method": c.method, "redirect": true, "headers": object{"X-Status": c.status, "X-To": to},
			})
			if r.GetOutcome() != c.outcome || c.outcome == failed && !r.GetPermanent() {
				t.Errorf("%s with %s to %s: %v", c.method, c.status, to, r)
			}
			if c.kind != "" && (r.GetError().GetType() != c.kind || r.GetError().GetStatus() != 500) {
				t.Errorf("%s with %s to %s: %v", c.method, c.status, to, r.GetError())
			}
		}
	}
}

// TestRetryAfterSaysWhat: numbers of seconds, however large, and dates are what a server may ask for; anything else says nothing.
func TestRetryAfterSaysWhat(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{RetryAfter: time.Second})
	for text, requests := range map[string]int32{
		// Of two requests the second one is held back, for the server wants none.
		"120": 1, "2147483648": 1, "9223372036854775808": 1, "99999999999999999999999": 1, "Fri, 31 Dec 9999 23:59:59 GMT": 1,
		// Each is sent again at once, three times.
		"0": 8, "Thu, 01 Jan 1970 00:00:00 GMT": 8,
		"-1": 2, "+120": 2, "120s": 2, "1.5": 2, "0x78": 2, "soon": 2, "": 2,
	} {
		var came atomic.Int32
		url := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			came.Add(1)
			w.Header().Set("Retry-After", text)
			w.WriteHeader(nethttp.StatusServiceUnavailable)
		})
		for range 2 {
			if r := b.send("request", object{"uri": url}); r.GetOutcome() != failed || r.GetPermanent() || r.GetError().GetStatus() != 503 {
				t.Errorf("%q: %v", text, r)
			}
		}
		if came.Load() != requests {
			t.Errorf("%q: %d requests came, want %d", text, came.Load(), requests)
		}
	}
}
