package http

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/url"
	"os"
	"time"
)

// roots are the certificates that those of servers must be signed by; nil: the system's.
type roots *x509.CertPool

// trusted reads the certificates of a file, beside the system's.
func trusted(file string) (roots, error) {
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

// transport makes the connections of requests. One of requests that can't be repeated makes a connection for each of them, and speaks
// HTTP/1 there: on a connection that was used before, and with HTTP/2, the standard library sends a request again by itself if it was not
// answered.
func (s *sender) transport(once bool) *nethttp.Transport {
	t := &nethttp.Transport{
		DialContext: s.allowed.dial, ForceAttemptHTTP2: !once, DisableKeepAlives: once,
		TLSClientConfig:     &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: s.config.Idle, ExpectContinueTimeout: time.Second,
		MaxIdleConns: 10 * s.config.HostConnections, MaxIdleConnsPerHost: s.config.HostConnections, MaxConnsPerHost: s.config.HostConnections,
		MaxResponseHeaderBytes: maxHeaders,
		HTTP2:                  &nethttp.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: dialTimeout},
	}
	if once {
		t.TLSNextProto = map[string]func(string, *tls.Conn) nethttp.RoundTripper{}
	}
	if u, err := url.Parse(s.config.Proxy); err == nil && s.config.Proxy != "" {
		t.Proxy = nethttp.ProxyURL(u)
	}
	return t
}

// pingAfter is how long nothing may come on a connection of HTTP/2 before it is asked whether it still is one.
const pingAfter = 30 * time.Second

// maxHeaders is the longest header of an answer, in bytes.
const maxHeaders = 64 << 10

// errNoCertificate is what is wrong with a secret that should be a certificate.
var errNoCertificate = errors.New(`it must be an object with "certificate" and "key", both PEM`)

// certified are transports with certificates of clients, a few of those used last.
type certified struct {
	sender *sender
	kept   *kept[*nethttp.Transport]
}

// maxCertified is how many certificates of clients are used at once.
const maxCertified = 100

func newCertified(s *sender) *certified {
	return &certified{sender: s, kept: newKept(maxCertified, func(t *nethttp.Transport) { t.CloseIdleConnections() })}
}

// transport returns the one of a certificate.
func (c *certified) transport(certificate, key string, once bool) (*nethttp.Transport, error) {
	return c.kept.get(fmt.Sprintf("%t\x00%s\x00%s", once, certificate, key), func() (*nethttp.Transport, error) {
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			return nil, errNoCertificate // the reason might hold some of it
		}
		t := c.sender.transport(once)
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
		return t, nil
	})
}
