package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/connections"
	"github.com/holdfast-run/holdfast/supervision"
)

// serveAdmin serves operators, health, metrics and profiles on a listener of their own.
func (n *node) serveAdmin(ctx context.Context) (*http.Server, error) {
	mux := http.NewServeMux()
	for path, page := range n.pages() {
		mux.Handle(path, n.forCallers(path, page))
	}
	listener, err := connections.Listen(ctx, n.config.Admin)
	if err != nil {
		return nil, fmt.Errorf("listen for the administration: %w", err)
	}
	limits := n.config.Gateway.WithDefaults()
	srv := &http.Server{
		Handler:        n.provenOnly(n.orGRPC(supervision.CheckHost(listener.Addr(), n.config.Admin, mux))),
		MaxHeaderBytes: limits.Headers, HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: limits.Streams, MaxReceiveBufferPerStream: limits.ReceiveWindow, SendPingTimeout: 30 * time.Second,
		},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: limits.RequestWithin, IdleTimeout: time.Minute,
		ErrorLog: errorLog(n.log, "the administration"),
	}
	listener = n.listenAdmin(srv, listener)
	go func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("serve the administration: %w", err))
		}
	}()
	return srv, nil
}

// sampleHeap has the process note one allocation in 512 KiB from now on, for profiles of its heap, which only a node shows that serves
// profiles: it takes processor time wherever much is allocated.
var sampleHeap = sync.OnceFunc(func() { runtime.MemProfileRate = 512 << 10 }) //nolint:gochecknoglobals // it stands for one of the runtime

// pages are those of the administration, by their paths, each of which has a rule in access: one without would be seen by nobody.
func (n *node) pages() map[string]http.Handler {
	profiles := http.NewServeMux()
	if n.config.Profiles {
		sampleHeap()
		profiles.HandleFunc(access.Profiles, pprof.Index)
		profiles.HandleFunc(access.Profiles+"cmdline", pprof.Cmdline)
		profiles.HandleFunc(access.Profiles+"profile", pprof.Profile)
		profiles.HandleFunc(access.Profiles+"symbol", pprof.Symbol)
		profiles.HandleFunc(access.Profiles+"trace", pprof.Trace)
	} else {
		profiles.HandleFunc(access.Profiles, noProfiles)
	}
	pages := map[string]http.Handler{
		access.Livez: n.watchdog.Handler(), access.Readyz: http.HandlerFunc(n.readyz),
		access.Metrics: promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}), access.Profiles: profiles,
	}
	faultsEndpoint(pages)
	return pages
}

// orGRPC serves gRPC calls, most of them once the node has started, and leaves the rest to another handler.
func (n *node) orGRPC(other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isGRPC(r) {
			other.ServeHTTP(w, r)
			return
		}
		g := n.admin.Load()
		if g == nil && gateway.Starting(r.URL.Path) {
			g = n.starting.Load()
		}
		if g == nil {
			http.Error(w, errStarting.Error(), http.StatusServiceUnavailable)
			return
		}
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || n.bounds.admin.TooManyCalls(net.TCPAddrFromAddrPort(from)) {
			refuseCall(w, codes.ResourceExhausted, errTooManyCalls)
			return
		}
		r.Body = gateway.RequestBody(r.URL.Path, r.Body)
		g.ServeHTTP(w, r)
	})
}

// refuseCall ends a call of gRPC that was not begun.
func refuseCall(w http.ResponseWriter, code codes.Code, why error) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", strconv.Itoa(int(code)))
	w.Header().Set("Grpc-Message", why.Error())
	w.WriteHeader(http.StatusOK)
}

func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func noProfiles(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "profiles are off: start the node with --profiles to have them", http.StatusNotFound)
}

func (n *node) readyz(w http.ResponseWriter, _ *http.Request) {
	err := errStarting
	switch e, waits := n.ready.Load(), n.waits.Load(); {
	case e != nil:
		err = e.Ready()
	case waits != nil:
		err = fmt.Errorf("%w: %w", errStarting, *waits)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

var (
	errStarting      = errors.New("the node is starting")
	errTooManyCalls  = errors.New("the administration takes no more calls and streams at once")
	errNoCertificate = errors.New("a certificate is needed here, and the client has shown none")
)
