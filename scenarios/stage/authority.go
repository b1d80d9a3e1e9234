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
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificates by which the nodes of a cluster know each other.
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
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	return a, a.write("ca.pem", "CERTIFICATE", raw)
}

func (a *authority) write(name, kind string, raw []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
	if err := os.WriteFile(filepath.Join(a.dir, name), text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// settings makes the certificate of a node, and returns the settings by which it uses that, and believes the other nodes.
func (a *authority) settings(name string) ([]string, error) {
	a.signed++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.signed), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "holdfast.test", Path: "/node/" + name}},
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	file := func(name string) string { return filepath.Join(a.dir, name) }
	return []string{
		"--cluster-cert", file(name + ".pem"), "--cluster-key", file(name + ".key"), "--cluster-ca", file("ca.pem"),
		"--cluster-allow", "spiffe://holdfast.test/node/*",
	}, errors.Join(a.write(name+".pem", "CERTIFICATE", raw), a.write(name+".key", "PRIVATE KEY", private))
}
