package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/holdfast-run/holdfast/tokens"
)

// askWithin is how long an issuer may take to answer.
const askWithin = 10 * time.Second

// Config says where a person logs in.
type Config struct {
	// Issuer is its address, below which its configuration is found; required. So is Client, the one that is registered there for this
	// program.
	Issuer string `json:"issuer"`
	Client string `json:"client"`
	// Secret is that of the client, if it has one. Issuers give some to programs that can't keep any.
	Secret string `json:"secret,omitempty"`
	// CA is a file with the authorities that sign the certificate of the issuer. Default: those of the system.
	CA string `json:"ca,omitempty"`
	// Scopes are what is asked for. Default: openid, and of profile, email, groups and offline_access what the issuer says that it has.
	Scopes []string `json:"scopes,omitempty"`
	// Browser has the person log in with a browser of this machine, also if the issuer has codes for devices.
	Browser bool `json:"-"`
	// Tell tells the person what to do; required to log in.
	Tell func(Step) `json:"-"`
}

// Step is what a person does to log in: opens a page, and enters a code there, if there is one.
type Step struct{ Page, Code string }

// Login is what is kept of a login.
type Login struct {
	Config

	// Name is who has logged in, as the token says.
	Name string `json:"name"`
	// Token is sent to nodes until it expires, and Refresh is by what it is renewed; empty: it can't be.
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Refresh string    `json:"refresh,omitempty"`
}

// Errors of a login.
var (
	ErrMissing = errors.New("the issuer and the client are both needed")
	ErrNoToken = errors.New("the issuer has given no ID token")
	errOpen    = errors.New("must be https://…: in plain text, whoever is on the way could log in")
)

// secured makes sure that nobody on the way reads what is sent to an address.
func secured(what, address string) error {
	if !tokens.Unseen(address) {
		return fmt.Errorf("%s is %q, and %w", what, address, errOpen)
	}
	return nil
}

// asked is an issuer that was asked for its configuration.
type asked struct {
	ctx      context.Context //nolint:containedctx // it has the client of HTTP, as both libraries want it
	oauth    *oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// ask asks the issuer for its configuration.
func (c *Config) ask(ctx context.Context) (*asked, error) {
	if c.Issuer == "" || c.Client == "" {
		return nil, ErrMissing
	}
	if err := secured("the issuer", c.Issuer); err != nil {
		return nil, err
	}
	transport, err := tokens.IssuerTransport(c.CA)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, &http.Client{Transport: transport, Timeout: askWithin})
	p, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	at := p.Endpoint()
	for what, address := range map[string]string{
		"the page to log in at": at.AuthURL, "where the issuer gives tokens": at.TokenURL, "where the issuer gives codes": at.DeviceAuthURL,
	} {
		if err := secured(what, cmp.Or(address, "https://none")); err != nil {
			return nil, err
		}
	}
	var has supported
	_ = p.Claims(&has) // an issuer need not tell
	// It is not tried out in which way the secret is to be sent: a code is good for one try.
	at.AuthStyle = oauth2.AuthStyleInHeader
	if c.Secret == "" || slices.Contains(has.Secrets, "client_secret_post") {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	return &asked{
		ctx: ctx, verifier: p.Verifier(&oidc.Config{ClientID: c.Client}),
		oauth: &oauth2.Config{ClientID: c.Client, ClientSecret: c.Secret, Endpoint: at, Scopes: c.scopes(has)},
	}, nil
}

// supported is what an issuer tells of itself.
type supported struct {
	Scopes  []string `json:"scopes_supported"`
	Secrets []string `json:"token_endpoint_auth_methods_supported"`
}

// scopes are what is asked for.
func (c *Config) scopes(has supported) []string {
	if len(c.Scopes) > 0 {
		return c.Scopes
	}
	scopes := []string{oidc.ScopeOpenID}
	for _, s := range []string{"profile", "email", "groups", oidc.ScopeOfflineAccess} {
		if slices.Contains(has.Scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// In has a person log in, and returns when that is done, or ctx has ended.
func In(ctx context.Context, c Config) (*Login, error) {
	a, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	if a.oauth.Endpoint.DeviceAuthURL != "" && !c.Browser {
		return c.byCode(a)
	}
	return c.byBrowser(a) //nolint:contextcheck // it has one
}

// byCode has the person enter a code on any device.
func (c *Config) byCode(a *asked) (*Login, error) {
	d, err := a.oauth.DeviceAuth(a.ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer for a code: %w", err)
	}
	c.Tell(Step{Page: cmp.Or(d.VerificationURIComplete, d.VerificationURI), Code: d.UserCode})
	t, err := a.oauth.DeviceAccessToken(a.ctx, d)
	if err != nil {
		return nil, fmt.Errorf("wait for the code to be entered: %w", err)
	}
	return c.kept(a, t, "")
}

// byBrowser has the person open a page with a browser of this machine, which comes back here in the end.
func (c *Config) byBrowser(a *asked) (*Login, error) {
	listener, err := (&net.ListenConfig{}).Listen(a.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	a.oauth.RedirectURL = "http://" + listener.Addr().String() + "/"
	b := &back{state: rand.Text(), came: make(chan came, 1)}
	srv := &http.Server{Handler: b, ReadHeaderTimeout: askWithin}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener) // until it is shut down
	}()
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(stop) // so that the browser has its answer
		_ = srv.Close()
		<-served
	}()
	verifier, nonce := oauth2.GenerateVerifier(), rand.Text()
	c.Tell(Step{Page: a.oauth.AuthCodeURL(b.state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))})
	select {
	case <-a.ctx.Done():
		return nil, fmt.Errorf("wait for the browser: %w", context.Cause(a.ctx))
	case got := <-b.came:
		if got.err != nil {
			return nil, got.err
		}
		t, err := a.oauth.Exchange(a.ctx, got.code, oauth2.VerifierOption(verifier))
		if err != nil {
			return nil, fmt.Errorf("exchange the code for a token: %w", err)
		}
		return c.kept(a, t, nonce)
	}
}

// kept is what is kept of what the issuer has given.
func (c *Config) kept(a *asked, t *oauth2.Token, nonce string) (*Login, error) {
	l := &Login{Config: *c}
	return l, l.take(a, t, nonce)
}

// take takes over what the issuer has given. A token that another one than the issuer has made, or for another client, is not kept.
func (l *Login) take(a *asked, t *oauth2.Token, nonce string) error {
	raw, _ := t.Extra("id_token").(string)
	if raw == "" {
		return ErrNoToken
	}
	id, err := a.verifier.Verify(a.ctx, raw)
	if err != nil {
		return fmt.Errorf("the token of the issuer: %w", err)
	}
	if nonce != "" && id.Nonce != nonce {
		return errForeign
	}
	var claims struct {
		Email string `json:"email"`
	}
	if err := id.Claims(&claims); err != nil {
		return fmt.Errorf("the token of the issuer: %w", err)
	}
	l.Token, l.Expires, l.Name = raw, id.Expiry, cmp.Or(claims.Email, id.Subject)
	l.Refresh = cmp.Or(t.RefreshToken, l.Refresh)
	return nil
}

var errForeign = errors.New("the token of the issuer is that of another login")
