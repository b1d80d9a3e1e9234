package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/audit/recorder"
	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/connections"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/persistence/postgres"
	"github.com/holdfast-run/holdfast/supervision"
)

// nodeConfig is what a node is made of.
type nodeConfig struct {
	Data          string
	Listen, Admin string
	// TLS is how Listen is secured, and AdminTLS how Admin is.
	TLS, AdminTLS listenerTLS
	// Access is a file that says who may call, and what; empty: nobody is asked who he is.
	Access string
	// Profiles has the administration serve profiles, for developers.
	Profiles bool
	// Journal is the one in Data; Shared, if it has shards, that of databases in its place.
	Journal pebble.Config
	Shared  postgres.Config
	Cluster clusterConfig
	Engine  actors.Config
	Gateway gateway.Config
	Audit   auditConfig
	// Memory is what the process may have in main memory, in bytes; 0: the default. shares are what has how much of it, and limit is what
	// the system allows the process; 0: any, or it can't be found out, of which limitUnknown says why.
	Memory, limit int64
	limitUnknown  error
	shares        shared
	// Committing and Unsent are shares of it that have several uses.
	Committing, Unsent int64
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
	// connections is the most connections to the public address, and bounds are those of all connections.
	connections int
	bounds      bounded

	// public and administration are the listeners that are secured; nil: they are not.
	public, administration *secured

	// access knows who calls; nil: nobody is asked.
	access        *access.Keeper
	accessReloads *prometheus.CounterVec // by outcome
	// accessNoted is the SHA-256 of the file of access that the audit has last. It belongs to who looks at the file.
	accessNoted string

	// files is the most files of an embedded journal.
	files int

	journal persistence.Journal
	shared  *postgres.Journal // the same; nil: it is embedded
	now     func() time.Time  // by which orders go
	engine  *actors.Engine
	member  *cluster.Member // nil: the node is alone
	// watermarks is what the node has heard of what the journal has confirmed to others; nil: the node is alone.
	watermarks *cluster.Watermarks
	losses     *losses // nil: the same
	audit      *recorder.Recorder
	refusals   atomic.Pointer[recorder.Recorder] // the same, for listeners, which there are before
	gateway    *gateway.Server
	grpc       *grpc.Server
	ready      atomic.Pointer[actors.Engine] // set when it has started
	admin      atomic.Pointer[grpc.Server]   // the same
	starting   atomic.Pointer[grpc.Server]   // serves operators before that; nil: there is nothing for them
	waits      atomic.Pointer[error]         // why the journal could not be opened yet
}

// stuckJournal is how long one group commit may take before the node counts as stuck: like a turn of the engine.
const stuckJournal = 8 * time.Second

// runNode runs a node until ctx ends or something breaks for good.
func runNode(ctx context.Context, config nodeConfig, log *slog.Logger) error {
	bounds := config.Gateway.WithDefaults()
	config.Engine.Workflow.Key, config.Engine.Workflow.Labels = bounds.MaxKey, bounds.MaxLabels
	n := &node{
		config: config, log: log, id: messages.NodeID(uuid.NewString()), watchdog: supervision.NewWatchdog(time.Now, log),
		registry: prometheus.NewRegistry(), failed: make(chan error, 1), now: time.Now,
	}
	if config.Cluster.on() {
		n.id = config.Cluster.nodeName()
	}
	defer n.watchdog.Every(beatEvery)()
	n.boundMemory()
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := n.openAccess(); err != nil {
		return err
	}
	stopLooking, err := n.secureListeners(ctx)
	if err != nil {
		return err
	}
	if n.files, n.connections, err = n.descriptors(); err != nil {
		stopLooking()
		return err
	}
	n.bounds = n.boundConnections(n.connections)
	defer stopLooking()
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

// beatEvery is how often the watchdog reads the clock. Loops turn some hundred thousand times a second, and need not be dated more exactly.
const beatEvery = 100 * time.Millisecond

// serve runs what the node is made of until ctx ends.
func (n *node) serve(ctx context.Context, systemd *supervision.Systemd) error {
	if err := n.start(ctx); err != nil {
		return err
	}
	config, log := n.config, n.log
	listener, err := connections.Listen(ctx, config.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the API: %w", err), n.stop(ctx))
	}
	served := make(chan error, 1)
	go func() { served <- n.grpc.Serve(n.listenPublic(listener)) }()
	n.gateway.SetServing(true)
	systemd.Ready("orders at " + listener.Addr().String() + ", administration at " + config.Admin)
	log.Info("node is up", "node", n.id, "listen", listener.Addr().String(), "admin", config.Admin, "data", config.Data,
		"max_connections", n.connections)
	select {
	case <-ctx.Done():
		log.Info("node is stopping")
		systemd.Stopping()
		return n.stop(ctx)
	case err := <-served:
		return errors.Join(fmt.Errorf("serve the API: %w", err), n.stop(ctx))
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
	var err error
	if n.journal, err = n.openJournal(ctx); err != nil {
		return err
	}
	placement, address, remote, err := n.place(ctx)
	if err == nil {
		n.engine, err = actors.New(n.config.Engine, actors.Deps{
			Journal: seenJournal(n.journal), Placement: placement, Watchdog: n.watchdog, Metrics: n.metrics, Log: n.log, Fatal: n.fail,
			Now: n.now, Address: address, Remote: remote,
		})
	}
	if err == nil {
		err = n.engine.Start(ctx)
	}
	if err != nil {
		return errors.Join(err, n.journal.Close())
	}
	n.ready.Store(n.engine)
	n.config.Gateway.Version = version().Version
	n.keepAudit() //nolint:contextcheck // it lives longer than the call
	n.gateway = gateway.New(n.config.Gateway, n.engine, n.metrics, n.id, n.log)
	if n.access != nil {
		n.gateway.Ask(n.access)
	}
	n.gateway.AuditBy(n.audit)
	if n.member != nil {
		n.gateway.Among(n.member)
	}
	if j, embedded := n.journal.(*pebble.Journal); embedded {
		n.gateway.BackUpWith(backupOf(j, n.log))
	}
	if databases, shared := n.journal.(gateway.Databases); shared {
		n.gateway.On(databases)
	}
	if n.losses != nil {
		n.gateway.LoseBy(n.losses)
	}
	n.gateway.BoundCallsBy(n.bounds.public.TooManyCalls)
	n.grpc = n.gateway.GRPC(grpc.Creds(n.publicCredentials()))
	n.admin.Store(n.gateway.AdminGRPC())
	return nil
}

// leave has other nodes take over, for as long as calls may take to end.
func (n *node) leave(ctx context.Context) {
	if n.member == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.config.DrainTimeout)
	defer cancel()
	if err := n.member.Leave(ctx); err != nil {
		n.log.Warn("the node leaves all the same, and others take over", "error", err)
	}
}

// stop ends what was started, in order: no new calls, no more orders, the journal.
func (n *node) stop(ctx context.Context) error {
	n.gateway.Drain()
	n.leave(ctx)
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
	n.audit.Stop()
	if err := n.journal.Close(); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	n.publishLast(ctx)
	return nil
}
