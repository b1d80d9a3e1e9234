package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/scenarios/kit"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// conformance runs the conformance test kit of the language, each scenario on a node of its own, with the adapter of "call: http". What
// answers for the hosts that scenarios call is here.
func conformance(ctx context.Context, s *site) (figures, error) {
	reached, fetch, end, err := standIn(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	defer end()
	n := 0
	r, err := kit.Run(ctx, s.kit, func(ctx context.Context) (*client.Client, func() error, error) {
		n++
		dir := filepath.Join(s.dir, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, nil, fmt.Errorf("make a folder: %w", err)
		}
		ctx, st := stage.New(ctx, dir)
		conn, err := s.language(ctx, st, reached)
		if err != nil {
			st.Stop()
			return nil, nil, err
		}
		return conn, func() error {
			err := conn.Close()
			st.Stop()
			return err
		}, nil
	}, fetch, s.log)
	if errors.Is(err, kit.ErrNoKit) {
		return figures{"kit": "skipped: " + err.Error(), "skipped": 1}, nil
	}
	s.sayf("kit: %d scenarios, %d passed", r.Scenarios, r.Passed)
	return figures{"scenarios": r.Scenarios, "passed": r.Passed, "refused": r.Refused, "failed": r.Failed}, err
}

// language starts a node and the adapters that the language has. reached are the settings by which these reach their hosts.
func (s *site) language(ctx context.Context, st *stage.Stage, reached []string) (*client.Client, error) {
	node, err := st.StartNode(ctx, s.holdfast, false)
	if err != nil {
		return nil, err
	}
	args := append([]string{"adapter", "http", "--server", node.Server}, reached...)
	if _, err := st.Start(ctx, stage.Spec{Name: "http", Path: s.holdfast, Args: args}); err != nil {
		return nil, err
	}
	return node.Dial()
}

// standIn serves what stands in for the hosts that the scenarios call. reached are the settings of the adapter that lead there, fetch gets
// what definitions refer to; end ends it.
func standIn(ctx context.Context, dir string) (reached []string, fetch client.Fetch, end func(), err error) {
	a, err := stage.NewAuthority(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	certificate, private, err := a.Sign("hosts", kit.Hosts...)
	if err != nil {
		return nil, nil, nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("serve the hosts: %w", err)
	}
	srv := &http.Server{Handler: kit.StandIn(), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.ServeTLS(l, certificate, private) }) // it ends when it is closed
	reached = []string{"--ca-file", a.CA()}
	for _, host := range kit.Hosts {
		reached = append(reached, "--resolve", host+":443="+l.Addr().String())
	}
	there := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.Roots(), MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
		},
	}
	return reached, client.FetchBy(&http.Client{Transport: there}), func() {
		there.CloseIdleConnections()
		_ = srv.Close() // whoever has called has an answer, or needs none
		serving.Wait()
	}, nil
}

func conformanceBars(s *site) bars {
	if there, err := filepath.Glob(filepath.Join(s.kit, "*.feature")); err != nil || len(there) == 0 {
		return bars{"skipped": atLeast(1)}
	}
	return bars{"scenarios": atLeast(21), "passed": atLeast(21)}.none("failed")
}
