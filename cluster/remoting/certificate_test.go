package remoting

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

const reloadsMetric = "holdfast_remoting_certificate_reloads_total"

func TestWhoDoesNotProveToBeANodeIsRefused(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	tests := map[string]struct {
		change func(*Config)
		want   string // in the log of the node that is good, whoever connects
	}{
		"a name that is not allowed": {
			change: func(c *Config) {
				c.TLS = a.files("spiffe://test.example/billing/node")
				c.TLS.Allow = append(c.TLS.Allow, "spiffe://test.example/billing/*")
			},
			want: "no name that is allowed",
		},
		"another authority": {
			change: func(c *Config) {
				other := newAuthority(t)
				c.TLS = other.files("spiffe://test.example/holdfast/node")
				certificatetest.Write(t, c.TLS.CA, append(other.PEM, a.PEM...))
			},
			want: "unknown authority",
		},
		"no proof at all": {change: plaintext, want: "first record does not look like a TLS handshake"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, bad := newStation(t, "good", secured(a)), newStation(t, "bad", tt.change)
			must(t, bad.Peers(good.node()))
			good.log.await(t, tt.want)
			if got := good.metric(refusedMetric, "handshake"); got < 1 {
				t.Error("it is not counted")
			}
			must(t, good.Peers(bad.node())) // the other way round
			good.log.await(t, "node is not connected")
			for _, s := range []*station{good, bad} {
				if len(s.came) > 0 || s.metric("holdfast_remoting_connections_total", "made") > 0 {
					t.Error("they are connected")
				}
			}
		})
	}
}

func TestStreamNeedsTLS13AndACertificate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newStation(t, "one", secured(a))
	pair := func() tls.Certificate {
		cert, key := a.issue("spiffe://test.example/holdfast/raw")
		p, err := tls.X509KeyPair(cert, key)
		must(t, err)
		return p
	}
	for name, c := range map[string]*tls.Config{
		"client didn't provide a certificate":      {},
		"client offered only unsupported versions": {MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair()}},
	} {
		c.InsecureSkipVerify = true
		conn, err := grpc.NewClient(s.node().Address, grpc.WithTransportCredentials(credentials.NewTLS(c)))
		must(t, err)
		stream, err := remote.NewRemotingClient(conn).Receive(t.Context())
		if err == nil {
			_, err = stream.Recv()
		}
		if err == nil {
			t.Errorf("%s: there is a stream", name)
		}
		s.log.await(t, name)
		must(t, conn.Close())
	}
}

func TestAuthorityIsReplacedWhileNodesAreConnected(t *testing.T) {
	t.Parallel()
	before, after := newAuthority(t), newAuthority(t)
	one, two := newStation(t, "one", secured(before)), newStation(t, "two", secured(before))
	all := []*station{one, two}
	must(t, one.Peers(two.node()))
	must(t, two.Peers(one.node()))
	exchange := func() {
		t.Helper()
		for i, s := range all {
			s.ask(all[1-i].node(), 1)
			next(t, all[1-i].came)
		}
	}
	exchange()
	const name = "spiffe://test.example/holdfast/node"
	// First all trust both, then all are issued anew, then the one before goes. Nothing ends that goes on being trusted.
	for _, s := range all {
		certificatetest.Write(t, s.config.TLS.CA, append(append([]byte{}, before.PEM...), after.PEM...))
		s.Reload()
	}
	for _, s := range all {
		after.rewrite(s.config.TLS, name, before, after)
		s.Reload()
	}
	exchange()
	for _, s := range all {
		if got := s.metric(reloadsMetric, "taken"); got != 2 {
			t.Errorf("%v changes were taken, want 2", got)
		}
		if got := s.metric("holdfast_remoting_connections_total", "made"); got != 1 {
			t.Errorf("%v connections were made, want 1: a change of certificates has ended one", got)
		}
	}
	// Those that were made with certificates of the one before end when that is trusted no more, and new ones are made.
	for _, s := range all {
		after.rewrite(s.config.TLS, name, after)
		s.Reload()
	}
	one.log.await(t, "not trusted any more")
	for one.metric("holdfast_remoting_connections_total", "made") < 2 || !one.Up(two.node()) || !two.Up(one.node()) {
		next(t, one.lost)
		for !one.Up(two.node()) || !two.Up(one.node()) {
			one.ask(two.node(), 2)
			select {
			case <-two.came:
			case <-one.answers:
			}
			two.ask(one.node(), 2)
			select {
			case <-one.came:
			case <-two.answers:
			}
		}
	}
	// A node that still has a certificate of the one before is refused.
	late := newStation(t, "late", func(c *Config) {
		secured(before)(c)
		before.rewrite(c.TLS, name, before, after)
	})
	must(t, late.Peers(one.node()))
	one.log.await(t, "unknown authority")
}

func TestBadFilesChangeNothing(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one, two := newStation(t, "one", secured(a)), newStation(t, "two", secured(a))
	files := one.config.TLS
	good := map[string][]byte{}
	for _, name := range []string{files.Certificate, files.Key, files.CA} {
		text, err := os.ReadFile(name)
		must(t, err)
		good[name] = text
	}
	cert, key := a.issue("https://elsewhere.example/x")
	foreign, foreignKey := newAuthority(t).issue("spiffe://test.example/holdfast/node")
	for i, bad := range []map[string][]byte{
		{files.Key: key},
		{files.Certificate: []byte("nothing")},
		{files.CA: nil},
		{files.Certificate: cert, files.Key: key},           // not allowed
		{files.Certificate: foreign, files.Key: foreignKey}, // not trusted
	} {
		for name, text := range bad {
			certificatetest.Write(t, name, text)
		}
		one.Reload()
		one.Reload() // it is told once
		if got := one.metric(reloadsMetric, "refused"); got != float64(i+1) {
			t.Errorf("%v changes were refused after %d", got, i+1)
		}
		for name, text := range good {
			certificatetest.Write(t, name, text)
		}
		one.Reload()
	}
	must(t, os.Remove(files.Key))
	one.Reload()
	one.Reload()
	if got := one.log.count("the one before stays"); got != 6 {
		t.Errorf("the log tells %d times that a file is bad, want 6:\n%s", got, one.log.text)
	}
	must(t, one.Peers(two.node()))
	one.ask(two.node(), 1)
	next(t, two.came)
	if got := one.metric("holdfast_remoting_certificate_expiry_seconds", ""); time.Until(time.Unix(int64(got), 0)) > time.Hour {
		t.Errorf("the certificate expires at %v", got)
	}
}

func TestFilesAreLookedAt(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newStation(t, "one", func(c *Config) {
		secured(a)(c)
		c.TLS.Poll = time.Millisecond
	})
	certificatetest.Write(t, s.config.TLS.CA, append(a.PEM, newAuthority(t).PEM...))
	s.log.await(t, "was read again")
}

func TestMistakesInTLSAreTold(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newStation(t, "one", plaintext)
	tests := map[string]func(*TLS){
		"nobody could connect":            func(c *TLS) { c.Allow = nil },
		"allows any name":                 func(c *TLS) { c.Allow = []string{"*"} },
		"no such file":                    func(c *TLS) { c.CA += "x" },
		"no certificate of an authority":  func(c *TLS) { c.CA = c.Key },
		"would be refused":                func(c *TLS) { c.Allow = []string{"other.example"} },
		"more than 1048576":               func(c *TLS) { certificatetest.Write(t, c.CA, make([]byte, 1<<20+1)) },
		"setting Poll":                    func(c *TLS) { c.Poll = -1 },
		"failed to find any PEM data in ": func(c *TLS) { c.Certificate = c.CA; certificatetest.Write(t, c.CA, nil) },
	}
	for want, change := range tests {
		c := s.config
		c.Plaintext, c.TLS = false, a.files("spiffe://test.example/holdfast/node")
		change(c.TLS)
		if _, err := New(c, Deps{Witness: s, Metrics: s.metrics, Log: s.Remoting.log}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a mistake with %q is told as %v", want, err)
		}
	}
}

func TestNamesThatAreAllowed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		list string
		yes  []string
		no   []string
	}{
		{
			list: "spiffe://prod.example/holdfast/node/*",
			yes:  []string{"spiffe://prod.example/holdfast/node/a", "SPIFFE://Prod.example/holdfast/node/b"},
			no: []string{
				"spiffe://prod.example/holdfast/node", "spiffe://prod.example/holdfast/node/", "spiffe://prod.example/holdfast/node/a/b",
				"spiffe://prod.example/holdfast/NODE/a", "spiffe://other.example/holdfast/node/a", "https://prod.example/holdfast/node/a",
				"spiffe://prod.example/holdfast/node/a?x=y", "spiffe://prod.example/holdfast/node/a#x", "spiffe://u@prod.example/holdfast/node/a",
				"spiffe://prod.example/holdfast/node/..", "spiffe://prod.example/x/../holdfast/node/a", "spiffe://prod.example/holdfast/node/*",
				"spiffe://prod.example:1/holdfast/node/a", "spiffe:prod.example/holdfast/node/a", "a.nodes.example",
			},
		},
		{list: "https://one.example", yes: []string{"https://one.example", "https://one.example/"}, no: []string{"https://one.example/x"}},
		{
			list: "*.nodes.example", yes: []string{"a.nodes.example", "A.Nodes.Example"},
			no: []string{"nodes.example", "a.b.nodes.example", "*.nodes.example", "a.nodes.example.org", ".nodes.example", "xnodes.example"},
		},
		{list: "a.nodes.example", yes: []string{"a.nodes.example"}, no: []string{"b.nodes.example", "spiffe://a.nodes.example"}},
	}
	for _, tt := range tests {
		i, err := parseIdentity(tt.list)
		must(t, err)
		for want, names := range map[bool][]string{true: tt.yes, false: tt.no} {
			for _, name := range names {
				c := &x509.Certificate{DNSNames: []string{name}}
				if u, err := url.Parse(name); err == nil && u.Scheme != "" {
					c = &x509.Certificate{URIs: []*url.URL{u}}
				}
				if got, err := allowed([]identity{i}, c); (err == nil) != want {
					t.Errorf("%q allows %q: %q, %v", tt.list, name, got, err)
				}
			}
		}
	}
	for _, list := range []string{"", "*", "*.*", "a..b", "a*.example", "a b", "spiffe://*/x", "spiffe://a/x*", "spiffe://a/x?y", "spiffe://a//x", "://", "a:1"} {
		if i, err := parseIdentity(list); err == nil {
			t.Errorf("%q is taken for %v", list, i)
		}
	}
}
