package outbound

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"

	"golang.org/x/net/http/httpguts"
)

// Authentication is how a request says who sends it: one of these, or none.
type Authentication struct {
	Basic       *Password    `json:"basic"`
	Digest      *Password    `json:"digest"`
	Bearer      *Bearer      `json:"bearer"`
	Certificate *Certificate `json:"certificate"`
	OAuth2      *OAuth       `json:"oauth2"`
	OIDC        *OAuth       `json:"oidc"`
}

// Password is a user with a password.
type Password struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Certificate is what TLS knows a client by, in PEM.
type Certificate struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// errNoCertificate is what is wrong with a secret that should be a certificate.
var errNoCertificate = errors.New(`it must be an object with "certificate" and "key", both PEM`)

// Pair reads the certificate with its key.
func (c *Certificate) Pair() (tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
	if err != nil {
		return tls.Certificate{}, errNoCertificate // the reason might hold some of it
	}
	return pair, nil
}

// Bearer is a token.
type Bearer struct {
	Token string `json:"token"`
}

// UnmarshalJSON also takes the token alone, as a secret may hold it.
func (b *Bearer) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &b.Token) == nil {
		return nil
	}
	type plain Bearer
	return json.Unmarshal(text, (*plain)(b)) //nolint:wrapcheck // the caller says what it is about
}

// ParseAuthentication reads a policy, with its secrets; nil is none.
func ParseAuthentication(policy any) (a Authentication, err error) {
	if policy == nil {
		return a, nil
	}
	text, err := json.Marshal(policy)
	if err != nil || json.Unmarshal(text, &a) != nil { // what is wrong might be secret
		return a, Invalid("the authentication is not as it should be: see the properties of its kind")
	}
	switch {
	case a == (Authentication{}):
		return a, Invalid("the authentication is empty: the secret that it is in may be null")
	case a.Basic != nil && a.Basic.Username == "", a.Digest != nil && a.Digest.Username == "":
		return a, Invalid("the authentication has no \"username\"")
	case a.Bearer != nil && (a.Bearer.Token == "" || !httpguts.ValidHeaderFieldValue(a.Bearer.Token)):
		return a, Invalid("the token of the authentication is empty, or has characters that no header can have")
	}
	return a, nil
}

// Authorization is what authorizes a request; empty before that is known, or where it is no header alone.
type Authorization struct{ Scheme, Parameter string }

// Authorize finds out what authorizes a request.
func (e *Exit) Authorize(ctx context.Context, a Authentication) (Authorization, error) {
	switch {
	case a.Basic != nil:
		return Authorization{"Basic", base64.StdEncoding.EncodeToString([]byte(a.Basic.Username + ":" + a.Basic.Password))}, nil
	case a.Bearer != nil:
		return Authorization{"Bearer", a.Bearer.Token}, nil
	}
	o, discover := a.oauth()
	if o == nil {
		return Authorization{}, nil
	}
	token, err := e.token(ctx, o, discover)
	if err != nil {
		return Authorization{}, err
	}
	return Authorization{"Bearer", token}, nil
}

// Renew authorizes a request anew whose authorization was refused. It tells whether there can be another one.
func (e *Exit) Renew(ctx context.Context, a Authentication, refused Authorization) (Authorization, bool, error) {
	o, discover := a.oauth()
	if o == nil {
		return refused, false, nil
	}
	e.tokens.forget(o, discover, refused.Parameter)
	anew, err := e.Authorize(ctx, a)
	return anew, true, err
}

// oauth returns how a token is got, and whether it has to be found out where; nil: by none.
func (a Authentication) oauth() (o *OAuth, discover bool) {
	if a.OIDC != nil {
		return a.OIDC, true
	}
	return a.OAuth2, false
}
