package http

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// exchange is a request, from what the engine says of it to its last answer.
type exchange struct {
	sender *sender
	task   adapters.Task
	call   call
	once   bool

	authentication outbound.Authentication
	authorized     outbound.Authorization
	challenged     challenged
	transport      *nethttp.Transport
	request        outgoing
	// hops counts the redirects that were followed, waits how often a server has asked to wait, renewed that a new token or challenge was
	// used.
	hops, waits int
	renewed     bool
	// done: a server has done what it was asked for (303), and sends whoever asked elsewhere for the outcome. unclear: it may have (301, 302).
	done, unclear bool
}

// The bounds of one exchange.
const (
	maxHops = 10
	// drained is how much of an answer is read that nobody wants, so that its connection can be used again.
	drained = 64 << 10
)

// send sends the request until an answer counts. Whoever gets it closes its body.
func (x *exchange) send(ctx context.Context) (*nethttp.Response, error) {
	for {
		if err := x.sender.exit.Pass(ctx, x.host(), x.request.shown()); err != nil {
			return nil, x.given(err)
		}
		res, err := x.round(ctx)
		if err != nil {
			return nil, x.given(err)
		}
		again, err := x.again(ctx, res)
		if err != nil || again {
			_, _ = io.CopyN(io.Discard, res.Body, drained)
			_ = res.Body.Close()
		}
		if err != nil {
			return nil, x.given(err)
		}
		if !again {
			return res, nil
		}
	}
}

// given returns an error as it counts for the whole: what was done before stays done, whatever kept the request from being sent on.
func (x *exchange) given(err error) error {
	switch {
	case x.done:
		return unreported(err.Error())
	case x.unclear:
		return adapters.InDoubt(err)
	}
	return err
}

// again tells whether an answer is none that counts, but says what is to be done next.
func (x *exchange) again(ctx context.Context, res *nethttp.Response) (bool, error) {
	switch status := res.StatusCode; {
	case x.call.Redirect && isRedirect(status) && res.Header.Get("Location") != "":
		return true, x.follow(res)
	case status == nethttp.StatusUnauthorized && !x.renewed && x.hops == 0:
		x.renewed = true
		return x.renew(ctx, res)
	case status == nethttp.StatusTooManyRequests || status == nethttp.StatusServiceUnavailable:
		after, said := retryAfter(res.Header.Get("Retry-After"), x.sender.exit.Now())
		if said {
			x.sender.exit.HoldBack(x.host(), after)
		}
		x.waits++
		return said && x.waits <= outbound.MaxWaits && x.sender.exit.WillPass(ctx, x.host()), nil
	}
	return false, nil
}

func isRedirect(status int) bool {
	switch status {
	case nethttp.StatusMovedPermanently, nethttp.StatusFound, nethttp.StatusSeeOther,
		nethttp.StatusTemporaryRedirect, nethttp.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow makes the request that a redirect asks for. What is secret goes to no other server than the one that it was meant for.
func (x *exchange) follow(res *nethttp.Response) error {
	get := x.turned(res.StatusCode)
	if x.hops++; x.hops > maxHops {
		return x.failed(res.StatusCode, false, fmt.Sprintf("there were more than %d redirects", maxHops))
	}
	to, err := x.request.url.Parse(res.Header.Get("Location"))
	if err != nil {
		return x.failed(res.StatusCode, false, "the redirect leads to what is no address")
	}
	to.Fragment = ""
	r := &x.request
	if get {
		r.method, r.body = nethttp.MethodGet, nil
		r.header.Del("Content-Type")
	}
	if to.Scheme != r.url.Scheme || to.Host != r.url.Host {
		if r.body != nil && r.secretBody {
			return outbound.Forbidden("the redirect leads to another server, which must not get the secrets in the request")
		}
		for _, name := range r.secretHeaders {
			r.header.Del(name)
		}
		x.authentication, x.authorized, x.transport = outbound.Authentication{}, outbound.Authorization{}, x.plain()
	}
	r.url = to
	return x.check()
}

// turned tells whether a redirect is followed by GET, whatever the request was, and notes what that says about the request: also if the
// redirect can't be followed then.
func (x *exchange) turned(status int) bool {
	method := x.request.method
	switch {
	case status == nethttp.StatusSeeOther && method != nethttp.MethodHead:
		x.done = x.done || method != nethttp.MethodGet
	case method == nethttp.MethodPost && (status == nethttp.StatusMovedPermanently || status == nethttp.StatusFound):
		x.unclear = true // as browsers do, and so servers expect it
	default:
		return false
	}
	return true
}

// check says what is wrong with the address of the request.
func (x *exchange) check() error {
	return x.sender.exit.Allowed.Check(x.request.url, x.request.shown())
}

// host is where the request goes to.
func (x *exchange) host() string {
	u := x.request.url
	return net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), outbound.PortOf(u.Scheme)))
}

// plain is the transport without a certificate.
func (x *exchange) plain() *nethttp.Transport {
	if x.once {
		return x.sender.once
	}
	return x.sender.repeated
}

// round sends the request once. Its error tells whether it may have been done.
func (x *exchange) round(ctx context.Context) (*nethttp.Response, error) {
	sent := false // it may have been, as there was a connection for it; told on this goroutine, whatever becomes of the request
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	req := x.request.build(ctx, x)
	res, err := x.transport.RoundTrip(req)
	if err == nil && res.StatusCode < nethttp.StatusOK {
		_ = res.Body.Close() // it is the connection itself, which the server has ended HTTP on
		err = fmt.Errorf("the server answers %s", res.Status)
	}
	if err == nil {
		return res, nil
	}
	if errors.Is(err, outbound.ErrForbidden) {
		return nil, outbound.Forbidden("%s", x.why(err))
	}
	p := adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "No answer", Status: nethttp.StatusServiceUnavailable,
		Detail: fmt.Sprintf("%s %s: %s", x.request.method, x.request.shown(), x.why(err)),
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.Type, p.Title, p.Status = adapters.ErrorTypeTimeout, "No answer in time", nethttp.StatusRequestTimeout
	}
	if !sent {
		return nil, adapters.Transient(p)
	}
	return nil, adapters.InDoubt(p)
}

// why is what went wrong with a connection, as far as that does not tell of a secret.
func (x *exchange) why(err error) string {
	if x.request.secretURL {
		return "there was no answer"
	}
	return err.Error()
}

// failed is the error of an answer that is no success.
func (x *exchange) failed(status int, done bool, detail string) error {
	detail = fmt.Sprintf("%s %s: %s", x.request.method, x.request.shown(), detail)
	if done {
		return unreported(detail)
	}
	return classify(status, adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Status: status, Detail: detail,
		Title: strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, nethttp.StatusText(status))),
	})
}

// unreported is the error of what was done, and whose output is lost.
func unreported(detail string) error {
	return adapters.Unreported(adapters.Problem{
		Type: adapters.ErrorTypeUnreported, Title: "Output can't be reported", Status: nethttp.StatusInternalServerError, Detail: detail,
	})
}

// classify says whether what was answered with a status that is no success was done, and whether another try may help. A server that says
// that it could not do it, or that the request is wrong, has not done it. What one says that stands before it (502, 504), or one that has
// failed on its way (500), leaves that open.
func classify(status int, err error) error {
	switch {
	case status == nethttp.StatusRequestTimeout || status == nethttp.StatusTooEarly || status == nethttp.StatusTooManyRequests ||
		status == nethttp.StatusServiceUnavailable:
		return adapters.Transient(err)
	case status < nethttp.StatusInternalServerError || status == nethttp.StatusNotImplemented ||
		status == nethttp.StatusHTTPVersionNotSupported || status == nethttp.StatusInsufficientStorage ||
		status == nethttp.StatusNetworkAuthenticationRequired:
		return adapters.Permanent(err)
	}
	return adapters.InDoubt(err)
}

// outgoing is a request as it is sent.
type outgoing struct {
	method string
	url    *url.URL
	header nethttp.Header
	body   []byte // nil: none
	// secretHeaders are the names of those that hold secrets; secretURL, secretQuery and secretBody tell that these do.
	secretHeaders                      []string
	secretURL, secretQuery, secretBody bool
}

// build makes the request. The standard library would send one again by itself that has a key in the header of that name in its usual
// spelling, or whose body it can have anew.
func (r *outgoing) build(ctx context.Context, x *exchange) *nethttp.Request {
	req := &nethttp.Request{
		Method: r.method, URL: r.url, Host: r.url.Host, Header: r.header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if r.body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
		if len(r.body) == 0 {
			req.Body = nethttp.NoBody
		}
	}
	if name := x.sender.config.Key(); name != "" && !r.has(name) {
		req.Header[strings.ToLower(name)] = []string{x.task.Key}
	}
	x.authorize(req)
	return req.WithContext(ctx)
}

func (r *outgoing) has(header string) bool { return len(r.header.Values(header)) > 0 }

// shown is the address as it may be told: without what is secret, and without parameters.
func (r *outgoing) shown() string {
	if r.url == nil || r.secretURL {
		return "(an address that holds a secret)"
	}
	return outbound.Shown(r.url)
}

// longestWait bounds what a server may ask for, in seconds: much more than anybody waits.
const longestWait = 1 << 31

// retryAfter reads how long a server wants to be left alone. What is neither a number of seconds nor a date says nothing.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	if at, err := nethttp.ParseTime(text); err == nil {
		return max(0, at.Sub(now)), true
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return time.Duration(min(seconds, longestWait)) * time.Second, true
}
