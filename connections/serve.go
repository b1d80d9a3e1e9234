package connections

import (
	"net"

	"google.golang.org/grpc/credentials"
)

// Credentials has the connections metered that credentials secure, or leave as they are.
func (b *Bounds) Credentials(of credentials.TransportCredentials) credentials.TransportCredentials {
	return metered{of, b}
}

type metered struct {
	credentials.TransportCredentials

	b *Bounds
}

// ServerHandshake implements credentials.TransportCredentials.
func (m metered) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := m.TransportCredentials.ServerHandshake(c)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it stands for what it wraps
	}
	return m.b.meter(secured), info, nil
}

// Clone implements credentials.TransportCredentials.
func (m metered) Clone() credentials.TransportCredentials {
	return metered{m.TransportCredentials.Clone(), m.b}
}

// Metered has the connections metered that a listener takes. Below it are TLS, if there is, and Listener.
func (b *Bounds) Metered(l net.Listener) net.Listener { return meteredListener{l, b} }

type meteredListener struct {
	net.Listener

	b *Bounds
}

// Accept implements net.Listener.
func (l meteredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // it stands for what it wraps
	}
	return l.b.meter(c), nil
}
