package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// roleCaller is somebody who calls, known by a token or by a certificate, or not.
type roleCaller struct {
	name string
	// role is what the caller has, in its own namespace or everywhere; empty: none, as it is not known.
	role       string
	everywhere bool
	token      string
	// certificate is what its connections show; nil: none.
	certificate *tls.Certificate
}

// rolesAudience is whom the tokens of the issuer are for.
const rolesAudience = "holdfast"

// roleCast is everybody who calls, and what the node is told of them.
type roleCast struct {
	dir     string
	signer  *stage.Authority
	issuer  *mockoidc.MockOIDC
	file    strings.Builder
	root    *roleCaller
	callers []*roleCaller
	// foreign is a certificate of an authority that the node does not know.
	foreign *tls.Certificate
}

// castRoles makes everybody, the issuer among them, which is to be ended.
func castRoles(ctx context.Context, dir string, everyWay bool) (*roleCast, error) {
	c := &roleCast{dir: dir}
	var err error
	if c.signer, err = stage.NewAuthority(dir); err != nil {
		return nil, err
	}
	if c.issuer, err = mockoidc.NewServer(nil); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if err := c.issuer.Start(l, nil); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	fmt.Fprintf(&c.file, "issuers: [{url: %q, audience: %s}]\ncallers:\n", c.issuer.Issuer(), rolesAudience)
	c.root = c.add("root", "{role: administrator, namespaces: ['*']}", "")
	c.root.role, c.root.everywhere = roleAdministrator, true
	for _, role := range allRoles() {
		if err := c.addRole(role, everyWay); err != nil {
			return nil, err
		}
	}
	if err := c.addUnknown(); err != nil {
		return nil, err
	}
	return c, os.WriteFile(c.accessFile(), []byte(c.file.String()), 0o600) //nolint:wrapcheck // it names the file
}

func (c *roleCast) end() {
	if c.issuer != nil {
		_ = c.issuer.Shutdown() // the process ends
	}
}

func (c *roleCast) accessFile() string { return filepath.Join(c.dir, "access.yaml") }

// newSecret makes a token as operators do.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return "hf_" + base64.RawURLEncoding.EncodeToString(b)
}

// add adds a caller to the file: known by a token, by a certificate of that name, and by the claim to be in a group of that name.
func (c *roleCast) add(name, roles, token string) *roleCaller {
	secret := newSecret()
	sum := sha256.Sum256([]byte(secret))
	fmt.Fprintf(&c.file, "- {name: %[1]s, tokens: [{id: %[1]s, sha256: %[2]s%[3]s}], certificates: [%[4]q], "+
		"claims: [{issuer: %[5]q, match: {groups: %[1]s}}], roles: [%[6]s]}\n",
		name, hex.EncodeToString(sum[:]), token, stage.NamesBegin+name, c.issuer.Issuer(), roles)
	return &roleCaller{name: name, token: secret}
}

// addRole adds callers with a role: in its own namespace, by each of the ways to be known, and everywhere.
func (c *roleCast) addRole(role string, everyWay bool) error {
	for _, everywhere := range []bool{false, true} {
		namespaces, name := "[ow*]", role+"-own"
		if everywhere {
			namespaces, name = "['*']", role+"-everywhere"
		}
		grant := fmt.Sprintf("{role: %s, namespaces: %s}", role, namespaces)
		switch role {
		case roleAdapter:
			if everywhere {
				continue // it has activities in place of namespaces
			}
			grant = "{role: adapter, activities: [x.own]}"
		case roleDeployer:
			grant = fmt.Sprintf("{role: deployer, namespaces: %s, activities: ['x.*']}", namespaces)
		}
		by := c.add(name, grant, "")
		by.role, by.everywhere = role, everywhere
		c.callers = append(c.callers, by)
		if everywhere && !everyWay {
			continue
		}
		token, err := c.issued(c.issuer.Keypair, map[string]any{"groups": []string{name}})
		if err != nil {
			return err
		}
		certificate, err := c.certificate(c.signer, name)
		if err != nil {
			return err
		}
		c.callers = append(c.callers,
			&roleCaller{name: name + " by issuer", role: role, everywhere: everywhere, token: token},
			&roleCaller{name: name + " by certificate", role: role, everywhere: everywhere, certificate: certificate})
	}
	return nil
}

// issued is a token of the issuer, or by other keys, that says what is changed.
func (c *roleCast) issued(by *mockoidc.Keypair, changes map[string]any) (string, error) {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": c.issuer.Issuer(), "aud": rolesAudience, "sub": "somebody", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"groups": []string{"root"},
	}
	maps.Copy(claims, changes)
	token, err := by.SignJWT(claims)
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return token, nil
}

func (c *roleCast) certificate(by *stage.Authority, name string) (*tls.Certificate, error) {
	cert, key, err := by.Sign(name)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return &pair, nil
}

// addUnknown adds those who are not known, each of whom says that he is the administrator, as far as he can.
func (c *roleCast) addUnknown() error {
	late := c.add("late", "{role: administrator, namespaces: ['*']}", ", expires: 2020-01-01T00:00:00Z")
	forged, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		return fmt.Errorf("keys of a forger: %w", err)
	}
	unknown := []*roleCaller{
		{name: "nobody"}, late, {name: "made up", token: newSecret()}, {name: "not a token", token: "a.b.c"},
	}
	for name, changes := range map[string]map[string]any{
		"issued, expired": {"exp": time.Now().Add(-time.Minute).Unix()}, "issued for others": {"aud": "somebody"},
		"issued by another": {"iss": "https://other.example"}, "issued, in no group": {"groups": []string{"others"}},
	} {
		token, err := c.issued(c.issuer.Keypair, changes)
		if err != nil {
			return err
		}
		unknown = append(unknown, &roleCaller{name: name, token: token})
	}
	token, err := c.issued(forged, nil)
	if err != nil {
		return err
	}
	stranger, err := c.certificate(c.signer, "stranger")
	if err != nil {
		return err
	}
	root, err := c.certificate(c.signer, "root")
	if err != nil {
		return err
	}
	c.callers = append(append(c.callers, unknown...), &roleCaller{name: "issued by forged keys", token: token},
		&roleCaller{name: "a certificate without roles", certificate: stranger},
		// A token that is not good is not made up for by a certificate that is.
		&roleCaller{name: "a bad token beside a certificate", token: newSecret(), certificate: root})
	elsewhere := filepath.Join(c.dir, "elsewhere")
	if err := os.MkdirAll(elsewhere, 0o750); err != nil {
		return fmt.Errorf("another authority: %w", err)
	}
	other, err := stage.NewAuthority(elsewhere)
	if err != nil {
		return err
	}
	c.foreign, err = c.certificate(other, "root")
	return err
}
