package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// eventProcess is 'holdfast event http' in a process of its own.
type eventProcess struct {
	t              *testing.T
	cmd            *exec.Cmd
	listen, health string
	log            *screen
	client         *http.Client
	url            string
}

func startEvents(t *testing.T, environ []string, args ...string) *eventProcess {
	t.Helper()
	p := &eventProcess{
		t: t, listen: freeAddress(t), health: freeAddress(t), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	p.url = "http://" + p.listen
	args = append([]string{"event", "http", "--listen", p.listen, "--health", p.health}, args...) // what is given twice counts as it was given last
	p.cmd, p.log = startProcess(t, append([]string{childVariable + "=real"}, environ...), args...)
	p.log.await(t, "events are taken", 1)
	return p
}

// answer is what came of a request.
type answer struct {
	status int
	header http.Header
	text   string
}

// post publishes an event about an order, or whatever else the header says that the body is.
func (p *eventProcess) post(path, token, body string, header ...string) answer {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if len(header) == 0 {
		header = []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/billing", "ce-type", "com.example.paid", "content-type", "application/json"}
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return p.do(r)
}

func (p *eventProcess) do(r *http.Request) answer {
	p.t.Helper()
	got, err := p.client.Do(r)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.log)
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

// page asks how the process is.
func (p *eventProcess) page(path string) answer {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.health+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(r)
}

func (a answer) want(t *testing.T, what string, status int, text string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.text, text) {
		t.Errorf("%s: %d %s, want %d %q", what, a.status, a.text, status, text)
	}
}

const paidDefinition = `document: {dsl: '1.0.3', namespace: telecom, name: paid, version: '1.0.0'}
do:
  - a: {listen: {to: {one: {with: {type: com.example.paid}, correlate: {order: {from: .data.order, expect: "${ .order }"}}}}}}
`

// What is sent by HTTP reaches the orders that listen, as whoever sent it: the node asks who that is, and counts each apart.
func TestEventsByHTTP(t *testing.T) {
	t.Parallel()
	access := filepath.Join(t.TempDir(), "access.yaml")
	tokenFor := func(name, role, namespace string) string {
		_, token := tokenOf(t, access, name, "--role", role, "--namespace", namespace)
		return token
	}
	root, one, two := tokenFor("root", "administrator", "*"), tokenFor("one", "submitter", "telecom"), tokenFor("two", "submitter", "telecom")
	listen, _ := (&fake{t: t}).startNode("--access", access, "--client-rate", "0.001", "--client-burst", "2")
	f := &fake{t: t, environ: []string{"HOLDFAST_SERVER=" + listen, "HOLDFAST_TOKEN=" + root}}
	f.must("definition", "deploy", f.file("paid.yaml", paidDefinition))
	p := startEvents(t, nil, "--server", listen)

	const path, body = "/events/telecom", `{"order":"A-1"}`
	for range 2 { // the second time changes nothing
		got := p.post(path, one, body)
		got.want(t, "an event", http.StatusNoContent, "")
		if got.header.Get("Holdfast-Unheard") != "" {
			t.Errorf("nobody listens: %v", got.header)
		}
	}
	f.must("order", "submit", "--definition", "telecom/paid", "--input", f.file("input.json", body), "--wait", "--timeout", "60s")

	got := p.post(path, one, body)
	got.want(t, "too much of one caller", http.StatusTooManyRequests, `"reason":"CLIENT_RATE"`)
	if got.header.Get("Retry-After") == "" {
		t.Errorf("it is not told to come back: %v", got.header)
	}
	batch := `[{"specversion":"1.0","id":"2","source":"/b","type":"com.example.paid","data":{"order":"A-2"}},
		{"specversion":"1.0","id":"3","source":"/b","type":"other"}]`
	got = p.post(path, two, batch, "Content-Type", "application/cloudevents-batch+json")
	got.want(t, "a batch of another caller", http.StatusNoContent, "")
	if got.header.Get("Holdfast-Unheard") != "1" {
		t.Errorf("somebody listens: %v", got.header)
	}
	p.post(path, two, "{").want(t, "data that is no JSON", http.StatusBadRequest, `"attribute":"data"`)

	got = p.post(path, "", body)
	got.want(t, "no token", http.StatusUnauthorized, `"reason":"UNKNOWN_CALLER"`)
	if asks := got.header.Get("WWW-Authenticate"); asks != "Bearer" {
		t.Errorf("it is asked for %q", asks)
	}
	got = p.post(path, "hf_none", body)
	got.want(t, "an unknown token", http.StatusUnauthorized, "")
	if asks := got.header.Get("WWW-Authenticate"); asks != `Bearer error="invalid_token"` {
		t.Errorf("it is asked for %q", asks)
	}
	p.post("/events/other", two, body).want(t, "another namespace", http.StatusForbidden, `lacks the role submitter in the namespace other`)

	p.page("/livez").want(t, "/livez", http.StatusOK, "ok")
	p.page("/readyz").want(t, "/readyz", http.StatusOK, "ok")
	for _, want := range []string{
		`holdfast_event_requests_total{status="204"} 3`, `holdfast_event_requests_total{status="429"} 1`, "holdfast_events_published_total 4",
		"holdfast_events_unheard_total 1", "holdfast_event_request_seconds_count 3",
	} {
		p.page("/metrics").want(t, "/metrics", http.StatusOK, "\n"+want+"\n")
	}
}

// While no node answers, whoever sends an event is told to come back, and is told nothing of where the nodes are.
func TestEventsByHTTPWithoutNodes(t *testing.T) {
	t.Parallel()
	nobody := freeAddress(t)
	p := startEvents(t, nil, "--server", nobody)
	got := p.post("/events/telecom", "", "{}")
	got.want(t, "an event", http.StatusServiceUnavailable, `"detail":"no node answers"`)
	if got.header.Get("Retry-After") != "1" || strings.Contains(got.text, nobody) {
		t.Errorf("%v %s", got.header, got.text)
	}
	p.log.await(t, "events were not published", 1)
	p.page("/livez").want(t, "/livez", http.StatusOK, "ok")
	p.page("/readyz").want(t, "/readyz", http.StatusServiceUnavailable, "no node answers")
}

// A process that is told to stop says so, and lets those end that have begun.
func TestEventsByHTTPDrain(t *testing.T) {
	t.Parallel()
	listen, _ := (&fake{t: t}).startNode()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	p := startEvents(t, []string{"NOTIFY_SOCKET=" + path}, "--server", listen, "--drain-timeout", "1m")
	buf := make([]byte, 1024)
	if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.Read(buf); err != nil || string(buf[:n]) != "READY=1\nSTATUS=events at "+p.listen {
		t.Errorf("%q %v", buf[:n], err)
	}
	c, err := net.Dial("tcp", p.listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	answers := bufio.NewReader(c)
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	say("POST /events/telecom HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n" +
		"ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n\r\n")
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q %v", line, err)
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.log.await(t, "no more events are taken", 1)
	p.page("/readyz").want(t, "/readyz", http.StatusServiceUnavailable, "the process stops")
	say("data")
	got, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _ = got.Body.Close(); got.StatusCode != http.StatusNoContent || !got.Close {
		t.Errorf("%v", got)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.log)
	}
}

// Other machines reach the process over TLS alone, with a certificate where one is asked for; a new one of its own is taken while it runs.
func TestEventsByHTTPOverTLS(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	own, client := a.Files("127.0.0.1"), a.Files("somebody")
	at, reached := everywhere(t)
	p := startEvents(t, nil, "--server", freeAddress(t), "--listen", at,
		"--tls-cert", own.Certificate, "--tls-key", own.Key, "--tls-client-ca", own.CA)
	p.url = "https://" + reached
	as := func(files certificates.Files) *http.Client {
		config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
		config.RootCAs.AppendCertsFromPEM(a.PEM)
		if files.Certificate != "" {
			pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
	}
	if got, err := as(certificates.Files{}).Post(p.url+"/events/telecom", "text/plain", http.NoBody); err == nil {
		_ = got.Body.Close()
		t.Errorf("who shows no certificate is answered %s", got.Status)
	}
	if got, err := http.Post("http://"+reached+"/events/telecom", "text/plain", http.NoBody); err != nil || got.StatusCode != http.StatusBadRequest {
		t.Errorf("plain text: %v %v", got, err)
	} else {
		_ = got.Body.Close()
	}
	p.client = as(client)
	p.post("/events/telecom", "", "{}").want(t, "with a certificate", http.StatusServiceUnavailable, "no node answers")
	a.Rewrite(own, nil, []*certificatetest.Authority{a}, "127.0.0.1")
	p.log.await(t, "certificate was read", 2)
	p.post("/events/telecom", "", "{}").want(t, "with a certificate", http.StatusServiceUnavailable, "no node answers")
	p.page("/metrics").want(t, "/metrics", http.StatusOK, `holdfast_tls_certificate_reloads_total{listener="events",outcome="taken"} 1`)
	p.page("/metrics").want(t, "/metrics", http.StatusOK, `holdfast_tls_refused_total{listener="events"} `)
}

// Where nodes know the process by a certificate, nobody publishes in its name, unless that is said.
func TestEventsByHTTPWithACertificate(t *testing.T) {
	t.Parallel()
	n := startSecured(t)
	with := append(n.as("", n.client), "--server", n.listen)
	p := startEvents(t, nil, with...)
	p.post("/events/telecom", "", "{}").want(t, "without a token", http.StatusUnauthorized, "a token is needed")
	p.post("/events/telecom", "hf_x", "{}").want(t, "with a token, which nobody asks for", http.StatusNoContent, "")
	startEvents(t, nil, append(with, "--tokenless")...).post("/events/telecom", "", "{}").want(t, "without a token", http.StatusNoContent, "")
}

// All mistakes in the settings are told at once, by their flags.
func TestMistakesOfEventHTTP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--listen 0.0.0.0:7480", []string{"--listen is 0.0.0.0:7480, and other machines may reach that: give --tls-cert and --tls-key, " +
			"with --tls-client-ca if only callers may connect who have a certificate; or --plaintext, if"}},
		{"--tls-cert a", []string{"--tls-cert and --tls-key must be given both, or none"}},
		{"--token hf_x", []string{"callers publish by their own tokens, and this process has none: take away --token, --token-file, HOLDFAST_TOKEN"}},
		{"--max-batch 1001 --max-requests -1 --bodies 1MiB --max-headers 1KiB --max-connections -1", []string{
			"--max-headers is 1KiB, and must be at least 16KiB", "--max-connections is -1, and must not be negative",
			"--max-batch is 1001, and must be from 1 to 1000", "--max-requests is -1, and must be at least 1",
			"--bodies are 1048576 bytes, and must be no less than --max-body, 4194304",
		}},
		{"--server :", []string{`--server ":" is not of the form host:port`}},
		{"telecom", []string{`unknown command "telecom" for "holdfast event http"`}},
	} {
		got := (&fake{t: t}).run(append([]string{"event", "http"}, strings.Fields(c.args)...)...)
		for _, want := range c.want {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%s: %q is not told in\n%s", c.args, want, got.stderr)
			}
		}
		if n := strings.Count(got.stderr, "\n") - 1; got.status != exitUsage || n != len(c.want) {
			t.Errorf("%s: status %d, %d mistakes:\n%s", c.args, got.status, n, got.stderr)
		}
	}
	t.Run("environment", func(t *testing.T) {
		t.Parallel()
		f := &fake{t: t, environ: []string{"HOLDFAST_TOKEN_FILE=" + os.DevNull}}
		if got := f.run("event", "http"); got.status != exitUsage || !strings.Contains(got.stderr, "this process has none") {
			t.Errorf("%+v", got)
		}
	})
	taken := freeAddress(t)
	l, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for flag, want := range map[string]string{"--listen": "listen for events: ", "--health": "listen for questions about health: "} {
		got := (&fake{t: t}).run("event", "http", "--listen", freeAddress(t), flag, taken)
		if got.status != exitError || !strings.Contains(got.stderr, fmt.Sprintf("holdfast: events by HTTP: %slisten tcp %s", want, taken)) {
			t.Errorf("%s: %+v", flag, got)
		}
	}
}
