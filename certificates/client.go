package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Errors of a connection whose two ends don't agree whether it is secured.
var (
	ErrNeedsTLS = errors.New("the node speaks TLS, and this client plain text")
	ErrNoTLS    = errors.New("the node speaks plain text, and this client TLS")
)

// Client is how somebody who connects to nodes knows that they are nodes, and proves to them who he is. The files are looked at when a
// connection is made, every 5 s at most, and taken when they have changed.
type Client struct {
	// CA is a file with the authorities that sign the certificates of nodes. Default: those of the system.
	CA string
	// Certificate and Key are files with what is shown to nodes that ask for it. Both or none, the default.
	Certificate, Key string
	// ServerName is a name that the certificates of all nodes have. Default: each has the name, or the IP address, at which it is reached.
	ServerName string
	// Bad is told when files have changed that can't be used: those before are used on. Default: nobody is told.
	Bad func(error)
}

// Credentials reads the files, and makes of them what secures connections.
func (c Client) Credentials() (credentials.TransportCredentials, error) {
	store, err := Open(Files{Certificate: c.Certificate, Key: c.Key, CA: c.CA}, func(*Proof) error { return nil })
	if err != nil {
		return nil, err
	}
	return &dialing{
		TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, ServerName: c.ServerName}),
		files:                &looked{Store: store, bad: c.Bad, last: time.Now()}, name: c.ServerName,
	}, nil
}

// looked is a store whose files are looked at by whoever needs them.
type looked struct {
	*Store

	bad func(error)

	mu   sync.Mutex
	last time.Time
}

// proof is what is in the files.
func (l *looked) proof() *Proof {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.last) >= Poll {
		l.last = now
		if _, err := l.Reload(); err != nil && l.bad != nil {
			l.bad(err)
		}
	}
	return l.Current()
}

// dialing secures connections to nodes.
type dialing struct {
	credentials.TransportCredentials // that tells of itself

	files *looked
	name  string
}

// ClientHandshake implements credentials.TransportCredentials.
func (d *dialing) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	p := d.files.proof()
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: p.Roots}
	if p.Own != nil {
		// A certificate is shown whichever authorities the node names: it says itself why it refuses one.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.Own, nil }
	}
	if d.name != "" {
		authority = d.name
	}
	secured, info, err := credentials.NewTLS(config).ClientHandshake(ctx, authority, c)
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		err = ErrNoTLS
	}
	return secured, info, err
}

// Clone implements credentials.TransportCredentials.
func (d *dialing) Clone() credentials.TransportCredentials {
	return &dialing{d.TransportCredentials.Clone(), d.files, d.name}
}

// Plaintext is how connections are made that are not secured: it tells when the other side wants that.
func Plaintext() credentials.TransportCredentials { return plaintext{insecure.NewCredentials()} }

type plaintext struct {
	credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (p plaintext) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, c)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it stands for what it wraps
	}
	return &unsecured{Conn: c}, plainInfo{AuthInfo: info, to: c.RemoteAddr()}, nil
}

// plainInfo is what is known of a connection that is not secured.
type plainInfo struct {
	credentials.AuthInfo

	to net.Addr
}

// StaysHere tells whether the connection does not leave this machine, so that nobody else reads what goes over it.
func (p plainInfo) StaysHere() bool {
	switch a := p.to.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// GetCommonAuthInfo tells gRPC that the connection is not secured.
func (plainInfo) GetCommonAuthInfo() credentials.CommonAuthInfo {
	return credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}
}

// Clone implements credentials.TransportCredentials.
func (p plaintext) Clone() credentials.TransportCredentials {
	return plaintext{p.TransportCredentials.Clone()}
}

// unsecured is a connection to a node that may want to speak TLS.
type unsecured struct {
	net.Conn

	begun bool
}

// Read implements net.Conn.
func (u *unsecured) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if n > 0 && !u.begun {
		u.begun = true
		if b[0] == recordAlert || b[0] == answerInHTTP1[0] { // a frame of HTTP/2 begins with its length, which is not as long
			return 0, ErrNeedsTLS
		}
	}
	return n, err //nolint:wrapcheck // it stands for what it wraps
}

// valid says why a certificate is not valid at a time; nil: it is.
func valid(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("certificate has expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("certificate is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
