package outbound

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Connect makes a connection to a host, host:port: by the proxy if there is one, and else if it may be made. Its error is ErrForbidden if
// not.
func (e *Exit) Connect(ctx context.Context, to string) (net.Conn, error) {
	if e.Config.Proxy == "" {
		return e.Allowed.Dial(ctx, "tcp", to)
	}
	proxy, err := url.Parse(e.Config.Proxy)
	if err != nil {
		return nil, errors.New("connect: the address of the proxy is none") // its password might be in the reason
	}
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	conn, err := e.Allowed.Dial(ctx, "tcp", e.Allowed.proxy)
	if err != nil {
		return nil, err
	}
	if proxy.Scheme == "https" {
		config := e.TLS()
		config.ServerName = proxy.Hostname()
		conn = tls.Client(conn, config)
	}
	r := bufio.NewReader(conn)
	if err := tunnel(ctx, conn, r, proxy, to); err != nil {
		_ = conn.Close() // nothing was sent on it that matters
		return nil, fmt.Errorf("connect by the proxy: %w", err)
	}
	return tunnelled{conn, r}, nil
}

// tunnelled is a connection of which something was read ahead, as a server may speak first.
type tunnelled struct {
	net.Conn

	ahead *bufio.Reader
}

func (t tunnelled) Read(p []byte) (int, error) {
	return t.ahead.Read(p) //nolint:wrapcheck // it is what the connection says
}

// tunnel asks a proxy to hand on what comes on a connection. r reads from that.
func tunnel(ctx context.Context, conn net.Conn, r *bufio.Reader, proxy *url.URL, to string) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: http.Header{"User-Agent": {UserAgent}}}
	if password, has := proxy.User.Password(); has {
		text := proxy.User.Username() + ":" + password
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
	}
	if err := req.Write(conn); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_ = res.Body.Close() // that of CONNECT has no content
	switch {
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("it answers HTTP %d", res.StatusCode)
	case !stop():
		return fmt.Errorf("it is too slow: %w", ctx.Err())
	}
	return nil
}

// UserAgent is who sends requests of definitions, unless these say otherwise.
const UserAgent = "holdfast"
