package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// secured is by what a client or an adapter knows a node, and is known: the files, and what is in them. Nil: neither is.
type secured struct {
	authority, certificate, key string
	config                      *tls.Config
}

// startSecured starts a node that is secured by TLS and knows its callers by certificates, in a folder.
func startSecured(ctx context.Context, st *stage.Stage, dir, holdfast string, settings []string) (*secured, *stage.Node, error) {
	a, err := stage.NewAuthority(dir)
	if err != nil {
		return nil, nil, err
	}
	const caller = "bench"
	certificate, key, err := a.Sign(caller)
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", caller, err)
	}
	access := filepath.Join(dir, "access.yaml")
	roles := fmt.Sprintf("callers: [{name: %s, certificates: [%q], roles: [{role: viewer, namespaces: ['*']}, "+
		"{role: submitter, namespaces: ['*']}, {role: deployer, namespaces: ['*'], activities: ['*']}, {role: adapter, activities: ['*']}]}]\n",
		caller, stage.NamesBegin+caller)
	if err := os.WriteFile(access, []byte(roles), 0o600); err != nil {
		return nil, nil, fmt.Errorf("say who has which role: %w", err)
	}
	node, err := st.StartSecureNode(ctx, a, holdfast, false,
		append(settings, "--access", access, "--tls-client-ca", a.CA(), "--admin-tls-client-ca", a.CA())...)
	if err != nil {
		return nil, nil, err
	}
	node.Identify(pair)
	return &secured{
		authority: a.CA(), certificate: certificate, key: key,
		config: &tls.Config{RootCAs: a.Roots(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
	}, node, nil
}

// env is what has an adapter use them.
func (s *secured) env() []string {
	if s == nil {
		return nil
	}
	return []string{adapters.CAEnv + "=" + s.authority, adapters.CertEnv + "=" + s.certificate, adapters.KeyEnv + "=" + s.key}
}

// tls has a client use them.
func (s *secured) tls() *tls.Config {
	if s == nil {
		return nil
	}
	return s.config
}
