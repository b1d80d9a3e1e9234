package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// securedWorld is some nodes, each with a certificate of its own, for its address.
func securedWorld(t *testing.T, a *certificatetest.Authority, nodes int, names ...string) *world {
	t.Helper()
	w := setup(t, 0)
	for range nodes {
		s, err := certificates.NewServer(certificates.ServerConfig{
			Files: a.Files(names...), Protocols: []string{"h2"}, Refused: func(net.Addr, error) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		n := &node{store: w.store}
		w.serveBehind(n, n, s.Listener, grpc.Creds(s.Credentials()))
	}
	for _, n := range w.nodes {
		n.get = func(r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
			return &orderv1.GetResponse{Order: &orderv1.Order{Id: r.GetId(), Definition: n.address}}, nil
		}
	}
	return w
}

// answering asks for an order until each of two nodes has answered.
func answering(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for seen := map[string]bool{}; len(seen) < 2; {
		r, err := c.Orders().Get(ctx, &orderv1.GetRequest{Id: "x"})
		if err != nil {
			t.Fatal(err)
		}
		seen[r.GetOrder().GetDefinition()] = true
	}
}

// Several nodes are reached, each of which proves that it is at its own address.
func TestTLS(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	own := a.Files("client")
	pair, err := tls.LoadX509KeyPair(own.Certificate, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.PEM)
	w, named := securedWorld(t, a, 2, "127.0.0.1"), securedWorld(t, a, 2, "nodes.example")
	files := certificates.Client{CA: own.CA, Certificate: own.Certificate, Key: own.Key}
	ready := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	answering(t, w.dial(func(c *client.Config) { c.Files = &files }))
	answering(t, w.dial(func(c *client.Config) { c.TLS = ready }))
	// A name that all nodes have stands for their addresses.
	allNamed, readyNamed := files, ready.Clone()
	allNamed.ServerName, readyNamed.ServerName = "nodes.example", "nodes.example"
	answering(t, named.dial(func(c *client.Config) { c.Files = &allNamed }))
	answering(t, named.dial(func(c *client.Config) { c.TLS = readyNamed }))
}

// A node that others announce proves that it is at its own address, too.
func TestOwnersAreSecured(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	own := a.Files("client")
	w := securedWorld(t, a, 2, "127.0.0.1")
	w.store.become(owners(func(p int) *node { return w.nodes[p%2] }, w.nodes...))
	h := &handing{t: t, world: w}
	byCallOf(w.dial(func(c *client.Config) {
		c.Addresses, c.Files = c.Addresses[:1], &certificates.Client{CA: own.CA, Certificate: own.Certificate, Key: own.Key}
	}), w, h)
	h.wantStraight(w.nodes...)
}

// What is wrong is said, and what to do about it.
func TestAdviceOnTLS(t *testing.T) {
	t.Parallel()
	a, other := certificatetest.New(t), certificatetest.New(t)
	own, stranger := a.Files("client"), other.Files("client")
	secured, named, open := securedWorld(t, a, 1, "127.0.0.1"), securedWorld(t, a, 1, "nodes.example"), setup(t, 1)
	for _, tt := range []struct {
		name    string
		at      *world
		files   *certificates.Client
		is, say string
	}{
		{"plain text to TLS", secured, nil, certificates.ErrNeedsTLS.Error(), "Say with --ca which authority"},
		{"TLS to plain text", open, &certificates.Client{CA: own.CA}, certificates.ErrNoTLS.Error(), "Leave --ca away"},
		{"no certificate", secured, &certificates.Client{CA: own.CA}, "certificate required", "and its key, with --own"},
		{
			"a stranger", secured, &certificates.Client{CA: own.CA, Certificate: stranger.Certificate, Key: stranger.Key},
			"unknown certificate authority", "does not take the certificate that it was shown: give one",
		},
		{"another authority", secured, &certificates.Client{CA: stranger.CA}, "signed by unknown authority", "Say with --ca which"},
		{"another name", named, &certificates.Client{CA: own.CA}, "any IP SANs", "ask for the node by that, or give it with --name."},
	} {
		c := tt.at.dial(func(c *client.Config) { c.Files, c.Patience = tt.files, -1 })
		_, err := c.Orders().Get(t.Context(), &orderv1.GetRequest{Id: "x"})
		st, _ := client.StatusOf(err)
		if text := client.StatusText(st); !strings.HasPrefix(text, "no connection: ") || !strings.Contains(text, tt.is) {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.is)
		}
		asked := client.Asked{Addresses: []string{"N"}, Setting: "--server", Trust: "--ca", Name: "--name", Own: "--own"}
		if advice := client.Advice(err, asked); !strings.Contains(advice, tt.say) {
			t.Errorf("%s: %q, want %q", tt.name, advice, tt.say)
		}
	}
}

func TestMistakesInTLS(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]client.Config{
		"only one can secure":   {TLS: &tls.Config{MinVersion: tls.VersionTLS13}, Files: &certificates.Client{}},
		"no such file":          {Files: &certificates.Client{CA: "/nonexistent"}},
		"needed both, or none.": {Files: &certificates.Client{Key: "x"}},
	} {
		if _, err := client.New(c); err == nil || !strings.Contains(err.Error()+".", want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
