package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/supervision"
)

// nodeConfig is what a node is made of.
type nodeConfig struct {
	Data          string
	Listen, Admin string
	Journal       pebble.Config
	Engine        actors.Config
	Gateway       gateway.Config
	// Memory is the heap, in bytes, near which garbage is collected more often, at the cost of CPU.
	Memory int64
	// DrainTimeout is how long calls may take to end when the node stops.
	DrainTimeout time.Duration
}

// node is a running engine process.
type node struct {
	config   nodeConfig
	log      *slog.Logger
	id       messages.NodeID
	watchdog *supervision.Watchdog
	registry *prometheus.Registry
	failed   chan error
	metrics  *actors.Metrics
	// connections is the most connections to the public address.
	connections int

	journal *pebble.Journal
	engine  *actors.Engine
	gateway *gateway.Server
	grpc    *grpc.Server
	ready   atomic.Pointer[actors.Engine] // set when it has started
	admin   atomic.Pointer[grpc.Server]   // the same
}

// stuckJournal is how long one group commit may take before the node counts as stuck: like a turn of the engine.
const stuckJournal = 8 * time.Second

// gcPercent trades memory for CPU, up to the memory that the configuration gives: most of a node's heap lives for a few
// milliseconds. The environment variables GOGC and GOMEMLIMIT override both.
const gcPercent = 800

// runNode runs a node until ctx ends or something breaks for good.
func runNode(ctx context.Context, config nodeConfig, log *slog.Logger) error {
	if err := config.Gateway.Validate(); err != nil {
		return err
	}
	config.Engine.Workflow.Key = config.Gateway.WithDefaults().MaxKey
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(config.Memory)
	}
	n := &node{
		config: config, log: log, id: messages.NodeID(uuid.NewString()), watchdog: supervision.NewWatchdog(time.Now, log),
		registry: prometheus.NewRegistry(), failed: make(chan error, 1),
	}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// The administration comes first and goes last: it answers while the journal is being opened, too.
	admin, err := n.serveAdmin(ctx)
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // the process ends
	systemd := supervision.NewSystemd(n.watchdog, log)
	defer systemd.Close()
	ended := make(chan error, 1)
	go func() { ended <- n.serve(ctx, systemd) }()
	select {
	case err := <-ended:
		return err
	case err := <-n.failed:
		return err // the process ends, and whatever is under way is taken up by the next one
	}
}

// serve runs what the node is made of until ctx ends.
func (n *node) serve(ctx context.Context, systemd *supervision.Systemd) error {
	if err := n.start(ctx); err != nil {
		return err
	}
	config, log := n.config, n.log
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the API: %w", err), n.stop())
	}
	bounded := gateway.NewBounded(listener, n.connections, n.metrics.ConnectionRefused)
	served := make(chan error, 1)
	go func() { served <- n.grpc.Serve(bounded) }()
	n.gateway.SetServing(true)
	systemd.Ready("orders at " + listener.Addr().String() + ", administration at " + config.Admin)
	log.Info("node is up", "node", n.id, "listen", listener.Addr().String(), "admin", config.Admin, "data", config.Data,
		"max_connections", n.connections)
	select {
	case <-ctx.Done():
		log.Info("node is stopping")
		systemd.Stopping()
		return n.stop()
	case err := <-served:
		return errors.Join(fmt.Errorf("serve the API: %w", err), n.stop())
	}
}

// fail ends the process: an invariant is broken.
func (n *node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

func (n *node) start(ctx context.Context) error {
	n.metrics = actors.NewMetrics(n.registry)
	journal := n.config.Journal
	journal.MaxOpenFiles, n.connections = descriptors(openFiles(), n.config.Gateway.WithDefaults().Connections)
	journal.Dir = filepath.Join(n.config.Data, "journal")
	journal.Observer, journal.Logger = n.metrics, n.log.With("part", "journal")
	journal.Fatal = func(err error) {
		n.fail(err)
		select {} // what follows must not happen any more
	}
	// It is no loop yet while it is opened, which takes long where there is much to replay.
	loop := sync.OnceValue(func() *supervision.Loop { return n.watchdog.Register("journal", stuckJournal) })
	journal.Turn = func() { loop().Beat() }
	faultyJournal(&journal)
	if err := os.MkdirAll(n.config.Data, 0o750); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	var err error
	if n.journal, err = pebble.Open(journal); err != nil { //nolint:contextcheck // it lives longer than the call
		return fmt.Errorf("open the journal: %w", err)
	}
	n.engine, err = actors.New(n.config.Engine, actors.Deps{
		Node: n.id, Journal: n.journal, Placement: cluster.NewSingle(), Watchdog: n.watchdog, Metrics: n.metrics, Log: n.log, Fatal: n.fail,
	})
	if err == nil {
		err = n.engine.Start(ctx)
	}
	if err != nil {
		return errors.Join(err, n.journal.Close())
	}
	n.ready.Store(n.engine)
	n.config.Gateway.Version = version().Version
	n.gateway = gateway.New(n.config.Gateway, n.engine, n.metrics, n.id, n.log)
	n.grpc = n.gateway.GRPC()
	n.admin.Store(n.gateway.AdminGRPC())
	return nil
}

// How a node's file descriptors are shared out: the journal's tables get what they need, up to half; administration, logs
// and the like have a reserve; the rest is for connections to the public address.
const (
	journalFiles = 1000
	reserveFiles = 200
)

// descriptors returns how many files the journal may keep open, and how many public connections there may be, in a process
// that may have so many descriptors and wants so many connections.
func descriptors(limit, wanted int) (files, connections int) {
	files = min(journalFiles, limit/2)
	return files, max(1, min(wanted, limit-files-reserveFiles))
}

// openFiles is how many files the process may have open.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return journalFiles
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// stop ends what was started, in order: no new calls, no more orders, the journal.
func (n *node) stop() error {
	n.gateway.Drain()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.grpc.GracefulStop()
	}()
	timeout := time.NewTimer(n.config.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
		n.grpc.Stop()
		<-ended
	}
	n.engine.Stop()
	if err := n.journal.Close(); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}

// serveAdmin serves operators, health, metrics and profiles on a listener of their own.
func (n *node) serveAdmin(ctx context.Context) (*http.Server, error) {
	mux := http.NewServeMux()
	mux.Handle("/livez", n.watchdog.Handler())
	mux.HandleFunc("/readyz", n.readyz)
	mux.Handle("/metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	faultsEndpoint(mux)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.config.Admin)
	if err != nil {
		return nil, fmt.Errorf("listen for the administration: %w", err)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC
	srv := &http.Server{Handler: n.orGRPC(mux), Protocols: &protocols, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("serve the administration: %w", err))
		}
	}()
	return srv, nil
}

// orGRPC serves gRPC calls, once the node has started, and leaves the rest to another handler.
func (n *node) orGRPC(other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			other.ServeHTTP(w, r)
			return
		}
		g := n.admin.Load()
		if g == nil {
			http.Error(w, errStarting.Error(), http.StatusServiceUnavailable)
			return
		}
		g.ServeHTTP(w, r)
	})
}

func (n *node) readyz(w http.ResponseWriter, _ *http.Request) {
	err := errStarting
	if e := n.ready.Load(); e != nil {
		err = e.Ready()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

var errStarting = errors.New("the node is starting")
