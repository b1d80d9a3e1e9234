package rude

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/http2"
)

// Authority signs certificates of servers, also such as nobody should believe.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority() (*Authority, error) {
	a := &Authority{}
	own := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	pair, err := a.sign(own, time.Hour)
	if err == nil {
		a.cert, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	key, is := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !is {
		return nil, fmt.Errorf("make an authority: its key is a %T", pair.PrivateKey) //nolint:err113 // it can't be
	}
	a.key = key
	return a, nil
}

// Write writes the authority's certificate to a file, PEM.
func (a *Authority) Write(file string) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write the authority's certificate: %w", err)
	}
	return nil
}

// Of makes the TLS of a server at an address, whose certificate is good from now on for so long; if that is negative, it is over.
func (a *Authority) Of(address string, life time.Duration) (*tls.Config, error) {
	c := &x509.Certificate{
		IPAddresses: []net.IP{net.ParseIP(address)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	pair, err := a.sign(c, life)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", address, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// sign completes a certificate, which an authority that has none yet signs with its own key.
func (a *Authority) sign(c *x509.Certificate, life time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("draw a number: %w", err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = serial, time.Now().Add(-24*time.Hour), time.Now().Add(life)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, nil
}

// Over has a manner that is shown behind TLS, to those who accept that.
func Over(config *tls.Config, m Manner) Manner {
	return func(v *Visit) {
		conn := tls.Server(v.Conn, config)
		if conn.Handshake() != nil { //nolint:noctx // the server closes the connection when it is closed
			return
		}
		v.Conn = conn
		m(v)
	}
}

// HTTP2 speaks HTTP/2, behind TLS, where a handler answers.
func HTTP2(config *tls.Config, handle http.HandlerFunc) Manner {
	config = config.Clone()
	config.NextProtos = []string{http2.NextProtoTLS}
	return Over(config, func(v *Visit) {
		counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.Came()
			handle(w, r)
		})
		//nolint:staticcheck // there is a connection, and no listener
		(&http2.Server{}).ServeConn(v.Conn, &http2.ServeConnOpts{Handler: counting})
	})
}
