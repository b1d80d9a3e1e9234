package load

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// secured are the files by which a client or an adapter knows a node, and is known. Nil: neither is.
type secured struct{ authority, certificate, key string }

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
	access := filepath.Join(dir, "access.yaml")
	roles := fmt.Sprintf("callers: [{name: %s, certificates: [%q], roles: [{role: submitter, namespaces: ['*']}, "+
		"{role: deployer, namespaces: ['*'], activities: ['*']}, {role: adapter, activities: ['*']}]}]\n", caller, stage.NamesBegin+caller)
	if err := os.WriteFile(access, []byte(roles), 0o600); err != nil {
		return nil, nil, fmt.Errorf("say who has which role: %w", err)
	}
	node, err := st.StartSecureNode(ctx, a, holdfast, false, append(settings, "--access", access, "--tls-client-ca", a.CA())...)
	return &secured{authority: a.CA(), certificate: certificate, key: key}, node, err
}

// env is what has an adapter use them.
func (s *secured) env() []string {
	if s == nil {
		return nil
	}
	return []string{adapters.CAEnv + "=" + s.authority, adapters.CertEnv + "=" + s.certificate, adapters.KeyEnv + "=" + s.key}
}

// files has a client use them.
func (s *secured) files() *certificates.Client {
	if s == nil {
		return nil
	}
	return &certificates.Client{CA: s.authority, Certificate: s.certificate, Key: s.key}
}
