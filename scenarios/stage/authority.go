package stage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Authority signs certificates: those by which the nodes of a cluster know each other, and those of nodes and their callers.
type Authority struct {
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	signed int64
}

// NamesBegin is how the names in certificates begin, and allNodes the pattern of all.
const (
	NamesBegin = "spiffe://holdfast.test/node/"
	allNodes   = NamesBegin + "*"
)

// certificateLife is how long certificates are good for, longer than any scenario.
const certificateLife = 24 * time.Hour

// NewAuthority makes an authority, with its files in a folder.
func NewAuthority(dir string) (*Authority, error) {
	a := &Authority{dir: dir}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("key of the authority: %w", err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(raw); err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	return a, a.write("ca.pem", "CERTIFICATE", raw)
}

func (a *Authority) write(name, kind string, raw []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
	if err := os.WriteFile(filepath.Join(a.dir, name), text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// CA is the file with the authority's certificate.
func (a *Authority) CA() string { return filepath.Join(a.dir, "ca.pem") }

// Roots is the authority as one that is believed.
func (a *Authority) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return roots
}

// Sign makes a certificate, for both ends of connections on this machine, and returns the files with it and with its key. It bears a name,
// and those of hosts.
func (a *Authority) Sign(name string, hosts ...string) (certificate, private string, err error) {
	a.signed++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("key of %s: %w", name, err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.signed), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "holdfast.test", Path: "/node/" + name}}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: hosts,
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		return "", "", fmt.Errorf("certificate of %s: %w", name, err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", fmt.Errorf("key of %s: %w", name, err)
	}
	err = errors.Join(a.write(name+".pem", "CERTIFICATE", raw), a.write(name+".key", "PRIVATE KEY", encoded))
	return filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key"), err
}

// settings makes the certificate of a node, and returns the settings by which it uses that, and believes the other nodes.
func (a *Authority) settings(name string) ([]string, error) {
	certificate, private, err := a.Sign(name)
	return []string{
		"--cluster-cert", certificate, "--cluster-key", private, "--cluster-ca", a.CA(), "--cluster-allow", allNodes,
	}, err
}

// ofListeners makes the certificate of a node's listeners, and returns the settings by which it uses that.
func (a *Authority) ofListeners() ([]string, error) {
	certificate, private, err := a.Sign("listeners")
	return []string{
		"--tls-cert", certificate, "--tls-key", private, "--admin-tls-cert", certificate, "--admin-tls-key", private,
	}, err
}
