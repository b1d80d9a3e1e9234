package certificates

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Files names files in PEM. Those that are not named are not read.
type Files struct {
	// Certificate is that of whoever reads the files, with those between it and an authority, and Key is its key. Both or none.
	Certificate, Key string
	// CA has the authorities by whose word the certificates of others count.
	CA string
}

// Any tells whether any file is named.
func (f Files) Any() bool { return f != Files{} }

// names are the files, in the order of texts.
func (f Files) names() [3]string { return [3]string{f.Certificate, f.Key, f.CA} }

// Proof is what was read from files at one time. It does not change.
type Proof struct {
	// Own is the certificate with its key, and Chain the same as it is checked: it comes first. Nil: none is named.
	Own   *tls.Certificate
	Chain []*x509.Certificate
	// Roots are the authorities. Nil: none are named.
	Roots *x509.CertPool
}

const (
	// Poll is how often a store's files are to be looked at.
	Poll = 5 * time.Second
	// maxFile is the longest file that is read, in bytes.
	maxFile = 1 << 20
)

// Store has what was read last and is good. It is safe for concurrent use.
type Store struct {
	files   Files
	check   func(*Proof) error
	current atomic.Pointer[Proof]

	mu   sync.Mutex        // held while files are read
	seen [sha256.Size]byte // of what was read last, good or bad
	bad  bool              // that was bad
}

// texts are what is in the files: certificate, key, authorities.
type texts [3][]byte

// Open reads files. What it finds has to pass check, and so has whatever is found later.
func Open(files Files, check func(*Proof) error) (*Store, error) {
	if (files.Certificate == "") != (files.Key == "") {
		return nil, errors.New("a certificate and its key are needed both, or none")
	}
	s := &Store{files: files, check: check}
	text, err := s.read()
	if err != nil {
		return nil, err
	}
	s.seen = digest(text, nil)
	return s, s.take(text)
}

// Current is what was read last and is good.
func (s *Store) Current() *Proof { return s.current.Load() }

// Reload reads the files again. It tells whether something has changed for the better; what is bad is told once, and changes nothing. It is
// looked at again all the same: a certificate that is not valid yet, as its authority's clock is ahead, will be.
func (s *Store) Reload() (taken bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := s.read()
	seen := digest(text, err)
	same := seen == s.seen
	if same && !s.bad {
		return false, nil
	}
	if err == nil {
		err = s.take(text)
	}
	s.seen, s.bad = seen, err != nil
	if same {
		return err == nil, nil
	}
	return err == nil, err
}

func (s *Store) read() (text texts, err error) {
	for i, name := range s.files.names() {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return text, err //nolint:wrapcheck // a *PathError names operation and path
		case info.Size() > maxFile:
			return text, fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxFile)
		}
		if text[i], err = os.ReadFile(name); err != nil {
			return text, err
		}
	}
	return text, nil
}

// whole says why a file in PEM is not whole, as when somebody still writes it: a block has no end, or can't be read. What is whole of it
// is not all that it is to have. Text beside the blocks is no mistake.
func whole(name string, text []byte) error {
	blocks, begun, ended := 0, 0, 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks++
	}
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, beginning), strings.HasPrefix(beginning, line): // the last one may be cut off
			begun++
		case strings.HasPrefix(line, ending):
			ended++
		}
	}
	if begun != blocks || ended != blocks {
		return fmt.Errorf("%s is not whole: of %d blocks that begin and %d that end, %d can be read", name, begun, ended, blocks)
	}
	return nil
}

// Lines in PEM begin with these.
const (
	beginning = "-----BEGIN "
	ending    = "-----END "
)

func digest(text texts, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte(err.Error()))
	}
	var sums []byte
	for _, t := range text {
		sum := sha256.Sum256(t)
		sums = append(sums, sum[:]...)
	}
	return sha256.Sum256(sums)
}

// take makes what was read the current proof, if it is good.
func (s *Store) take(text texts) error {
	next := &Proof{}
	for i, name := range s.files.names() {
		if err := whole(name, text[i]); err != nil {
			return err
		}
	}
	if s.files.Certificate != "" {
		own, err := tls.X509KeyPair(text[0], text[1])
		if err != nil {
			return fmt.Errorf("certificate %s and key %s: %w", s.files.Certificate, s.files.Key, err)
		}
		next.Own = &own
		if next.Chain, err = parseChain(own.Certificate); err != nil {
			return fmt.Errorf("%s: %w", s.files.Certificate, err)
		}
	}
	if s.files.CA != "" {
		next.Roots = x509.NewCertPool()
		if !next.Roots.AppendCertsFromPEM(text[2]) {
			return fmt.Errorf("%s has no certificate of an authority", s.files.CA)
		}
	}
	if err := s.check(next); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

func parseChain(raw [][]byte) (chain []*x509.Certificate, err error) {
	for _, r := range raw {
		c, err := x509.ParseCertificate(r)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// Verify says why the authorities do not stand for somebody's chain at a time, for a usage.
func (p *Proof) Verify(chain []*x509.Certificate, now time.Time, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{
		Roots: p.Roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	}); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return nil
}
