package certificates_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// A file that somebody still writes is refused, at the start as later, and taken when it is whole. Text beside what is in it is not.
func TestHalfAFile(t *testing.T) {
	t.Parallel()
	a, b := certificatetest.New(t), certificatetest.New(t)
	n := setup(t, a.Files("127.0.0.1"))
	text := slices.Concat([]byte("One of the authorities:\n"), a.PEM, []byte("-----\nThe other:\n"), b.PEM)
	second := len(text) - len(b.PEM)
	for name, half := range map[string][]byte{
		"in the first line of a block": text[:second+7],
		"behind it":                    text[:second+len("-----BEGIN CERTIFICATE-----\n")],
		"in a block":                   text[:len(text)-len(b.PEM)/2],
		"in its last line":             text[:len(text)-3],
		"its beginning is missing":     append(slices.Clone(a.PEM), b.PEM[len(b.PEM)/2:]...),
		"damage in a block":            slices.Concat(text[:second+100], []byte("!"), text[second+101:]),
	} {
		certificatetest.Write(t, n.files.CA, half)
		if taken, _, err := n.Reload(); taken || err == nil || !strings.Contains(err.Error(), n.files.CA+" is not whole") {
			t.Errorf("%s: taken %v, %v", name, taken, err)
		}
		if _, err := certificates.NewServer(certificates.ServerConfig{Files: n.files}); err == nil || !strings.Contains(err.Error(), n.files.CA) {
			t.Errorf("%s: at the start: %v", name, err)
		}
	}
	stranger := b.Files("stranger")
	as := certificates.Client{CA: a.Files().CA, Certificate: stranger.Certificate, Key: stranger.Key}
	if err := n.asks(as); err == nil {
		t.Error("half a file is in force")
	}
	certificatetest.Write(t, n.files.CA, append(text, "and nobody else"...))
	if taken, _, err := n.Reload(); !taken || err != nil {
		t.Errorf("the whole file: taken %v, %v", taken, err)
	}
	must(t, n.asks(as))
}

// A node whose certificate has expired starts, and says so. That does not keep it from trusting others than before.
func TestExpired(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	n := setup(t, a.Files("127.0.0.1"))
	if err := n.Expired(); err != nil {
		t.Error(err)
	}
	n.rewrite(a, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	old, err := certificates.NewServer(certificates.ServerConfig{Files: n.files})
	must(t, err)
	if err := old.Expired(); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("%v", err)
	}
	certificatetest.Write(t, n.files.CA, slices.Concat(a.PEM, certificatetest.New(t).PEM))
	if taken, _, err := old.Reload(); !taken || err != nil {
		t.Errorf("another authority beside the certificate in use: taken %v, %v", taken, err)
	}
	n.rewrite(a, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	if taken, _, err := old.Reload(); taken || err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("a new certificate that has expired: taken %v, %v", taken, err)
	}
}

func TestMistakesInFiles(t *testing.T) {
	t.Parallel()
	files := certificatetest.New(t).Files("127.0.0.1")
	for want, files := range map[string]certificates.Files{
		"needed both, or none":   {Certificate: files.Certificate},
		"no certificate is name": {CA: files.CA},
		"no such file":           {Certificate: files.Certificate, Key: files.Key, CA: files.CA + "x"},
		"and key ":               {Certificate: files.Certificate, Key: files.Certificate},
	} {
		if _, err := certificates.NewServer(certificates.ServerConfig{Files: files}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", files, err, want)
		}
	}
}
