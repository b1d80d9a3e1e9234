package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/certificates"
)

// listenerTLS says how a listener is secured. Without a certificate it is not: that is for loopback addresses, where nobody else reads or
// speaks.
type listenerTLS struct {
	// Files has the certificate that clients are shown. With a CA, they have to show one that an authority in it has signed.
	certificates.Files

	// Plaintext lets a listener without a certificate be reached from other machines: something else secures the way there.
	Plaintext bool
}

func tlsFlags(f *pflag.FlagSet, c *nodeConfig) {
	for _, l := range c.listeners() {
		l.flags(f)
	}
}

// clientListener is a listener for others: one of a node's, or that for events by HTTP.
type clientListener struct {
	// name is for people, prefix begins the names of its flags, and clients are who connect to it.
	name, prefix, clients string
	address               string
	tls                   *listenerTLS
}

// flags are those that say how the listener is secured.
func (l clientListener) flags(f *pflag.FlagSet) {
	f.StringVar(&l.tls.Certificate, l.prefix+"tls-cert", "", "`file` with the certificate that "+l.name+" shows")
	f.StringVar(&l.tls.Key, l.prefix+"tls-key", "", "`file` with its key")
	f.StringVar(&l.tls.CA, l.prefix+"tls-client-ca", "",
		"`file` with the authorities that sign the certificates of "+l.clients+", who must have one then")
	f.BoolVar(&l.tls.Plaintext, l.prefix+"plaintext", false,
		"take what comes to "+l.name+" without TLS from other machines, too: anybody on the way can read and change it")
}

func (c *nodeConfig) listeners() [2]clientListener {
	return [...]clientListener{
		{"the API", "", "clients and adapters", c.Listen, &c.TLS},
		{"the administration", "admin-", "operators", c.Admin, &c.AdminTLS},
	}
}

// checkTLS says what is wrong with how the listeners are secured.
func (c *nodeConfig) checkTLS() error {
	var errs []error
	for _, l := range c.listeners() {
		errs = append(errs, l.check(c.Access != ""))
	}
	return errors.Join(errs...)
}

// check says what is wrong with how a listener is secured. asked: whoever calls is asked who he is.
func (l clientListener) check(asked bool) error {
	cert, key, ca, plain := "--"+l.prefix+"tls-cert", "--"+l.prefix+"tls-key", "--"+l.prefix+"tls-client-ca", "--"+l.prefix+"plaintext"
	given := l.tls.Certificate != "" || l.tls.Key != ""
	switch {
	case given && (l.tls.Certificate == "" || l.tls.Key == ""):
		return fmt.Errorf("%s and %s must be given both, or none", cert, key)
	case given && l.tls.Plaintext:
		return fmt.Errorf("%s and %s are given, and only one can hold for %s", cert, plain, l.name)
	case !given && l.tls.CA != "":
		return fmt.Errorf("%s is given without %s and %s", ca, cert, key)
	case !given && !l.tls.Plaintext && !onLoopback(l.address):
		return fmt.Errorf("--%slisten is %s, and other machines may reach that: give %s and %s, with %s if only %s may connect who have a "+
			"certificate; or %s, if something else secures the way, such as a service mesh", l.prefix, l.address, cert, key, ca, l.clients, plain)
	case given && l.tls.CA == "" && !asked && !onLoopback(l.address):
		return fmt.Errorf("--%slisten is %s, and other machines may reach that without being asked who they are: give %s, so that only %s "+
			"connect who have a certificate, or --access, which says who may do what", l.prefix, l.address, ca, l.clients)
	}
	return nil
}

// onLoopback tells whether only this machine reaches what listens at an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // to listen there fails, with a better reason
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// secured is a listener that shows a certificate.
type secured struct {
	*certificates.Server

	of clientListener
	// optional lets clients in that show no certificate: they may be known by something else, or be refused later.
	optional bool
	// protocols are those of ALPN.
	protocols []string
	log       *slog.Logger
	expiry    prometheus.Gauge
	reloads   *prometheus.CounterVec // by outcome
	refused   prometheus.Counter
	told      seldom
	// audit is told of each that was refused.
	audit func(from net.Addr, why string)
}

// secureListeners reads the certificates of the listeners that have some, and looks whether they change until the function is called that
// it returns.
func (n *node) secureListeners(ctx context.Context) (func(), error) {
	metrics := newTLSMetrics(n.registry)
	var all []*secured
	for i, l := range n.config.listeners() {
		warnOfListener(n.log, l)
		if l.tls.Certificate == "" {
			continue
		}
		s := metrics.secured([...]string{"public", "admin"}[i], l, n.log)
		// Operators without a certificate may see how the node is: so they are refused once it is known what they want.
		s.protocols, s.optional = [...][]string{{"h2"}, {"h2", "http/1.1"}}[i], n.access != nil || i == 1
		s.audit = func(from net.Addr, why string) {
			n.auditRefused("connection to "+l.name, access.IdentityOf(nil, nil, from.String()).Noted(), why)
		}
		if err := s.open(); err != nil {
			return nil, err
		}
		all = append(all, s)
		*[...]**secured{&n.public, &n.administration}[i] = s
	}
	if n.public != nil && n.config.Cluster.on() {
		n.public.checkName(n.config.Cluster.complete(n.config.Listen).Announcement.Public)
	}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { n.look(ctx, all) })
	return func() {
		cancel()
		looking.Wait()
	}, nil
}

// tlsMetrics are those of listeners that show a certificate.
type tlsMetrics struct {
	expiry           *prometheus.GaugeVec
	reloads, refused *prometheus.CounterVec
}

func newTLSMetrics(registry *prometheus.Registry) *tlsMetrics {
	labels := []string{"listener"}
	m := &tlsMetrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_tls_certificate_expiry_seconds", Help: "When the certificate expires that clients are shown, in seconds since 1970.",
		}, labels),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_tls_certificate_reloads_total", Help: "Changes of certificates that were taken, or refused because they are bad.",
		}, append(labels, "outcome")),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_tls_refused_total", Help: "Connections that were refused: not secured, or without the certificate that is asked for.",
		}, labels),
	}
	registry.MustRegister(m.expiry, m.reloads, m.refused)
	return m
}

// secured makes what secures a listener, which has the word in metrics and the log. It is to be opened.
func (m *tlsMetrics) secured(word string, l clientListener, log *slog.Logger) *secured {
	return &secured{
		of: l, log: log.With("part", "tls", "listener", word), expiry: m.expiry.WithLabelValues(word),
		reloads: m.reloads.MustCurryWith(prometheus.Labels{"listener": word}), refused: m.refused.WithLabelValues(word),
		audit: func(net.Addr, string) {},
	}
}

// warnOfListener tells of a listener that other machines reach, and that is not secured.
func warnOfListener(log *slog.Logger, l clientListener) {
	switch {
	case onLoopback(l.address):
	case l.tls.Certificate == "":
		log.Warn("PLAINTEXT: connections from other machines are not secured: whoever is on the way can read and change what is said",
			"listener", l.name, "address", l.address, "setting", "--"+l.prefix+"plaintext")
	}
}

// look reads certificates, and what callers may do, again when they have changed.
func (n *node) look(ctx context.Context, all []*secured) {
	every := time.NewTicker(certificates.Poll)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			for _, s := range all {
				s.reload()
			}
			n.reviewAccess(ctx)
		}
	}
}

func (s *secured) open() error {
	var err error
	s.Server, err = certificates.NewServer(certificates.ServerConfig{
		Files: s.of.tls.Files, Optional: s.optional, Protocols: s.protocols, Refused: s.refuse,
	})
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", s.of.name, err)
	}
	s.show()
	return nil
}

// show tells which certificate is shown.
func (s *secured) show() {
	leaf := s.Leaf()
	s.expiry.Set(float64(leaf.NotAfter.Unix()))
	if err := s.Expired(); err != nil {
		s.log.Error("no client will take the certificate: replace it", "error", err)
		return
	}
	s.log.Info("certificate was read", "names", leaf.DNSNames, "addresses", leaf.IPAddresses, "expires", leaf.NotAfter.UTC())
}

// checkName warns if clients are told to reach the node by a name that its certificate does not have.
func (s *secured) checkName(announced string) {
	host, _, err := net.SplitHostPort(announced)
	if err == nil {
		err = s.Leaf().VerifyHostname(host)
	}
	if err != nil {
		s.log.Warn("clients and adapters are told to reach this node where its certificate has no name: they need one name of all nodes",
			"announced", announced, "setting", "--advertise-api", "error", err)
	}
}

// reload reads the certificate again, if it has changed, and ends connections of clients whose own has expired.
func (s *secured) reload() {
	taken, ended, err := s.Reload()
	switch {
	case err != nil:
		s.reloads.WithLabelValues("refused").Inc()
		s.log.Error("new certificate can't be used: the one before stays", "error", err)
	case taken:
		s.reloads.WithLabelValues("taken").Inc()
		s.show()
	}
	if ended > 0 {
		s.log.Info("connections were ended: their clients are not trusted any more, or their certificates have expired", "connections", ended)
	}
}

// refuse counts a connection that was refused, and tells of it, now and then.
func (s *secured) refuse(from net.Addr, err error) {
	s.refused.Inc()
	s.audit(from, err.Error())
	if untold, yes := s.told.tells(); yes {
		s.log.Warn("connection was refused", "from", from.String(), "error", err, "untold_before", untold)
	}
}
