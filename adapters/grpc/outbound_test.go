package grpc_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	rpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/grpc"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/adapters/sealed"
	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// counter counts the connections of a server.
type counter struct{ conns *atomic.Int32 }

func (counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (counter) HandleRPC(context.Context, stats.RPCStats)                         {}
func (counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (c counter) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, begins := s.(*stats.ConnBegin); begins {
		c.conns.Add(1)
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

// pairOf reads a certificate with its key.
func pairOf(t *testing.T, f certificates.Files) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestAllowed: calls go where the list says, also by names that lead elsewhere.
func TestAllowed(t *testing.T) {
	t.Parallel()
	var came atomic.Int32
	address := serve(t, func(a *asked) error {
		came.Add(1)
		return a.answer(`{}`)
	})
	_, port, _ := net.SplitHostPort(address)
	for _, c := range []struct {
		allow, resolve []string
		host           string
		allowed        bool
	}{
		{[]string{"*"}, nil, "127.0.0.1", false},
		{[]string{"*"}, nil, "localhost", false},
		{[]string{"localhost"}, nil, "localhost", false},
		{[]string{"*"}, nil, "169.254.169.254", false},
		{[]string{"*"}, nil, "2130706433", false},
		{[]string{"*"}, nil, "0.0.0.0", false},
		{[]string{"10.0.0.0/8"}, nil, "127.0.0.1", false},
		{[]string{"127.0.0.1:1"}, nil, "127.0.0.1", false},
		{[]string{"127.0.0.0/8"}, nil, "localhost", true},
		{[]string{"127.0.0.1:" + port}, nil, "127.0.0.1", true},
		{[]string{"*.test"}, []string{"orders.test:" + port + "=" + address}, "Orders.test", true},
		{[]string{"other.test"}, []string{"orders.test:1=" + address}, "orders.test", false},
	} {
		b := setup(t, grpc.Config{Config: outbound.Config{Allow: c.allow, Resolve: c.resolve}})
		before := came.Load()
		r := b.send("callOnce", at(c.host+":"+port, "Get"))
		if sent := came.Load() > before; sent != c.allowed ||
			!c.allowed && (r.GetError().GetStatus() != 403 || r.GetError().GetType() != adapters.ErrorTypeAuthorization || !r.GetPermanent()) {
			t.Errorf("%v %s: sent %t, %v", c.allow, c.host, sent, r)
		}
	}
}

// TestSecrets: what a secret holds is where the call wants it, and nowhere else.
func TestSecrets(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	writeSecret(t, secrets, "shop/token", "s3cr3t\n")
	writeSecret(t, secrets, "shop/login.json", `{"username": "u", "password": "s3cr3t"}`)
	b := setup(t, grpc.Config{Config: outbound.Config{Secrets: sealed.Folder(secrets)}})
	var got *asked
	address := serve(t, func(a *asked) error {
		got = a
		if a.get("id") != "s3cr3t" {
			return status.Error(codes.InvalidArgument, "no")
		}
		return a.answer(`{}`)
	})
	secret := func(steps ...any) object { return object{"secret": steps} }
	o := func(argument string, of object) object {
		return at(address, "Get", object{"arguments": object{argument: nil}, "sealed": object{"/arguments/" + argument: of}})
	}
	b.output(o("id", secret("token")))
	sealed := object{
		"/arguments/id": secret("token"), "/arguments/labels/a": object{"authorization": "parameter"},
		"/authentication/bearer": secret("token"),
	}
	with := at(address, "Get", object{
		"arguments": object{"id": nil, "labels": object{"a": nil}}, "sealed": sealed, "authentication": object{"bearer": nil},
	})
	b.output(with)
	if fmt.Sprint(got.header["authorization"]) != "[Bearer s3cr3t]" || !strings.Contains(got.input.String(), `value:"s3cr3t"`) {
		t.Errorf("%v, %v", got.header, got.input)
	}
	with["authentication"] = object{"basic": nil}
	sealed["/authentication/basic"] = secret("login")
	delete(sealed, "/authentication/bearer")
	b.output(with)
	if fmt.Sprint(got.header["authorization"]) != "[Basic dTpzM2NyM3Q=]" {
		t.Errorf("%v", got.header)
	}
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	for name, o := range map[string]object{
		"of another type": o("howMany", secret("token")),
		"all of it":       {"arguments": nil, "sealed": object{"/arguments": secret("login")}},
		"not there":       o("id", secret("nobody")),
		"nobody listens":  {"host": "127.0.0.1", "port": json.Number(down.Addr().String()[len("127.0.0.1:"):]), "arguments": object{"id": nil}, "sealed": object{"/arguments/id": secret("token")}},
	} {
		r := b.send("callOnce", at(address, "Get", o))
		if r.GetOutcome() != failed || strings.Contains(r.String(), "s3cr3t") {
			t.Errorf("%s: %v", name, r)
		}
	}
	if all := b.log.String(); strings.Contains(all, "s3cr3t") || !strings.Contains(all, "level=") {
		t.Errorf("%s", all)
	}
}

// TestTokens: a token is got once, and again when it is refused.
func TestTokens(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{})
	var given, refused atomic.Int32
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprintf("t-%d", given.Add(1)), "expires_in": 3600})
	}))
	t.Cleanup(authority.Close)
	address := serve(t, func(a *asked) error {
		if fmt.Sprint(a.header["authorization"]) != fmt.Sprintf("[Bearer t-%d]", refused.Load()+1) {
			return status.Error(codes.Unauthenticated, "no")
		}
		return a.answer(`{}`)
	})
	o := at(address, "Get", object{"authentication": object{"oauth2": object{
		"authority": authority.URL, "grant": "client_credentials", "client": object{"id": "c", "secret": "s"},
	}}})
	b.output(o)
	b.output(o)
	refused.Add(1)
	b.output(o)
	if given.Load() != 2 {
		t.Errorf("%d tokens were given", given.Load())
	}
	refused.Add(5)
	want{failed, true, 401, adapters.ErrorTypeCommunication}.is(t, "refused twice", b.send("callOnce", o))
	if given.Load() != 3 {
		t.Errorf("%d tokens were given", given.Load())
	}
}

// TestTLS: servers are verified by the certificates of the file, and know clients by theirs.
func TestTLS(t *testing.T) {
	t.Parallel()
	secrets, authority := t.TempDir(), certificatetest.New(t)
	server, client := authority.Files("orders.test"), authority.Files("client.test")
	pem := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text, err := json.Marshal(map[string]string{"certificate": pem(client.Certificate), "key": pem(client.Key)})
	if err != nil {
		t.Fatal(err)
	}
	writeSecret(t, secrets, "shop/mine.json", string(text))
	writeSecret(t, secrets, "shop/bad.json", `{"certificate": "x", "key": "s3cr3t"}`)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(pem(server.CA)))
	address := serve(t, func(a *asked) error {
		p, _ := peer.FromContext(a.Context())
		info, _ := p.AuthInfo.(credentials.TLSInfo)
		return a.answer(fmt.Sprintf(`{"amount": %d}`, len(info.State.PeerCertificates)))
	}, rpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: roots, Certificates: []tls.Certificate{pairOf(t, server)},
	})))
	b := setup(t, grpc.Config{Plaintext: []string{"plain.test"}, Config: outbound.Config{
		Secrets: sealed.Folder(secrets), CA: server.CA, Resolve: []string{"orders.test:443=" + address, "other.test:443=" + address, "plain.test:80=" + address},
	}})
	o := func(host string, more ...object) object {
		o := at(host+":0", "Get", more...)
		delete(o, "port")
		return o
	}
	with := func(secret string) object {
		return object{
			"authentication": object{"certificate": nil}, "sealed": object{"/authentication/certificate": object{"secret": []any{secret}}},
		}
	}
	if out := b.output(o("orders.test")); !strings.Contains(out, `"amount":"0"`) {
		t.Errorf("%s", out)
	}
	if out := b.output(o("orders.test", with("mine"))); !strings.Contains(out, `"amount":"1"`) {
		t.Errorf("%s", out)
	}
	forbidden := want{failed, true, 403, adapters.ErrorTypeAuthorization}
	for host, secret := range map[string]string{"orders.test": "bad", "plain.test": "mine"} {
		r := b.send("callOnce", o(host, with(secret)))
		forbidden.is(t, secret, r)
		if strings.Contains(r.String(), "s3cr3t") {
			t.Errorf("%v", r)
		}
	}
	unsent := want{failed, false, 503, adapters.ErrorTypeCommunication}
	unsent.is(t, "another name", b.send("callOnce", o("other.test")))
	unsent.is(t, "plain text", b.send("callOnce", o("plain.test")))
}

// TestReflection: a server is asked what a method takes where the call does not say so, if the adapter is told to.
func TestReflection(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{Reflection: true})
	check := func(address, service string) object {
		return at(address, "Check", object{"service": "grpc.health.v1.Health", "description": "", "arguments": object{"service": service}})
	}
	for version, register := range map[string]func(*rpc.Server){
		"v1": func(s *rpc.Server) { reflection.RegisterV1(s) },
		"v1alpha": func(s *rpc.Server) {
			reflection.Register(onlyAlpha{s})
		},
	} {
		s := rpc.NewServer()
		healthy := health.NewServer()
		healthy.SetServingStatus("orders", healthpb.HealthCheckResponse_NOT_SERVING)
		healthpb.RegisterHealthServer(s, healthy)
		register(s)
		address := run(t, s)
		for range 2 {
			if out := b.output(check(address, "orders")); out != `{"status":"NOT_SERVING"}` {
				t.Errorf("%s: %s", version, out)
			}
		}
		want{failed, true, 404, adapters.ErrorTypeCommunication}.is(t, "no such service", b.send("callOnce", check(address, "other")))
		want{failed, true, 404, adapters.ErrorTypeCommunication}.is(t, "unknown", b.send("callOnce", at(address, "Get", object{"description": ""})))
		want{failed, true, 400, adapters.ErrorTypeValidation}.is(t, "no such method",
			b.send("callOnce", at(address, "Get", object{"description": "", "service": "grpc.health.v1.Health"})))
	}
	without := run(t, rpc.NewServer())
	want{failed, true, 400, adapters.ErrorTypeValidation}.is(t, "without", b.send("callOnce", check(without, "")))
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	want{failed, false, 503, adapters.ErrorTypeCommunication}.is(t, "down", b.send("callOnce", check(down.Addr().String(), "")))
	far := setup(t, grpc.Config{Reflection: true, Config: outbound.Config{Allow: []string{"*"}}})
	want{failed, true, 403, adapters.ErrorTypeAuthorization}.is(t, "forbidden", far.send("callOnce", check("localhost:1", "")))
}

// onlyAlpha is a server that knows the version of reflection before the first one only.
type onlyAlpha struct{ *rpc.Server }

func (s onlyAlpha) RegisterService(d *rpc.ServiceDesc, of any) {
	if strings.Contains(d.ServiceName, "v1alpha") {
		s.Server.RegisterService(d, of)
	}
}

// TestProxy: calls go by the proxy, as far as the list allows their names.
func TestProxy(t *testing.T) {
	t.Parallel()
	address := serve(t, func(a *asked) error { return a.answer(`{}`) })
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	asked := make(chan string, 10)
	go func() {
		for {
			conn, err := proxy.Accept()
			if err != nil {
				return
			}
			go tunnelled(conn, address, asked)
		}
	}()
	b := setup(t, grpc.Config{Config: outbound.Config{Proxy: "http://u:p@" + proxy.Addr().String(), Allow: []string{"*.test"}}})
	b.output(at("orders.test:7000", "Get"))
	if got := <-asked; got != "CONNECT orders.test:7000 Basic dTpw" {
		t.Errorf("%s", got)
	}
	want{failed, false, 503, adapters.ErrorTypeCommunication}.is(t, "refused", b.send("callOnce", at("refused.test:7000", "Get")))
	for _, host := range []string{"169.254.169.254", "other.example", "2852039166"} {
		want{failed, true, 403, adapters.ErrorTypeAuthorization}.is(t, host, b.send("callOnce", at(host+":7000", "Get")))
	}
}

// tunnelled serves a connection to a proxy.
func tunnelled(conn net.Conn, to string, asked chan<- string) {
	defer func() { _ = conn.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	asked <- req.Method + " " + req.Host + " " + req.Header.Get("Proxy-Authorization")
	if strings.HasPrefix(req.Host, "refused") {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(out, conn)
		_ = out.Close()
	}()
	_, _ = io.Copy(conn, out)
}

// TestConnections: calls share a connection to a host, and few are kept that nobody uses.
func TestConnections(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{Connections: 1})
	var conns [2]atomic.Int32
	var addresses [2]string
	for i := range conns {
		addresses[i] = serve(t, func(a *asked) error { return a.answer(`{}`) }, rpc.StatsHandler(counter{&conns[i]}))
	}
	for _, i := range []int{0, 0, 1, 1, 0} {
		b.output(at(addresses[i], "Get"))
	}
	if conns[0].Load() != 2 || conns[1].Load() != 1 {
		t.Errorf("%d and %d connections were made", conns[0].Load(), conns[1].Load())
	}
}
