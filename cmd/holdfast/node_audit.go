package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/actors/audit/recorder"
	"github.com/holdfast-run/holdfast/messages/auditv1"
)

// auditConfig says how a node keeps its audit.
type auditConfig struct {
	recorder.Config

	// KeyFile has the key that signs it; empty: it is not signed.
	KeyFile string
}

func auditFlags(f *pflag.FlagSet, c *nodeConfig) {
	a := &c.Audit
	f.StringVar(&a.KeyFile, "audit-key", "", "`file` with the key that signs the audit: Ed25519, PEM (none: it is not signed)")
	f.DurationVar(&a.Sign, "audit-sign", 0, "how often the head of the audit is signed and logged, if there is something new (1m)")
	f.DurationVar(&a.Keep, "audit-keep", 0, "how long entries of the audit are kept at the least (for good)")
}

// checkAudit says what is wrong with the settings of the audit, and reads the key.
func (c *nodeConfig) checkAudit(flags *pflag.FlagSet) error {
	err := byFlags(c.Audit.Validate(), flags, &c.Audit.Config)
	if c.Audit.KeyFile == "" {
		return err
	}
	key, keyErr := readAuditKey(c.Audit.KeyFile)
	if keyErr != nil {
		return errors.Join(err, fmt.Errorf("--audit-key: %w", keyErr))
	}
	c.Audit.Key = key
	return err
}

var (
	errNoPEM   = errors.New("it is no PEM file")
	errNotEd   = errors.New("its key is not of Ed25519")
	errRestPEM = errors.New("it has more than one key")
)

// readPEM reads the only block of a PEM file.
func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: %w", file, errNoPEM)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, fmt.Errorf("%s: %w", file, errRestPEM)
	}
	return block.Bytes, nil
}

// readAuditKey reads a private key.
func readAuditKey(file string) (ed25519.PrivateKey, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: %w", file, errNotEd)
	}
	return private, nil
}

// readAuditPublic reads a public key.
func readAuditPublic(file string) (ed25519.PublicKey, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s: %w", file, errNotEd)
	}
	return public, nil
}

// aloneChain is the name of the chain of a node that is in no cluster: it keeps it when it starts again.
const aloneChain = "node"

// keepAudit has the node keep its audit from now on.
func (n *node) keepAudit() {
	c := n.config.Audit.Config
	c.Chain, c.Incarnation, c.Version = aloneChain, string(n.journal.Incarnation()), version().Version
	if n.config.Cluster.on() {
		c.Chain = string(n.id)
	}
	n.audit = recorder.Start(c, recorder.Deps{Journal: n.journal, Now: n.now, Log: n.log.With("part", "audit")})
	n.refusals.Store(n.audit)
}

// auditRefused notes that a connection, or a page of the administration, was refused. Before the journal is open, the log and a metric have
// connections alone.
func (n *node) auditRefused(what string, who *auditv1.Caller, why string) {
	if r := n.refusals.Load(); r != nil {
		r.Refused(what, who, why)
	}
}
