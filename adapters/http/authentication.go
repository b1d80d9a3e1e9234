package http

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	nethttp "net/http"

	"github.com/icholy/digest"
	"golang.org/x/net/http/httpguts"
)

// authentication is how a request says who sends it: one of these.
type authentication struct {
	Basic       *password    `json:"basic"`
	Digest      *password    `json:"digest"`
	Bearer      *bearer      `json:"bearer"`
	Certificate *certificate `json:"certificate"`
	OAuth2      *oauth       `json:"oauth2"`
	OIDC        *oauth       `json:"oidc"`
}

type password struct {
	Username string `json:"username"`
	Password string `json:"password"`

	// challenge is what the server wants to see answered, and count how often that was done.
	challenge *digest.Challenge
	count     int
}

type certificate struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

type bearer struct {
	Token string `json:"token"`
}

// UnmarshalJSON also takes the token alone, as a secret may hold it.
func (b *bearer) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &b.Token) == nil {
		return nil
	}
	type plain bearer
	return json.Unmarshal(text, (*plain)(b)) //nolint:wrapcheck // the caller says what it is about
}

// authenticate finds out what authorizes the request.
func (x *exchange) authenticate(ctx context.Context) error {
	v, _, err := x.open("authentication", x.call.Authentication)
	if err != nil || v == nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil || json.Unmarshal(text, &x.authentication) != nil { // what is wrong might be secret
		return invalid("the authentication is not as it should be: see the properties of its kind")
	}
	a := &x.authentication
	switch {
	case *a == (authentication{}):
		return invalid("the authentication is empty: the secret that it is in may be null")
	case a.Basic != nil && a.Basic.Username == "", a.Digest != nil && a.Digest.Username == "":
		return invalid("the authentication has no \"username\"")
	case a.Basic != nil:
		x.authorized = authorization{"Basic", base64.StdEncoding.EncodeToString([]byte(a.Basic.Username + ":" + a.Basic.Password))}
	case a.Bearer != nil && (a.Bearer.Token == "" || !httpguts.ValidHeaderFieldValue(a.Bearer.Token)):
		return invalid("the token of the authentication is empty, or has characters that no header can have")
	case a.Bearer != nil:
		x.authorized = authorization{"Bearer", a.Bearer.Token}
	case a.Certificate != nil:
		if x.transport, err = x.sender.certified.transport(a.Certificate.Certificate, a.Certificate.Key, x.once); err != nil {
			return forbidden("the certificate of the authentication can't be used: %v", err)
		}
	case a.OAuth2 != nil:
		return x.token(ctx, a.OAuth2, false)
	case a.OIDC != nil:
		return x.token(ctx, a.OIDC, true)
	}
	return nil
}

// authorize sets the header that says who sends a request, unless the call has set it.
func (x *exchange) authorize(req *nethttp.Request) {
	if x.request.has("Authorization") {
		return
	}
	if d := x.authentication.Digest; d != nil && d.challenge != nil {
		d.count++
		c, err := digest.Digest(d.challenge, digest.Options{
			Method: req.Method, URI: req.URL.RequestURI(), Username: d.Username, Password: d.Password, Count: d.count,
			GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.request.body)), nil },
		})
		if err == nil {
			req.Header.Set("Authorization", c.String())
		}
		return
	}
	if x.authorized.scheme != "" {
		req.Header.Set("Authorization", x.authorized.scheme+" "+x.authorized.parameter)
	}
}

// renew tells whether a request that was refused, as it did not say who sends it, can say so now.
func (x *exchange) renew(ctx context.Context, res *nethttp.Response) (bool, error) {
	a := &x.authentication
	switch {
	case a.Digest != nil:
		challenge, err := digest.FindChallenge(res.Header)
		if err != nil {
			return false, nil //nolint:nilerr // then the refusal counts
		}
		a.Digest.challenge, a.Digest.count = challenge, 0
		return true, nil
	case a.OAuth2 != nil:
		return true, x.newlyAuthorized(ctx, a.OAuth2, false)
	case a.OIDC != nil:
		return true, x.newlyAuthorized(ctx, a.OIDC, true)
	}
	return false, nil
}

// newlyAuthorized has the request authorized by another token, also where the call says what authorizes it.
func (x *exchange) newlyAuthorized(ctx context.Context, o *oauth, discover bool) error {
	x.sender.tokens.forget(o, x.authorized.parameter)
	if err := x.token(ctx, o, discover); err != nil {
		return err
	}
	return x.write()
}
