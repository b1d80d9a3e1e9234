package http_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
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

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/http"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/adapters/sealed"
)

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
	b := setup(t, outbound.Config{Secrets: sealed.Folder(secrets)})
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
	b := setup(t, outbound.Config{Secrets: sealed.Folder(secrets)})
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

// TestOAuth: a token is got once, again when it is refused, one for each policy and kind, and whoever gets none is told why.
func TestOAuth(t *testing.T) {
	t.Parallel()
	b := setup(t, outbound.Config{})
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
	for range 2 { // the same policy of another kind, whose tokens might be given elsewhere
		b.output(o("oidc", client))
	}
	if len(a.forms) != 3 {
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
	b := setup(t, outbound.Config{Secrets: sealed.Folder(secrets), CA: ca, Resolve: []string{"example.com:443=" + server.Listener.Addr().String()}})
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
	b := setup(t, outbound.Config{Proxy: proxy, Allow: []string{"*.test"}})
	like(t, "by the proxy", b.output(object{"uri": "http://api.test/x"}), "null")
	if got := asked.Load(); got == nil || *got != "http://api.test/x" {
		t.Errorf("%v", got)
	}
	for _, uri := range []string{
		"http://169.254.169.254/", "http://169.254.169.254./", "http://0xa9fea9fe/", "http://2852039166/", "http://①69.254.169.254/", "http://other.example/",
	} {
		if r := b.send("request", object{"uri": uri}); r.GetError().GetStatus() != 403 {
			t.Errorf("%s: %v", uri, r)
		}
	}
}

// TestConfig: everything that is wrong with the settings is told.
func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := http.New(http.Config{HostConnections: -1, Config: outbound.Config{
		Allow: []string{"a b", "*.*.x", "host:"}, Resolve: []string{"a=b"}, Proxy: "socks5://x", Secrets: "/nowhere/at/all", Concurrency: -1,
		Timeout: -1, KeyHeader: "a b", ResponseBytes: 1 << 40,
	}})
	for _, part := range []string{`"a b"`, `"*.*.x"`, `"host:"`, `"a=b"`, "socks5", "/nowhere", "concurrency", "timeout", "key header", "response bytes", "host connections"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("nothing is said of %s: %v", part, err)
		}
	}
	if _, err := http.New(http.Config{Config: outbound.Config{CA: "/nowhere/at/all"}}); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// pemOf returns a certificate and its key in PEM.
func pemOf(t *testing.T, c tls.Certificate) (certificate, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
