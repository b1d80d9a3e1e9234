package stage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
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

// authority signs the certificates by which the nodes of a cluster know each other, or clients a node.
type authority struct {
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	signed int64
}

// certificateLife is how long certificates are good for, longer than any scenario.
const certificateLife = 24 * time.Hour

// newAuthority makes an authority, with its files in a folder.
func newAuthority(dir string) (*authority, error) {
	a := &authority{dir: dir}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("key of the authority: %w", err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a stage"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(certificateLife),
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

func (a *authority) write(name, kind string, raw []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
	if err := os.WriteFile(a.file(name), text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// settings makes the certificate of a node, and returns the settings by which it uses that, and believes the other nodes.
func (a *authority) settings(name string) ([]string, error) {
	err := a.sign(name, &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "holdfast.test", Path: "/node/" + name}}})
	return []string{
		"--cluster-cert", a.file(name + ".pem"), "--cluster-key", a.file(name + ".key"), "--cluster-ca", a.file("ca.pem"),
		"--cluster-allow", "spiffe://holdfast.test/node/*",
	}, err
}

// ofListeners makes the certificate of a node's listeners on this host, and returns the settings by which it uses that.
func (a *authority) ofListeners() ([]string, error) {
	const name = "listeners"
	err := a.sign(name, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	return []string{
		"--tls-cert", a.file(name + ".pem"), "--tls-key", a.file(name + ".key"),
		"--admin-tls-cert", a.file(name + ".pem"), "--admin-tls-key", a.file(name + ".key"),
	}, err
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign makes a certificate with the names that are given in one, and its key.
func (a *authority) sign(name string, cert *x509.Certificate) error {
	a.signed++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("key of %s: %w", name, err)
	}
	cert.SerialNumber, cert.NotBefore, cert.NotAfter = big.NewInt(1+a.signed), a.cert.NotBefore, a.cert.NotAfter
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	raw, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("key of %s: %w", name, err)
	}
	return errors.Join(a.write(name+".pem", "CERTIFICATE", raw), a.write(name+".key", "PRIVATE KEY", private))
}
