package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/bench"
	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// All mistakes in how listeners are secured are told at once, by the names of the flags.
func TestMistakesOfListeners(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want []string
	}{
		{
			"--listen 0.0.0.0:7460 --admin-listen :7461",
			[]string{
				"--listen is 0.0.0.0:7460, and other machines may reach that: give --tls-cert and --tls-key, with --tls-client-ca if only " +
					"clients and adapters may connect who have a certificate; or --plaintext, if something else secures the way",
				"--admin-listen is :7461, and other machines may reach that: give --admin-tls-cert and --admin-tls-key, with " +
					"--admin-tls-client-ca if only operators may connect who have a certificate; or --admin-plaintext, if",
			},
		},
		{"--listen node.example:7460 --admin-plaintext", []string{"--listen is node.example:7460, and other"}},
		{"--tls-cert a --admin-tls-key b", []string{
			"--tls-cert and --tls-key must be given both, or none", "--admin-tls-cert and --admin-tls-key must be given both, or none",
		}},
		{"--tls-cert a --tls-key b --plaintext", []string{"--tls-cert and --plaintext are given, and only one can hold for the API"}},
		{"--listen :7460 --tls-cert a --tls-key b", []string{
			"--listen is :7460, and other machines may reach that without being asked who they are: give --tls-client-ca, so that only clients " +
				"and adapters connect who have a certificate, or --access, which says who may do what",
		}},
		{"--admin-tls-client-ca c", []string{"--admin-tls-client-ca is given without --admin-tls-cert and --admin-tls-key"}},
	} {
		got := (&fake{t: t}).run(append([]string{"node", "--data", t.TempDir()}, strings.Fields(c.args)...)...)
		for _, want := range c.want {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%s: %q is not told in\n%s", c.args, want, got.stderr)
			}
		}
		if n := strings.Count(got.stderr, "\n") - 1; got.status != exitUsage || n != len(c.want) {
			t.Errorf("%s: status %d, %d mistakes:\n%s", c.args, got.status, n, got.stderr)
		}
	}
	files := certificatetest.New(t).Files("127.0.0.1")
	for want, args := range map[string]string{
		"certificate of the API: stat /nonexistent:":                       "--tls-cert /nonexistent --tls-key " + files.Key,
		"certificate of the administration: certificate " + files.CA + " ": "--admin-tls-cert " + files.CA + " --admin-tls-key " + files.Key,
	} {
		args := append([]string{"node", "--data", t.TempDir(), "--listen", freeAddress(t), "--admin-listen", freeAddress(t)}, strings.Fields(args)...)
		if got := (&fake{t: t}).run(args...); got.status != exitError || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: status %d, %s, want %q", args, got.status, got.stderr, want)
		}
	}
}

// everywhere is an address of all interfaces, and the same as this machine reaches it.
func everywhere(t *testing.T) (listen, reached string) {
	t.Helper()
	reached = freeAddress(t)
	_, port, err := net.SplitHostPort(reached)
	if err != nil {
		t.Fatal(err)
	}
	return "0.0.0.0:" + port, reached
}

// securedNode is a node, in a process of its own, whose listeners other machines reach, and that knows who they are.
type securedNode struct {
	t             *testing.T
	authority     *certificatetest.Authority
	own, client   certificates.Files
	listen, admin string
	log           *screen
}

func startSecured(t *testing.T) *securedNode {
	t.Helper()
	return startSecuredWith(t)
}

// startSecuredWith starts one with further flags.
func startSecuredWith(t *testing.T, flags ...string) *securedNode {
	t.Helper()
	a := certificatetest.New(t)
	n := &securedNode{t: t, authority: a, own: a.Files("127.0.0.1"), client: a.Files("somebody")}
	var listens [2]string
	listens[0], n.listen = everywhere(t)
	listens[1], n.admin = everywhere(t)
	_, n.log = startProcess(t, []string{childVariable + "=real"}, append([]string{
		"node", "--data", t.TempDir(), "--listen", listens[0], "--tls-cert", n.own.Certificate, "--tls-key", n.own.Key, "--tls-client-ca", n.own.CA,
		"--admin-listen", listens[1], "--admin-tls-cert", n.own.Certificate, "--admin-tls-key", n.own.Key, "--admin-tls-client-ca", n.own.CA,
	}, flags...)...)
	n.log.await(t, "node is up", 1)
	return n
}

// as is what a command is given to show a certificate of its own, or none.
func (n *securedNode) as(prefix string, files certificates.Files) []string {
	args := []string{"--" + prefix + "ca", n.own.CA}
	if files.Certificate != "" {
		args = append(args, "--"+prefix+"client-cert", files.Certificate, "--"+prefix+"client-key", files.Key)
	}
	return args
}

func (n *securedNode) run(command string, args ...string) outcome {
	n.t.Helper()
	f := &fake{t: n.t, environ: []string{"HOLDFAST_SERVER=" + n.listen, "HOLDFAST_ADMIN=" + n.admin}}
	return f.run(append(strings.Fields(command), args...)...)
}

// get asks the administration for a page.
func (n *securedNode) get(path string, as certificates.Files) (int, string, *x509.Certificate) {
	n.t.Helper()
	return n.getAs(path, as, "")
}

// getBearing asks for one with a token, and without a certificate.
func (n *securedNode) getBearing(path, token string) (int, string, *x509.Certificate) {
	n.t.Helper()
	return n.getAs(path, certificates.Files{}, token)
}

func (n *securedNode) getAs(path string, as certificates.Files, token string) (int, string, *x509.Certificate) {
	n.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	config.RootCAs.AppendCertsFromPEM(n.authority.PEM)
	if as.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(as.Certificate, as.Key)
		if err != nil {
			n.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client := http.Client{Transport: bearing{&http.Transport{DisableKeepAlives: true, TLSClientConfig: config}, token}}
	answer, err := client.Get("https://" + n.admin + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.TLS.PeerCertificates[0]
}

// Whoever has no certificate is refused at both listeners, and is told what to do; but anybody sees whether the node lives.
func TestNodeAsksForCertificates(t *testing.T) {
	t.Parallel()
	n := startSecured(t)
	stranger := certificatetest.New(t).Files("stranger")
	for _, c := range []struct {
		command string
		args    []string
		want    string // empty: it succeeds
	}{
		{"order list", nil, "holdfast: no connection: the node speaks TLS, and this client plain text (UNAVAILABLE)\nSay with --ca"},
		{"order list", n.as("", certificates.Files{}), "certificate required (UNAVAILABLE)\nThe node asks who you are: give a certificate, and its key, with " +
			"--client-cert and --client-key."},
		{"order list", n.as("", stranger), "unknown certificate authority (UNAVAILABLE)\nThe node does not take the certificate"},
		{"order list", []string{"--ca", stranger.CA}, "signed by unknown authority"},
		{"order list", n.as("", n.client), ""},
		{"order list", append(n.as("", n.client), "--server-name", "other.example"), "wanted to match other.example (UNAVAILABLE)\nThe certificate of "},
		{"status", nil, "the node speaks TLS, and this client plain text (UNAVAILABLE)\nSay with --admin-ca"},
		{"status", n.as("admin-", certificates.Files{}), "a certificate is needed here, and the client has shown none (UNAUTHENTICATED)\n" +
			"Give a certificate, and its key, with --admin-client-cert and --admin-client-key."},
		{"status", n.as("admin-", stranger), "unknown certificate authority (UNAVAILABLE)\nThe node does not take the certificate"},
		{"status", n.as("admin-", n.client), ""},
		{"status", []string{"--admin-ca", "/nonexistent"}, "secure the connections: stat /nonexistent: no such file"},
	} {
		got := n.run(c.command, append(c.args, "--timeout", "30s")...)
		if c.want == "" && got.status != exitOK || c.want != "" && !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s %v: %+v, want %q", c.command, c.args, got, c.want)
		}
	}
	for _, c := range []struct {
		path   string
		as     certificates.Files
		status int
	}{
		{"/livez", certificates.Files{}, 200},
		{"/readyz", certificates.Files{}, 200},
		{"/metrics", certificates.Files{}, 403},
		{"/debug/pprof/", certificates.Files{}, 403},
		{"/metrics", n.client, 200},
	} {
		status, text, _ := n.get(c.path, c.as)
		if status != c.status {
			t.Errorf("%s: %d %s", c.path, status, text)
		}
	}
	_, metrics, _ := n.get("/metrics", n.client)
	for _, want := range []string{`holdfast_tls_refused_total{listener="public"} `, `holdfast_tls_refused_total{listener="admin"} `} {
		if !strings.Contains(metrics, "\n"+want) || strings.Contains(metrics, want+"0\n") {
			t.Errorf("no connection was refused, by %s", want)
		}
	}
	n.log.await(t, `msg="connection was refused" part=tls listener=public`, 1)
	n.log.await(t, `msg="connection was refused" part=tls listener=admin`, 1)
}

// An order is run by an adapter, and all of it goes over TLS.
func TestOrderOverTLS(t *testing.T) {
	t.Parallel()
	n := startSecured(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- bench.New().Run(ctx, adapters.Config{
			Servers: []string{n.listen}, TLS: &adapters.TLS{CA: n.own.CA, Cert: n.client.Certificate, Key: n.client.Key},
		})
	}()
	file := (&fake{t: t}).file("d.yaml",
		"document: {dsl: '1.0.3', namespace: t, name: d, version: '1.0.0'}\ndo: [{a: {call: bench.echo, with: {x: 1}}}]\n")
	for _, command := range []string{"definition deploy " + file, "order submit --definition t/d:1.0.0 --wait --timeout 60s"} {
		if got := n.run(command, n.as("", n.client)...); got.status != exitOK {
			t.Errorf("%s: %+v", command, got)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A client that speaks TLS to a node that does not is told so.
func TestNodeWithoutTLS(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	f.startNode()
	for command, trust := range map[string]string{"order list --tls": "--ca", "status --admin-tls": "--admin-ca"} {
		got := f.run(append(strings.Fields(command), "--timeout", "30s")...)
		if got.status != exitError || !strings.Contains(got.stderr, "holdfast: no connection: the node speaks plain text, and this client TLS (UNAVAILABLE)\nLeave "+trust+" away") {
			t.Errorf("%s: %+v", command, got)
		}
	}
}

// A running node takes a new certificate, and goes on with the one before if the new one is bad.
func TestRunningNodeTakesANewCertificate(t *testing.T) {
	t.Parallel()
	n := startSecured(t)
	_, _, before := n.get("/livez", certificates.Files{})
	certificatetest.Write(t, n.own.Certificate, []byte("nothing"))
	n.log.await(t, "new certificate can't be used: the one before stays", 2)
	if _, _, now := n.get("/livez", certificates.Files{}); !now.Equal(before) {
		t.Error("the certificate has changed, and the new one is bad")
	}
	if got := n.run("order list", n.as("", n.client)...); got.status != exitOK {
		t.Errorf("%+v", got)
	}
	n.authority.Rewrite(n.own, nil, []*certificatetest.Authority{n.authority}, "127.0.0.1")
	n.log.await(t, "certificate was read", 4)
	if _, _, now := n.get("/livez", certificates.Files{}); now.Equal(before) {
		t.Error("the certificate has not changed")
	}
	for command, prefix := range map[string]string{"order list": "", "status": "admin-"} {
		if got := n.run(command, n.as(prefix, n.client)...); got.status != exitOK {
			t.Errorf("%s: %+v", command, got)
		}
	}
}

// What is not secured although others reach it is told of at each start.
func TestNodeWarnsOfPlaintext(t *testing.T) {
	t.Parallel()
	listen, reached := everywhere(t)
	admin, _ := everywhere(t)
	files := certificatetest.New(t).Files("127.0.0.1")
	_, log := startProcess(t, []string{childVariable + "=real"}, "node", "--data", t.TempDir(),
		"--listen", listen, "--plaintext", "--admin-listen", admin, "--admin-tls-cert", files.Certificate, "--admin-tls-key", files.Key,
		"--admin-tls-client-ca", files.CA)
	log.await(t, "node is up", 1)
	log.await(t, `PLAINTEXT: connections from other machines are not secured`, 1)
	log.await(t, `nobody is asked who he is`, 1)
	f := &fake{t: t, environ: []string{"HOLDFAST_SERVER=" + reached}}
	if got := f.run("order", "list"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// dev asks a node whose administration is secured by https whether it lives.
func TestDevAsksByHTTPS(t *testing.T) { //nolint:paralleltest // it sets the environment
	child(t, "real")
	files := certificatetest.New(t).Files("127.0.0.1")
	for name, value := range map[string]string{
		"HOLDFAST_ADMIN_TLS_CERT": files.Certificate, "HOLDFAST_ADMIN_TLS_KEY": files.Key, "HOLDFAST_ADMIN_TLS_CLIENT_CA": files.CA,
	} {
		t.Setenv(name, value)
	}
	d := startDev(t, os.Environ(), "--live-failures", "100")
	d.stdout.await(t, "ready: orders at "+d.listen+", administration at https://"+d.admin, 1)
	d.stop()
	if status := <-d.status; status != 0 {
		t.Errorf("exit status %d", status)
	}
}
