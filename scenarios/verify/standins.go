package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// hostsOf is what stands in for the hosts that definitions name.
type hostsOf struct {
	// secure are those that are called by HTTPS, plain by HTTP: handler answers for all.
	secure, plain []string
	handler       http.Handler
	// called are those of gRPC, host:port, for which greeter answers; nil: nobody does.
	called  []string
	greeter grpc.StreamHandler
}

// standIns are hosts that are served.
type standIns struct {
	// http and grpc are the settings of adapters that lead there.
	http, grpc []string
	// fetch gets what definitions refer to.
	fetch client.Fetch
	// end ends it.
	end func()
}

// serve serves the hosts, with certificates of an authority whose files are in a folder.
func (h hostsOf) serve(ctx context.Context, dir string) (*standIns, error) {
	a, err := stage.NewAuthority(dir)
	if err != nil {
		return nil, err
	}
	certificate, private, err := a.Sign("hosts", append([]string{"localhost"}, h.secure...)...)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(certificate, private)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the hosts: %w", err)
	}
	var serving sync.WaitGroup
	var stops []func()
	s := &standIns{http: []string{"--ca-file", a.CA()}, grpc: []string{"--ca-file", a.CA()}, end: func() {
		for _, stop := range stops {
			stop()
		}
		serving.Wait()
	}}
	ports := map[string]string{} // of the listeners, by the ports that they stand for
	begin := func(port string, hosts []string, serve func(net.Listener), stop func()) error {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("serve the hosts: %w", err)
		}
		stops = append(stops, stop)
		serving.Go(func() { serve(l) })
		ports[port] = l.Addr().String()
		for _, host := range hosts {
			if port == "" {
				s.grpc = append(s.grpc, "--resolve", host+"="+ports[port])
				continue
			}
			s.http = append(s.http, "--resolve", host+":"+port+"="+ports[port])
		}
		return nil
	}
	own := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	secure := &http.Server{Handler: h.handler, ReadHeaderTimeout: time.Minute, TLSConfig: own.Clone()}
	plain := &http.Server{Handler: h.handler, ReadHeaderTimeout: time.Minute}
	// Whoever has called has an answer when they are closed, or needs none; serving ends then.
	err = errors.Join(
		begin("443", h.secure, func(l net.Listener) { _ = secure.ServeTLS(l, "", "") }, func() { _ = secure.Close() }),
		begin("80", h.plain, func(l net.Listener) { _ = plain.Serve(l) }, func() { _ = plain.Close() }),
	)
	if h.greeter != nil {
		calls := grpc.NewServer(grpc.Creds(credentials.NewTLS(own.Clone())), grpc.UnknownServiceHandler(h.greeter))
		err = errors.Join(err, begin("", h.called, func(l net.Listener) { _ = calls.Serve(l) }, calls.Stop))
	}
	if err != nil {
		s.end()
		return nil, err
	}
	there := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.Roots(), MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			port := address[strings.LastIndex(address, ":")+1:]
			return (&net.Dialer{}).DialContext(ctx, network, ports[port])
		},
	}
	stops = append(stops, there.CloseIdleConnections)
	s.fetch = client.FetchBy(&http.Client{Transport: there})
	return s, nil
}
