package http

import (
	"bytes"
	"context"
	"io"
	nethttp "net/http"

	"github.com/icholy/digest"

	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// authenticate finds out what authorizes the request.
func (x *exchange) authenticate(ctx context.Context) error {
	policy, _, err := x.open("authentication", x.call.Authentication)
	if err != nil {
		return err
	}
	if x.authentication, err = outbound.ParseAuthentication(policy); err != nil {
		return err
	}
	if c := x.authentication.Certificate; c != nil {
		if x.transport, err = x.sender.certified.transport(c, x.once); err != nil {
			return outbound.Forbidden("the certificate of the authentication can't be used: %v", err)
		}
	}
	x.authorized, err = x.sender.exit.Authorize(ctx, x.authentication)
	return err
}

// challenged is what a server wants to see answered, and how often that was done.
type challenged struct {
	challenge *digest.Challenge
	count     int
}

// authorize sets the header that says who sends a request, unless the call has set it.
func (x *exchange) authorize(req *nethttp.Request) {
	if x.request.has("Authorization") {
		return
	}
	if d := x.authentication.Digest; d != nil && x.challenged.challenge != nil {
		x.challenged.count++
		c, err := digest.Digest(x.challenged.challenge, digest.Options{
			Method: req.Method, URI: req.URL.RequestURI(), Username: d.Username, Password: d.Password, Count: x.challenged.count,
			GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.request.body)), nil },
		})
		if err == nil {
			req.Header.Set("Authorization", c.String())
		}
		return
	}
	if x.authorized.Scheme != "" {
		req.Header.Set("Authorization", x.authorized.Scheme+" "+x.authorized.Parameter)
	}
}

// renew tells whether a request that was refused, as it did not say who sends it, can say so now.
func (x *exchange) renew(ctx context.Context, res *nethttp.Response) (bool, error) {
	if x.authentication.Digest != nil {
		challenge, err := digest.FindChallenge(res.Header)
		if err != nil {
			return false, nil //nolint:nilerr // then the refusal counts
		}
		x.challenged = challenged{challenge: challenge}
		return true, nil
	}
	authorized, renewed, err := x.sender.exit.Renew(ctx, x.authentication, x.authorized)
	if err != nil || !renewed {
		return renewed, err
	}
	x.authorized = authorized
	return true, x.write() // also where the call says what authorizes it
}
