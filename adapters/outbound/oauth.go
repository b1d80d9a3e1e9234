package outbound

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/holdfast-run/holdfast/adapters"
)

// OAuth is how a token is got by OAuth 2 (RFC 6749, 7523, 8693), or from where OpenID Connect says.
type OAuth struct {
	Authority string `json:"authority"`
	Endpoints struct {
		Token string `json:"token"`
	} `json:"endpoints"`
	Grant  string `json:"grant"`
	Client struct {
		ID             string `json:"id"`
		Secret         string `json:"secret"`
		Assertion      string `json:"assertion"`
		Authentication string `json:"authentication"`
	} `json:"client"`
	Request struct {
		Encoding string `json:"encoding"`
	} `json:"request"`
	Issuers   []string    `json:"issuers"`
	Scopes    []string    `json:"scopes"`
	Audiences []string    `json:"audiences"`
	Username  string      `json:"username"`
	Password  string      `json:"password"`
	Subject   *OAuthToken `json:"subject"`
	Actor     *OAuthToken `json:"actor"`
}

// OAuthToken is a token that another one is got for.
type OAuthToken struct {
	Token string `json:"token"`
	Type  string `json:"type"`
}

// tokens are those that are held, by what they were got with.
type tokens struct{ kept *Kept[*heldToken] }

// heldToken is a token until it is over. turn is held by whoever gets one.
type heldToken struct {
	turn chan struct{}

	mu    sync.Mutex
	token string
	over  time.Time
}

// The bounds of tokens.
const (
	maxTokens   = 1000            // held
	unsaidLife  = 5 * time.Minute // of a token that does not say how long it lasts
	beforeOver  = 10 * time.Second
	maxTokenLen = 64 << 10 // of what a server says about one
)

func newTokens() *tokens { return &tokens{NewKept(maxTokens, func(*heldToken) {})} }

// held is the token of a policy. OAuth 2 and OpenID Connect have tokens of their own, as they may be given elsewhere.
func (t *tokens) held(o *OAuth, discover bool) (*heldToken, error) {
	of, err := json.Marshal(o) //nolint:gosec // it is hashed
	if err != nil {
		return nil, errors.New("read how to get a token")
	}
	return t.kept.Get(fmt.Sprint(discover, string(of)), func() (*heldToken, error) { return &heldToken{turn: make(chan struct{}, 1)}, nil })
}

// forget forgets a token that was refused.
func (t *tokens) forget(o *OAuth, discover bool, token string) {
	h, err := t.held(o, discover)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token == token {
		h.token = ""
	}
}

func (h *heldToken) get(now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.After(h.over) {
		return ""
	}
	return h.token
}

// token returns a token: the one that is held, or a new one. Only one request gets it for all.
func (e *Exit) token(ctx context.Context, o *OAuth, discover bool) (string, error) {
	h, err := e.tokens.held(o, discover)
	if err != nil {
		return "", Invalid("%v", err)
	}
	if token := h.get(e.Now()); token != "" {
		return token, nil
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return "", adapters.Transient(fmt.Errorf("wait for a token: %w", ctx.Err()))
	}
	if token := h.get(e.Now()); token != "" {
		return token, nil
	}
	return e.newToken(ctx, o, discover, h)
}

// newToken gets a token.
func (e *Exit) newToken(ctx context.Context, o *OAuth, discover bool, h *heldToken) (string, error) {
	endpoint := strings.TrimSuffix(o.Authority, "/") + "/" + strings.TrimPrefix(cmp.Or(o.Endpoints.Token, "/oauth2/token"), "/")
	if discover {
		var err error
		if endpoint, err = e.discovered(ctx, o.Authority); err != nil {
			return "", err
		}
	}
	req, err := o.request(endpoint, e.Now())
	if err != nil {
		return "", Invalid("get a token: %v", err)
	}
	var got struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"`
	}
	if err := e.ask(ctx, req, &got); err != nil {
		return "", err
	}
	if got.Token == "" {
		return "", unauthenticated("%s gave no token", req.URL.Host)
	}
	if len(o.Issuers) > 0 && !slices.Contains(o.Issuers, issuerOf(got.Token)) {
		return "", unauthenticated("the token that %s gave is of none of the issuers", req.URL.Host)
	}
	life := unsaidLife
	if seconds, err := got.Expires.Int64(); err == nil {
		life = time.Duration(max(0, min(seconds, 1<<31))) * time.Second
		life -= min(beforeOver, life/2)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token, h.over = got.Token, e.Now().Add(life)
	return got.Token, nil
}

// discovered finds out where OpenID Connect gives tokens.
func (e *Exit) discovered(ctx context.Context, authority string) (string, error) {
	const path = "/.well-known/openid-configuration"
	at, err := url.Parse(strings.TrimSuffix(strings.TrimSuffix(authority, "/"), path) + path)
	if err != nil {
		return "", Invalid("the authority is no address")
	}
	var says struct {
		Token string `json:"token_endpoint"`
	}
	if err := e.ask(ctx, &http.Request{Method: http.MethodGet, URL: at, Header: http.Header{}}, &says); err != nil {
		return "", err
	}
	if says.Token == "" {
		return "", unauthenticated("%s does not say where tokens are given", at.Host)
	}
	return says.Token, nil
}

// request is what asks for a token.
func (o *OAuth) request(endpoint string, now time.Time) (*http.Request, error) {
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" {
		return nil, errors.New("its address is none")
	}
	form := url.Values{"grant_type": {o.Grant}}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	set("scope", strings.Join(o.Scopes, " "))
	if len(o.Audiences) > 0 {
		form["audience"] = o.Audiences
	}
	if o.Grant == "password" {
		form["username"], form["password"] = []string{o.Username}, []string{o.Password}
	}
	if o.Subject != nil {
		set("subject_token", o.Subject.Token)
		set("subject_token_type", o.Subject.Type)
	}
	if o.Actor != nil {
		set("actor_token", o.Actor.Token)
		set("actor_token_type", o.Actor.Type)
	}
	header := http.Header{"Accept": {"application/json"}}
	switch c := o.Client; cmp.Or(c.Authentication, "client_secret_post") {
	case "client_secret_basic":
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(c.Secret))))
	case "client_secret_post":
		set("client_id", c.ID)
		set("client_secret", c.Secret)
	case "none":
		set("client_id", c.ID)
	default:
		assertion := c.Assertion
		if c.Authentication == "client_secret_jwt" {
			if assertion, err = signed(c.ID, c.Secret, endpoint, now); err != nil {
				return nil, err
			}
		}
		set("client_id", c.ID)
		set("client_assertion", assertion)
		set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	kind := cmp.Or(o.Request.Encoding, "application/x-www-form-urlencoded")
	text := []byte(form.Encode())
	if kind == "application/json" {
		object := make(map[string]any, len(form))
		for name, values := range form {
			object[name] = values[0]
			if len(values) > 1 {
				object[name] = values
			}
		}
		if text, err = json.Marshal(object); err != nil {
			return nil, errors.New("it can't be encoded")
		}
	}
	header.Set("Content-Type", kind)
	return &http.Request{
		Method: http.MethodPost, URL: at, Header: header, Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)),
	}, nil
}

// signed is what a client says of itself, signed with its secret (RFC 7523, 3).
func signed(id, secret, audience string, now time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", errors.New("the secret of the client can't sign")
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: id, Subject: id, Audience: jwt.Audience{audience}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	if err != nil {
		return "", errors.New("the secret of the client can't sign: it is too short")
	}
	return token, nil
}

// ask sends a request for a token, or for where to get one, and reads the answer.
func (e *Exit) ask(ctx context.Context, req *http.Request, answer any) error {
	if err := e.Allowed.Check(req.URL, Shown(req.URL)); err != nil {
		return err
	}
	req.Host = req.URL.Host
	res, err := e.Plain.RoundTrip(req.WithContext(ctx))
	switch {
	case errors.Is(err, ErrForbidden):
		return Forbidden("%v", err)
	case err != nil:
		return adapters.Transient(fmt.Errorf("get a token from %s: %w", req.URL.Host, err))
	}
	defer func() { _ = res.Body.Close() }() // what matters of it has been read
	if res.StatusCode < http.StatusOK {     // its content is the connection, and would not end
		return unauthenticated("%s did not answer as it should", req.URL.Host)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxTokenLen))
	switch {
	case err != nil:
		return adapters.Transient(fmt.Errorf("get a token from %s: %w", req.URL.Host, err))
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return adapters.Transient(fmt.Errorf("get a token from %s: HTTP %d", req.URL.Host, res.StatusCode))
	case res.StatusCode != http.StatusOK:
		var says struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(text, &says) // it may say nothing
		return unauthenticated("%s gives no token: HTTP %d %.100s", req.URL.Host, res.StatusCode, says.Error)
	case json.Unmarshal(text, answer) != nil:
		return unauthenticated("%s did not answer as it should", req.URL.Host)
	}
	return nil
}

// unauthenticated is the error of a request that can't say who sends it.
func unauthenticated(format string, args ...any) error {
	return adapters.Permanent(adapters.Problem{
		Type: adapters.ErrorTypeAuthentication, Title: "No token for the request", Status: http.StatusUnauthorized,
		Detail: fmt.Sprintf(format, args...),
	})
}

// issuerOf is who a token says it is of, which only its reader can verify.
func issuerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	_ = json.Unmarshal(text, &claims) // then it says nothing
	return claims.Issuer
}
