package certificates_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// node is a server of gRPC.
type node struct {
	*certificates.Server

	t       *testing.T
	address string
	files   certificates.Files
	refused chan error
}

// setup starts a node that is secured by files.
func setup(t *testing.T, files certificates.Files) *node {
	t.Helper()
	n := &node{t: t, files: files, refused: make(chan error, 100)}
	var err error
	n.Server, err = certificates.NewServer(certificates.ServerConfig{
		Files: files, Protocols: []string{"h2"}, Refused: func(_ net.Addr, err error) { n.refused <- err },
	})
	must(t, err)
	n.serve(grpc.Creds(n.Credentials()))
	return n
}

// plain starts one that is not.
func plain(t *testing.T) *node {
	t.Helper()
	n := &node{t: t}
	n.serve()
	return n
}

func (n *node) serve(options ...grpc.ServerOption) {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(n.t, err)
	n.address = l.Addr().String()
	if n.Server != nil {
		l = n.Listener(l)
	}
	s, h := grpc.NewServer(options...), health.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	n.t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			n.t.Error(err)
		}
	})
}

// dial connects to a node. Whoever calls closes the connection.
func (n *node) dial(with credentials.TransportCredentials) *grpc.ClientConn {
	n.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.address, grpc.WithTransportCredentials(with))
	must(n.t, err)
	return conn
}

// ask makes a call.
func ask(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}

// asks makes one as a client does.
func (n *node) asks(c certificates.Client) error {
	n.t.Helper()
	with, err := c.Credentials()
	must(n.t, err)
	return n.once(with)
}

// once makes one call on a connection of its own.
func (n *node) once(with credentials.TransportCredentials) error {
	n.t.Helper()
	conn := n.dial(with)
	defer func() { must(n.t, conn.Close()) }()
	return ask(n.t, conn)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	a, other := certificatetest.New(t), certificatetest.New(t)
	own := a.Files("127.0.0.1", "node.example")
	open := setup(t, certificates.Files{Certificate: own.Certificate, Key: own.Key})
	mutual := setup(t, own)
	friend, stranger := a.Files("friend"), other.Files("stranger")
	server := a.Files("server")
	a.Rewrite(server, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil, "server")
	named := setup(t, a.Files("node.example"))
	for _, tt := range []struct {
		name string
		node *node
		as   certificates.Client
		want string // in the client's error
		told string // in what the node says
	}{
		{"anybody", open, certificates.Client{CA: own.CA}, "", ""},
		{"the client trusts another authority", open, certificates.Client{CA: stranger.CA}, "unknown authority", "bad certificate"},
		{"the name is wrong", named, certificates.Client{CA: own.CA}, "doesn't contain any IP SANs", "bad certificate"},
		{"a friend by another name", named, certificates.Client{
			CA: own.CA, Certificate: friend.Certificate, Key: friend.Key, ServerName: "node.example",
		}, "", ""},
		{"a friend", mutual, certificates.Client{CA: own.CA, Certificate: friend.Certificate, Key: friend.Key}, "", ""},
		{"no certificate", mutual, certificates.Client{CA: own.CA}, "certificate required", "didn't provide a certificate"},
		{
			"a stranger", mutual,
			certificates.Client{CA: own.CA, Certificate: stranger.Certificate, Key: stranger.Key},
			"unknown certificate authority", "unknown authority",
		},
		{
			"no certificate for clients", mutual,
			certificates.Client{CA: own.CA, Certificate: server.Certificate, Key: server.Key},
			"bad certificate", "incompatible key usage",
		},
	} {
		// One after the other, for each to find what the node has said of it.
		err := tt.node.asks(tt.as)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if told := next(t, tt.node.refused); !strings.Contains(told.Error(), tt.told) {
			t.Errorf("%s: the node says %v, want %q", tt.name, told, tt.told)
		}
	}
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(patience):
		var x T
		t.Fatalf("there never came a %T", x)
		return x
	}
}

// Each end says what is wrong if only one of them speaks TLS.
func TestOneEndSpeaksPlainText(t *testing.T) {
	t.Parallel()
	own := certificatetest.New(t).Files("127.0.0.1")
	secured, open := setup(t, own), plain(t)
	for range 20 { // what is said is never lost with the connection
		err := secured.once(certificates.Plaintext())
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), certificates.ErrNeedsTLS.Error()) {
			t.Errorf("plain text to TLS: %v", err)
		}
		if told := next(t, secured.refused); !strings.Contains(told.Error(), "client speaks plain text") {
			t.Errorf("the node says %v", told)
		}
		err = open.asks(certificates.Client{CA: own.CA})
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), certificates.ErrNoTLS.Error()) {
			t.Errorf("TLS to plain text: %v", err)
		}
	}
	must(t, open.once(certificates.Plaintext()))
}

// Somebody with a browser or curl gets an answer that can be read.
func TestPlainTextIsAnswered(t *testing.T) {
	t.Parallel()
	secured := setup(t, certificatetest.New(t).Files("127.0.0.1"))
	for _, says := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("x", 100_000)} {
		at, err := net.ResolveTCPAddr("tcp", secured.address)
		must(t, err)
		c, err := net.DialTCP("tcp", nil, at)
		must(t, err)
		_, err = io.WriteString(c, says)
		must(t, err)
		reader := bufio.NewReader(c)
		answer, err := http.ReadResponse(reader, nil)
		must(t, err)
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		if answer.StatusCode != http.StatusBadRequest || !strings.HasPrefix(string(text), "This address speaks TLS") {
			t.Errorf("%s: %s", answer.Status, text)
		}
		must(t, answer.Body.Close())
		// The connection ends in good order, though not all was read that was sent: a reset could take the answer with it.
		must(t, c.CloseWrite())
		if n, err := reader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection ends with %d bytes and %v", n, err)
		}
		must(t, c.Close())
		if told := next(t, secured.refused); !strings.Contains(told.Error(), "client speaks plain text") {
			t.Errorf("the node says %v", told)
		}
	}
}

// A certificate is replaced while it is used, and a bad one changes nothing.
func TestCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	before, after := certificatetest.New(t), certificatetest.New(t)
	n := setup(t, before.Files("127.0.0.1"))
	friend := before.Files("friend")
	as := certificates.Client{CA: friend.CA, Certificate: friend.Certificate, Key: friend.Key}
	with, err := as.Credentials()
	must(t, err)
	lasting := n.dial(with)
	t.Cleanup(func() { must(t, lasting.Close()) })
	must(t, ask(t, lasting))
	serial := func() string { return n.Leaf().SerialNumber.String() }

	reload := func(wantTaken bool, wantEnded int, wantErr string) {
		t.Helper()
		taken, ended, err := n.Reload()
		if taken != wantTaken || ended != wantEnded || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("taken %v, %d connections ended, %v; want %v, %d, %q", taken, ended, err, wantTaken, wantEnded, wantErr)
		}
	}
	reload(false, 0, "") // nothing has changed
	was := serial()
	cert, key := read(t, n.files.Certificate), read(t, n.files.Key)
	for want, bad := range map[string]func(){
		"failed to find any PEM data":      func() { certificatetest.Write(t, n.files.Certificate, []byte("nothing")) },
		"does not match":                   func() { _, k := before.Issue(nil, "127.0.0.1"); certificatetest.Write(t, n.files.Key, k) },
		"no such file":                     func() { must(t, os.Remove(n.files.Key)) },
		"no certificate of an authority":   func() { certificatetest.Write(t, n.files.CA, key) },
		"more than 1048576":                func() { certificatetest.Write(t, n.files.CA, make([]byte, 1<<20+1)) },
		"has expired at":                   func() { n.rewrite(before, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }) },
		"is not valid before":              func() { n.rewrite(before, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }) },
		"is not for servers: no client wo": func() { n.rewrite(before, forClients) },
	} {
		bad()
		reload(false, 0, want)
		reload(false, 0, "") // it is told once
		must(t, n.asks(as))
		if serial() != was {
			t.Errorf("after %q another certificate is there", want)
		}
		certificatetest.Write(t, n.files.Certificate, cert)
		certificatetest.Write(t, n.files.Key, key)
		certificatetest.Write(t, n.files.CA, before.PEM)
		reload(true, 0, "")
	}

	// First both authorities are trusted, then the node and the client get certificates of the new one, then the old one goes.
	certificatetest.Write(t, n.files.CA, slices.Concat(before.PEM, after.PEM))
	reload(true, 0, "")
	after.Rewrite(n.files, nil, []*certificatetest.Authority{before, after}, "127.0.0.1")
	reload(true, 0, "")
	if serial() == was {
		t.Error("the new certificate is not there")
	}
	must(t, ask(t, lasting))
	if err := n.asks(as); err == nil {
		t.Error("a client that trusts only the one before takes the new certificate")
	}
	if told := next(t, n.refused); !strings.Contains(told.Error(), "bad certificate") {
		t.Errorf("the node says %v", told)
	}
	renewed := after.Files("friend")
	must(t, n.asks(certificates.Client{CA: renewed.CA, Certificate: renewed.Certificate, Key: renewed.Key}))
	gone := lasting.GetState()
	certificatetest.Write(t, n.files.CA, after.PEM)
	reload(true, 1, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !lasting.WaitForStateChange(ctx, gone) {
		t.Error("the connection of a client that is not trusted any more goes on")
	}
}

func forClients(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

func (n *node) rewrite(a *certificatetest.Authority, change func(*x509.Certificate)) {
	n.t.Helper()
	a.Rewrite(n.files, change, []*certificatetest.Authority{a}, "127.0.0.1")
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	return text
}

// A new certificate that is not valid yet is told of as bad once, and taken as soon as it is valid.
func TestNotValidYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := certificatetest.New(t)
		files := a.Files("127.0.0.1")
		s, err := certificates.NewServer(certificates.ServerConfig{Files: files})
		must(t, err)
		before := s.Leaf()
		from := time.Now().Add(3 * certificates.Poll)
		a.Rewrite(files, func(c *x509.Certificate) { c.NotBefore = from }, []*certificatetest.Authority{a}, "127.0.0.1")
		for told := 0; time.Now().Before(from); time.Sleep(certificates.Poll) {
			taken, _, err := s.Reload()
			if err != nil {
				told++
			}
			if taken || told != 1 || !s.Leaf().Equal(before) {
				t.Errorf("taken %v, told %d times (%v)", taken, told, err)
			}
		}
		if taken, _, err := s.Reload(); !taken || err != nil || s.Leaf().Equal(before) {
			t.Errorf("a certificate that is valid now: taken %v, %v", taken, err)
		}
	})
}

// A connection lasts no longer than the certificate that its client has shown: certificates that last for hours shut out whoever gets no
// new ones.
func TestCertificateOfAClientExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := certificatetest.New(t)
		s, err := certificates.NewServer(certificates.ServerConfig{Files: a.Files("node.example"), Protocols: []string{"h2"}})
		must(t, err)
		inner := bufconn.Listen(1 << 16)
		l := s.Secured(s.Listener(inner))
		// connect connects a client whose certificate lasts for a time, and returns what its connection ends with.
		connect := func(lasts time.Duration) <-chan error {
			own := a.Files("client")
			a.Rewrite(own, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(lasts) }, []*certificatetest.Authority{a}, "client")
			with, err := certificates.Client{CA: own.CA, Certificate: own.Certificate, Key: own.Key}.Credentials()
			must(t, err)
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = c.Read(make([]byte, 1)) // until it ends
					_ = c.Close()
				}
			}()
			raw, err := inner.Dial()
			must(t, err)
			c, _, err := with.ClientHandshake(t.Context(), "node.example:1", raw)
			must(t, err)
			ended := make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				ended <- err
				_ = c.Close()
			}()
			synctest.Wait()
			return ended
		}
		short, long := connect(10*time.Minute), connect(20*time.Minute)
		for _, c := range []struct {
			after time.Duration
			ended <-chan error
		}{{10 * time.Minute, short}, {10 * time.Minute, long}} {
			reload := func(want int) {
				t.Helper()
				if taken, ended, err := s.Reload(); taken || ended != want || err != nil {
					t.Errorf("taken %v, %d connections ended, %v; want %d", taken, ended, err, want)
				}
			}
			time.Sleep(c.after - certificates.Poll)
			reload(0)
			time.Sleep(2 * certificates.Poll)
			reload(1)
			if err := next(t, c.ended); err == nil {
				t.Error("the connection does not end")
			}
		}
	})
}

// With Optional whoever shows nothing is let in, and can be told from others; whoever shows something wrong is not.
func TestOptional(t *testing.T) {
	t.Parallel()
	a, other := certificatetest.New(t), certificatetest.New(t)
	own, stranger := a.Files("127.0.0.1"), other.Files("stranger")
	s, err := certificates.NewServer(certificates.ServerConfig{Files: own, Optional: true, Protocols: []string{"http/1.1"}})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.TLS.VerifiedChains)) }),
	}
	certificates.InRequests(server)
	go func() { served <- server.Serve(s.Secured(s.Listener(l))) }()
	t.Cleanup(func() {
		must(t, server.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.PEM)
	get := func(files certificates.Files) (string, error) {
		config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
		if files.Any() {
			pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
			must(t, err)
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		answer, err := client.Get("https://" + l.Addr().String())
		if err != nil {
			return "", err
		}
		defer func() { must(t, answer.Body.Close()) }()
		text, err := io.ReadAll(answer.Body)
		return string(text), err
	}
	if got, err := get(certificates.Files{}); got != "0" || err != nil {
		t.Errorf("without a certificate: %q, %v", got, err)
	}
	if got, err := get(own); got != "1" || err != nil {
		t.Errorf("with one: %q, %v", got, err)
	}
	if got, err := get(stranger); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("with a stranger's: %q, %v", got, err)
	}
}
