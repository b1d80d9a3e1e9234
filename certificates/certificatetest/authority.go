package certificatetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/certificates"
)

// Authority signs certificates.
type Authority struct {
	// PEM is its own certificate.
	PEM []byte

	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority.
func New(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, key: newKey(tb)}
	draft := draftOf(tb, "authority of "+tb.Name())
	draft.IsCA, draft.BasicConstraintsValid, draft.KeyUsage = true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, draft, draft, a.key.Public(), a.key)
	must(tb, err)
	a.cert, err = x509.ParseCertificate(raw)
	must(tb, err)
	a.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	return a
}

// Issue makes the certificate and key of somebody with names: IP addresses, URIs and DNS names. change may change the draft; nil: nothing
// is changed.
func (a *Authority) Issue(change func(*x509.Certificate), names ...string) (cert, key []byte) {
	a.tb.Helper()
	k, draft := newKey(a.tb), draftOf(a.tb, "somebody")
	draft.KeyUsage = x509.KeyUsageDigitalSignature
	draft.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			draft.IPAddresses = append(draft.IPAddresses, ip)
		} else if u, err := url.Parse(name); err == nil && u.Scheme != "" {
			draft.URIs = append(draft.URIs, u)
		} else {
			draft.DNSNames = append(draft.DNSNames, name)
		}
	}
	if change != nil {
		change(draft)
	}
	raw, err := x509.CreateCertificate(rand.Reader, draft, a.cert, k.Public(), a.key)
	must(a.tb, err)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	must(a.tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Files makes a certificate for names, and writes it, its key, and the authority's own certificate to a folder.
func (a *Authority) Files(names ...string) certificates.Files {
	a.tb.Helper()
	dir := a.tb.TempDir()
	files := certificates.Files{
		Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "ca.pem"),
	}
	a.Rewrite(files, nil, []*Authority{a}, names...)
	return files
}

// Rewrite writes files anew: a certificate of this authority for names, and trust in some authorities.
func (a *Authority) Rewrite(files certificates.Files, change func(*x509.Certificate), trusted []*Authority, names ...string) {
	a.tb.Helper()
	cert, key := a.Issue(change, names...)
	var roots []byte
	for _, t := range trusted {
		roots = slices.Concat(roots, t.PEM)
	}
	Write(a.tb, files.Certificate, cert)
	Write(a.tb, files.Key, key)
	Write(a.tb, files.CA, roots)
}

// Write writes a file, unless it has no name.
func Write(tb testing.TB, name string, text []byte) {
	tb.Helper()
	if name != "" {
		must(tb, os.WriteFile(name, text, 0o600))
	}
}

func draftOf(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	number, err := rand.Int(rand.Reader, big.NewInt(math.MaxInt64))
	must(tb, err)
	return &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	return k
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
