package http

import (
	"crypto/tls"
	"fmt"
	nethttp "net/http"

	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// transport makes the connections of requests. One of requests that can't be repeated makes a connection for each of them, and speaks
// HTTP/1 there: on a connection that was used before, and with HTTP/2, the standard library sends a request again by itself if it was not
// answered.
func (s *sender) transport(once bool) *nethttp.Transport {
	t := s.exit.Transport(s.config.HostConnections)
	if once {
		t.ForceAttemptHTTP2, t.DisableKeepAlives = false, true
		t.TLSNextProto = map[string]func(string, *tls.Conn) nethttp.RoundTripper{}
	}
	return t
}

// certified are transports with certificates of clients, a few of those used last.
type certified struct {
	sender *sender
	kept   *outbound.Kept[*nethttp.Transport]
}

// maxCertified is how many certificates of clients are used at once.
const maxCertified = 100

func newCertified(s *sender) *certified {
	return &certified{sender: s, kept: outbound.NewKept(maxCertified, func(t *nethttp.Transport) { t.CloseIdleConnections() })}
}

// transport returns the one of a certificate.
func (c *certified) transport(of *outbound.Certificate, once bool) (*nethttp.Transport, error) {
	return c.kept.Get(fmt.Sprintf("%t\x00%s\x00%s", once, of.Certificate, of.Key), func() (*nethttp.Transport, error) {
		pair, err := of.Pair()
		if err != nil {
			return nil, err
		}
		t := c.sender.transport(once)
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
		return t, nil
	})
}
