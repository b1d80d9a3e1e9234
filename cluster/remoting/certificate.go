package remoting

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/holdfast-run/holdfast/certificates"
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

// proofs has what was read last and is good.
type proofs struct {
	*certificates.Store

	own     string // the file
	allow   []identity
	now     func() time.Time
	metrics *Metrics
	log     *slog.Logger
}

// newProofs reads the files. All mistakes are told at once.
func newProofs(c TLS, now func() time.Time, d Deps) (*proofs, error) {
	p := &proofs{own: c.Certificate, now: now, metrics: d.Metrics, log: d.Log}
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
	var err error
	p.Store, err = certificates.Open(certificates.Files{Certificate: c.Certificate, Key: c.Key, CA: c.CA}, p.good)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return p, nil
}

// good says why what was read is no proof: other nodes with the same files would not take it.
func (p *proofs) good(next *certificates.Proof) error {
	if next.Own == nil || next.Roots == nil {
		return errors.New("certificate, key and authorities must be given")
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := p.check(next, next.Chain, usage); err != nil {
			return fmt.Errorf("this node's own certificate %s would be refused: %w", p.own, err)
		}
	}
	p.metrics.expiry.Set(float64(next.Chain[0].NotAfter.Unix()))
	return nil
}

// reload reads the files again. It tells whether something has changed for the better; what is bad is told once, and changes nothing.
func (p *proofs) reload() bool {
	taken, err := p.Reload()
	switch {
	case err != nil:
		p.metrics.reloads.WithLabelValues("refused").Inc()
		p.log.Warn("new certificate for other nodes can't be used: the one before stays", "error", err)
	case taken:
		p.metrics.reloads.WithLabelValues("taken").Inc()
		p.log.Info("certificate for other nodes was read again")
	}
	return taken
}

// check says why a certificate does not prove that somebody is a node: no authority stands for it, or it has none of the allowed names.
func (p *proofs) check(by *certificates.Proof, chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if err := by.Verify(chain, p.now(), usage); err != nil {
		return err
	}
	_, err := allowed(p.allow, chain[0])
	return err
}

// vet checks the other side of a connection, also of one that has lasted. usage is what it is: a server or a client.
func (p *proofs) vet(usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		return p.check(p.Current(), s.PeerCertificates, usage)
	}
}

// server makes what connections to this node are checked with.
func (p *proofs) server() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.Current().Own, nil },
		// The chain is checked by vet, against the authorities of the moment.
		ClientAuth: tls.RequireAnyClientCert, VerifyConnection: p.vet(x509.ExtKeyUsageClientAuth),
	})
}

// client makes what connections to others are checked with.
func (p *proofs) client() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.Current().Own, nil },
		// The chain and the name are checked by vet, against the authorities of the moment. A host name says nothing about a node.
		InsecureSkipVerify: true, VerifyConnection: p.vet(x509.ExtKeyUsageServerAuth), //nolint:gosec // see above
	})
}
