package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/holdfast-run/holdfast/adapters/sealed"
)

// Exit is the way by which the requests of an adapter go out. Its methods are safe for concurrent use.
type Exit struct {
	Config  Config
	Allowed *Allowed
	// Roots are the certificates that those of servers must be signed by; nil: the system's.
	Roots *x509.CertPool
	// Plain sends what needs no certificate of a client, such as the requests for tokens.
	Plain *http.Transport
	// Now tells the time.
	Now func() time.Time

	gates  *gates
	tokens *tokens
}

// New makes an exit of settings that have their defaults, with so many connections to one host. An error says everything that is wrong with
// the settings.
func New(c Config, connections int) (*Exit, error) {
	allowed, err := newAllowed(c)
	if err := errors.Join(c.Validate(), err); err != nil {
		return nil, err
	}
	roots, err := trusted(c.CA)
	if err != nil {
		return nil, err
	}
	e := &Exit{Config: c, Allowed: allowed, Roots: roots, Now: time.Now, gates: newGates(), tokens: newTokens()}
	e.Plain = e.Transport(connections)
	return e, nil
}

// trusted reads the certificates of a file, beside the system's.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificates to trust: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the certificates to trust: %s has none in PEM", file)
	}
	return pool, nil
}

// TLS says how servers are verified. Each call returns another one.
func (e *Exit) TLS() *tls.Config { return &tls.Config{RootCAs: e.Roots, MinVersion: tls.VersionTLS12} }

// Transport makes connections for HTTP, so many to one host.
func (e *Exit) Transport(connections int) *http.Transport {
	t := &http.Transport{
		DialContext: e.Allowed.Dial, ForceAttemptHTTP2: true, TLSClientConfig: e.TLS(),
		TLSHandshakeTimeout: DialTimeout, IdleConnTimeout: e.Config.Idle, ExpectContinueTimeout: time.Second,
		MaxIdleConns: 10 * connections, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections,
		MaxResponseHeaderBytes: MaxHeaders,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: DialTimeout},
	}
	if u, err := url.Parse(e.Config.Proxy); err == nil && e.Config.Proxy != "" {
		t.Proxy = http.ProxyURL(u)
	}
	return t
}

// pingAfter is how long nothing may come on a connection of HTTP/2 before it is asked whether it still is one.
const pingAfter = 30 * time.Second

// MaxHeaders is the longest header of an answer, in bytes.
const MaxHeaders = 64 << 10

// Invalid is the error of a request that can't be sent as it is.
func Invalid(format string, args ...any) error {
	return sealed.Invalid("Request is not valid", format, args...)
}

// Forbidden is the error of a request that may not be sent.
func Forbidden(format string, args ...any) error {
	return sealed.Forbidden("Request is not allowed", format, args...)
}
