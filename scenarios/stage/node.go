package stage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
)

// Node is a node of a stage, on the embedded journal.
type Node struct {
	*Process

	// Server is the address of its API, Admin that of its administration, Data its data folder.
	Server, Admin, Data string
	// Host is where it runs; nil: on this one.
	Host *Host
	// CA is the file of the authority that has signed the certificate of its listeners; empty: they are in plain text.
	CA string
	// Agent is the agent of Consul that it has for itself; nil: none.
	Agent *Consul

	secure *tls.Config // nil: in plain text
}

// StartNode starts a node with the given holdfast binary, and with its default settings but for those given. Its data go to
// the folder data below the stage's. It runs until ctx ends, which must be the stage's or come from it.
func (s *Stage) StartNode(ctx context.Context, holdfast string, restart bool, settings ...string) (*Node, error) {
	return s.StartNodeIn(ctx, nil, holdfast, restart, settings...)
}

// StartNodeIn does the same in an environment with further variables.
func (s *Stage) StartNodeIn(ctx context.Context, env []string, holdfast string, restart bool, settings ...string) (*Node, error) {
	addresses, err := FreeAddresses(ctx, 2)
	if err != nil {
		return nil, err
	}
	n := &Node{Server: addresses[0], Admin: addresses[1], Data: filepath.Join(s.dir, "data")}
	n.Process, err = s.Start(ctx, Spec{
		Name: "node", Path: holdfast, Restart: restart, Env: env,
		Args: append([]string{"node", "--data", n.Data, "--listen", n.Server, "--admin-listen", n.Admin}, settings...),
	})
	return n, err
}

// StartSecureNode does the same for a node whose listeners have TLS, with a certificate of an authority.
func (s *Stage) StartSecureNode(ctx context.Context, a *Authority, holdfast string, restart bool, settings ...string) (*Node, error) {
	own, err := a.ofListeners()
	if err != nil {
		return nil, err
	}
	n, err := s.StartNode(ctx, holdfast, restart, append(own, settings...)...)
	if err == nil {
		n.CA, n.secure = a.CA(), &tls.Config{RootCAs: a.Roots(), MinVersion: tls.VersionTLS13}
	}
	return n, err
}

// Identify has a certificate shown to the node's administration.
func (n *Node) Identify(by tls.Certificate) { n.secure.Certificates = []tls.Certificate{by} }

// pollEvery is how often a URL is asked again that doesn't answer yet.
const pollEvery = 10 * time.Millisecond

// Ready waits until the node is ready.
func (n *Node) Ready(ctx context.Context) error { return answers(ctx, n.at("/readyz"), n.secure) }

// at is the address of a page of its administration.
func (n *Node) at(path string) string {
	if n.secure != nil {
		return "https://" + n.Admin + path
	}
	return "http://" + n.Admin + path
}

func (n *Node) get(ctx context.Context, path string) (string, error) {
	return get(ctx, n.at(path), n.secure)
}

// IsReady tells whether the node says that it can do its work now.
func (n *Node) IsReady(ctx context.Context) bool { return n.Unready(ctx) == nil }

// Unready is what the node says of why it can't do its work now; nil: it can.
func (n *Node) Unready(ctx context.Context) error {
	_, err := n.get(ctx, "/readyz")
	return err
}

// Live tells whether the node says that it makes progress.
func (n *Node) Live(ctx context.Context) error {
	_, err := n.get(ctx, "/livez")
	return err
}

// Answers waits until a URL answers with status 200.
func Answers(ctx context.Context, url string) error { return answers(ctx, url, nil) }

func answers(ctx context.Context, url string, secure *tls.Config) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		_, err := get(ctx, url, secure)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (its last answer: %w)", url, context.Cause(ctx), err)
		}
	}
}

// maxPage bounds an answer to fetch, in bytes.
const maxPage = 16 << 20

// get asks for a page that is there at once.
func get(ctx context.Context, url string, secure *tls.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return fetch(ctx, url, secure)
}

func fetch(ctx context.Context, url string, secure *tls.Config) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: secure}} // no connection outlives the question
	resp, err := client.Do(q)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the URL
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return "", fmt.Errorf("get %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s: %s", url, resp.Status, strings.TrimSpace(string(b)))
	}
	return string(b), nil
}

// Heap tells how much of the node's heap is in use after a collection, in bytes. The node must have been started with --profiles.
func (n *Node) Heap(ctx context.Context) (int64, error) {
	var text string
	for range 2 { // what is pooled survives the first collection
		var err error
		if text, err = n.get(ctx, "/debug/pprof/heap?gc=1&debug=1"); err != nil {
			return 0, err
		}
	}
	for line := range strings.Lines(text) {
		if size, found := strings.CutPrefix(line, "# HeapAlloc = "); found {
			bytes, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("the node's heap has %q: %w", size, errNumber)
			}
			return bytes, nil
		}
	}
	return 0, fmt.Errorf("the node does not tell its heap: %w", errNumber)
}

// Profile tells, in the format of pprof, where the node spends its processors' time for a while from now on, in whole seconds. The node
// must have been started with --profiles.
func (n *Node) Profile(ctx context.Context, d time.Duration) (string, error) {
	return fetch(ctx, n.at(fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(d/time.Second))), n.secure)
}

// Metrics are the figures that a node shows, in the text format of Prometheus.
type Metrics string

// Metrics asks the node for its figures.
func (n *Node) Metrics(ctx context.Context) (Metrics, error) {
	text, err := n.get(ctx, "/metrics")
	return Metrics(text), err
}

// Value returns the value of one series: a name, with its labels as they are shown.
func (m Metrics) Value(series string) (float64, error) {
	for line := range strings.Lines(string(m)) {
		rest, found := strings.CutPrefix(line, series)
		if !found || !strings.HasPrefix(rest, " ") {
			continue
		}
		fields := strings.Fields(rest) // the value, and perhaps a time
		if len(fields) == 0 {
			break
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s has the value %q: %w", series, fields[0], errNumber)
		}
		return v, nil
	}
	return 0, fmt.Errorf("the node shows no metric %s", series)
}

var errNumber = errors.New("a number is expected")

// Dial makes a connection to the node, which comes back soon after the node does. It tries nothing again by itself, nor at other nodes:
// scenarios are to see what fails. Close it.
func (n *Node) Dial(options ...grpc.DialOption) (*client.Client, error) {
	return dial([]string{n.Server}, n.secure, options...)
}

// DialAdmin makes a connection to the node's administration. Close it.
func (n *Node) DialAdmin() (*client.Client, error) { return dial([]string{n.Admin}, n.secure) }

func dial(addresses []string, secure *tls.Config, options ...grpc.DialOption) (*client.Client, error) {
	c, err := client.New(client.Config{
		Addresses: addresses, TLS: secure, Unrouted: true, Patience: -1, CallTimeout: -1, ConnectTimeout: time.Second,
		Backoff:     client.Backoff{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond, Jitter: 0.2},
		DialOptions: options,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(addresses, ", "), err)
	}
	return c, nil
}
