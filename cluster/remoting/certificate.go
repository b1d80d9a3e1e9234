package remoting

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// TLS is how nodes prove to each other who they are. Both sides of a connection show a certificate; it counts if an authority in CA has
// signed it, for servers and clients, and it has a name that is allowed. Host names count for nothing: a node is who its certificate
// says, wherever it is.
type TLS struct {
	// Certificate, Key and CA are files in PEM: this node's certificate with those between it and an authority, its key, and the
	// authorities. They are read again when they have changed.
	Certificate, Key, CA string
	// Allow is which certificates are those of nodes of this cluster, by their alternative names: URIs and DNS names. In a URI * stands for
	// one whole segment of the path, in a name for one label.
	Allow []string
	// Poll is how often to look whether the files have changed. Default 5 s.
	Poll time.Duration
}

const (
	defaultPoll = 5 * time.Second
	// maxFile is the longest file that is read, in bytes.
	maxFile = 1 << 20
)

// proof is what was read from the files.
type proof struct {
	own   tls.Certificate
	roots *x509.CertPool
}

// proofs has what was read last and is good.
type proofs struct {
	files   TLS
	allow   []identity
	now     func() time.Time
	metrics *Metrics
	log     *slog.Logger
	current atomic.Pointer[proof]

	mu   sync.Mutex        // held while files are read
	seen [sha256.Size]byte // of what was read last, good or bad
}

// newProofs reads the files. All mistakes are told at once.
func newProofs(c TLS, now func() time.Time, d Deps) (*proofs, error) {
	p := &proofs{files: c, now: now, metrics: d.Metrics, log: d.Log}
	var errs []error
	for _, s := range c.Allow {
		i, err := parseIdentity(s)
		errs = append(errs, err)
		p.allow = append(p.allow, i)
	}
	if len(c.Allow) == 0 {
		errs = append(errs, errors.New("list of names that are allowed is empty: nobody could connect"))
	}
	if c.Poll < 0 {
		errs = append(errs, fmt.Errorf("setting Poll is %v", c.Poll))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	text, err := p.read()
	if err != nil {
		return nil, err
	}
	p.seen = digest(text, nil)
	return p, p.take(text)
}

// read reads the three files.
func (p *proofs) read() (text [3][]byte, err error) {
	for i, name := range []string{p.files.Certificate, p.files.Key, p.files.CA} {
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

func digest(text [3][]byte, err error) [sha256.Size]byte {
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

// take makes what was read the proof, if it is good: other nodes with the same files would take it.
func (p *proofs) take(text [3][]byte) error {
	own, err := tls.X509KeyPair(text[0], text[1])
	if err != nil {
		return fmt.Errorf("certificate %s and key %s: %w", p.files.Certificate, p.files.Key, err)
	}
	next := &proof{own: own, roots: x509.NewCertPool()}
	if !next.roots.AppendCertsFromPEM(text[2]) {
		return fmt.Errorf("%s has no certificate of an authority", p.files.CA)
	}
	chain, err := parseChain(own.Certificate)
	if err != nil {
		return err
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := p.check(next, chain, usage); err != nil {
			return fmt.Errorf("this node's own certificate %s would be refused: %w", p.files.Certificate, err)
		}
	}
	p.current.Store(next)
	p.metrics.expiry.Set(float64(chain[0].NotAfter.Unix()))
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

// reload reads the files again. It tells whether something has changed for the better; what is bad is told once, and changes nothing.
func (p *proofs) reload() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := p.read()
	seen := digest(text, err)
	if seen == p.seen {
		return false
	}
	p.seen = seen
	if err == nil {
		err = p.take(text)
	}
	if err != nil {
		p.metrics.reloads.WithLabelValues("refused").Inc()
		p.log.Warn("new certificate for other nodes can't be used: the one before stays", "error", err)
		return false
	}
	p.metrics.reloads.WithLabelValues("taken").Inc()
	p.log.Info("certificate for other nodes was read again")
	return true
}

// check says why a certificate does not prove that somebody is a node: no authority stands for it, or it has none of the allowed names.
func (p *proofs) check(by *proof, chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{
		Roots: by.roots, Intermediates: between, CurrentTime: p.now(), KeyUsages: []x509.ExtKeyUsage{usage},
	}); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	_, err := allowed(p.allow, chain[0])
	return err
}

// vet checks the other side of a connection, also of one that has lasted. usage is what it is: a server or a client.
func (p *proofs) vet(usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		return p.check(p.current.Load(), s.PeerCertificates, usage)
	}
}

// server makes what connections to this node are checked with.
func (p *proofs) server() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &p.current.Load().own, nil },
		// The chain is checked by vet, against the authorities of the moment.
		ClientAuth: tls.RequireAnyClientCert, VerifyConnection: p.vet(x509.ExtKeyUsageClientAuth),
	})
}

// client makes what connections to others are checked with.
func (p *proofs) client() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p.current.Load().own, nil },
		// The chain and the name are checked by vet, against the authorities of the moment. A host name says nothing about a node.
		InsecureSkipVerify: true, VerifyConnection: p.vet(x509.ExtKeyUsageServerAuth), //nolint:gosec // see above
	})
}
