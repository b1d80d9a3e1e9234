package consul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// endpoint is the way to Consul of one goroutine: the address that it uses, and its connections there, which it shares with nobody.
type endpoint struct {
	cfg *Config
	at  int // in cfg.Addresses

	client    *api.Client // nil: one is to be made, with the files as they are then
	transport *http.Transport
	token     Token
}

// call makes a request, within a time.
func (e *endpoint) call(ctx context.Context, bound time.Duration, request func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	address := e.address()
	err := e.open()
	if err == nil {
		err = request(ctx, e.client)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("ask Consul at %s: %w", address, e.failed(err))
}

func (e *endpoint) address() string { return e.cfg.Addresses[e.at] }

// open makes a client, if there is none.
func (e *endpoint) open() error {
	if e.client != nil {
		return nil
	}
	scheme, host, err := e.cfg.parse(e.address())
	if err != nil {
		return err
	}
	token, err := e.cfg.token()
	if err != nil {
		return err
	}
	secure, err := e.cfg.TLS.config()
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext: e.cfg.dial, TLSClientConfig: secure,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 1 << 16,
	}
	client, err := api.NewClient(&api.Config{
		Address: host, Scheme: scheme, Datacenter: e.cfg.Datacenter, Token: string(token),
		HttpClient: &http.Client{Transport: bounded{transport}},
	})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	e.client, e.transport, e.token = client, transport, token
	return nil
}

// failed prepares the next request after one that failed: it has a new client, and another address if this one does not answer.
func (e *endpoint) failed(err error) error {
	status, refused := errors.AsType[api.StatusError](err)
	if refused {
		text := status.Body
		if e.token != "" { // Consul does not repeat it; whatever else answers might
			text = strings.ReplaceAll(text, string(e.token), stars)
		}
		err = &refusal{code: status.Code, text: text[:min(len(text), mostRefusal)]}
	}
	if !refused || status.Code >= http.StatusInternalServerError {
		e.at = (e.at + 1) % len(e.cfg.Addresses)
	}
	e.close()
	return err
}

// close ends the connections.
func (e *endpoint) close() {
	if e.client != nil {
		e.transport.CloseIdleConnections()
		e.client = nil
	}
}

// refusal is an answer other than what was asked for.
type refusal struct {
	code int
	text string
}

// mostRefusal bounds the text of a refusal that is kept.
const mostRefusal = 1 << 10

func (r *refusal) Error() string { return fmt.Sprintf("refused with %d: %s", r.code, r.text) }

// unknown tells whether an agent refused something because it does not know the service or check.
func unknown(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.code == http.StatusNotFound
}

// isRefusal tells whether there was an answer, if not the right one.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

// mostAnswer bounds an answer: 256 nodes have about 1 MiB.
const mostAnswer = 4 << 20

// bounded cuts off what is longer than any answer should be, which then can't be decoded.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // call does
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, mostAnswer), resp.Body}
	return resp, nil
}
