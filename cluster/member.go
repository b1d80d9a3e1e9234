package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/cluster/consul"
	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/cluster/remoting"
	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// Member is the placement of a node that is one of several: the shell round lease, topology and placement. Its methods are safe for
// concurrent use.
type Member struct {
	config   Config
	deps     Deps
	self     messages.Incarnation
	log      *slog.Logger
	remoting *remoting.Remoting
	consul   *consul.Membership
	system   *actor.ActorSystem
	host     Host

	// local are the actors of the partitions that are here, routes the nodes to ask for the others. Both are read without a lock, by
	// whoever sends to an order.
	local  [messages.Partitions]atomic.Pointer[actor.PID]
	routes atomic.Pointer[[messages.Partitions]*actor.PID]

	// mu is held while what is below it is used by others than the loop, which alone changes it.
	mu       sync.Mutex
	lease    *lease.Lease
	topology *topology.Topology
	view     view
	reach    reach
	// announced are the nodes that adapters are to keep streams to, changed is closed when there are others.
	announced *adapterv1.Topology
	changed   chan struct{}
	owners    owners
	// drained: an operator has this node have nothing.
	drained bool
	// frozen: Consul is lost for all, and the placement stays as it is.
	frozen bool

	inbox inbox
	halt  context.CancelFunc
	loops sync.WaitGroup
	// freed is closed when the node has no partition any more, after it was told to leave.
	freed chan struct{}
}

// NewMember makes the placement of a node. All mistakes in the settings are told at once.
func NewMember(config Config, d Deps) (*Member, error) {
	self := d.Journal.Incarnation()
	m := &Member{
		config: config.withDefaults(self, reached(d.Journal)), deps: d, self: self, log: d.Log, inbox: newInbox(),
		halt: func() {}, freed: make(chan struct{}), changed: make(chan struct{}),
		owners: owners{changed: make(chan struct{})},
	}
	err := m.config.Validate()
	if err == nil {
		m.lease, err = lease.New(self, m.config.Lease)
	}
	if err == nil {
		m.topology, err = topology.New(topology.Config{Self: self, TTL: m.config.Consul.TTL})
	}
	if err == nil {
		m.remoting, err = remoting.New(m.config.Remoting, remoting.Deps{
			Witness: m, Metrics: remoting.NewMetrics(d.Metrics), Log: d.Log.With("part", "remoting"),
		})
	}
	if err != nil {
		return nil, errors.Join(err, d.Listener.Close())
	}
	m.view = view{
		self: self, stand: m.config.Stand, others: map[messages.Incarnation]*holdings{},
	}
	m.reach = reach{told: map[messages.Incarnation]answering{}, alone: map[int]time.Time{}}
	m.routes.Store(new([messages.Partitions]*actor.PID))
	d.Watermarks.join(m)
	return m, nil
}

// Address is how other nodes name this one.
func (m *Member) Address() string { return m.config.Remoting.Self.String() }

// Answer sends an answer to the node that asked.
func (m *Member) Answer(address string, a *nodev1.Answer) { m.remoting.Answer(address, a) }

// Start joins the cluster.
func (m *Member) Start(system *actor.ActorSystem, h Host) error {
	m.system, m.host = system, h
	if err := m.remoting.Start(m.deps.Listener); err != nil {
		return errors.Join(err, m.deps.Listener.Close())
	}
	m.remoting.Attach(system, receiver{m})
	running, halt := context.WithCancel(context.Background()) // it ends with Stop
	m.halt = halt
	c := m.config.Consul
	c.Observe = func(o consul.Observation) { m.inbox.put(o) }
	c.Renewed = func(sent time.Time) { m.inbox.put(lease.Renewed{Sent: sent}) }
	c.Renew = m.mayRenew
	c.Loop = func(name string) func() { return m.deps.Watchdog.Register(name, 2*c.TTL+4*time.Second).Beat }
	c.Logger = m.log.With("part", "consul")
	var err error
	if m.consul, err = consul.Join(c); err != nil {
		m.Stop()
		return fmt.Errorf("join the cluster: %w", err)
	}
	loop := m.deps.Watchdog.Register("cluster", m.config.Consul.TTL)
	m.loops.Go(func() { m.run(running, loop) })
	marks := m.deps.Watchdog.Register("watermarks", 2*c.TTL+4*time.Second)
	m.loops.Go(func() { m.deps.Watermarks.run(running, m, marks) })
	return nil
}

// mayRenew tells whether the registration may be refreshed.
func (m *Member) mayRenew() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease.MayRenew(time.Now())
}

// Evidence implements remoting.Witness.
func (m *Member) Evidence() (dated time.Time, seen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dated, seen, hurry := m.lease.Testify(time.Now())
	if hurry {
		m.consul.Hurry()
	}
	return dated, seen
}

// Watermarks implements remoting.Witness.
func (m *Member) Watermarks() []*remotingv1.Watermarks {
	return m.deps.Watermarks.say(m.self, m.deps.Confirmed())
}

// inquire asks all peers that can be reached for watermarks.
func (m *Member) inquire(ctx context.Context) []*remotingv1.Watermarks {
	var nodes []remoting.Node
	for _, p := range m.remoting.Status() {
		nodes = append(nodes, p.Node)
	}
	return m.remoting.InquireWatermarks(ctx, nodes...)
}

// MayDispatch tells whether this node may begin with tasks: not as soon as others may take over.
func (m *Member) MayDispatch() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease.MayDispatch(time.Now())
}

// Topology returns the nodes that adapters are to keep streams to, this one included once it is a member, and a channel that is closed
// when that has changed. What it returns is not changed.
func (m *Member) Topology() (t *adapterv1.Topology, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.announced, m.changed
}

// Elsewhere returns which other node has a partition, or is to have it; empty: this one has it, or nobody is known to.
func (m *Member) Elsewhere(p messages.Partition) messages.NodeID {
	if p >= messages.Partitions || m.local[p].Load() != nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.asked(p).Node()
}

// Ready says why the node has no part in the work now; nil if it has.
func (m *Member) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s := m.lease.State(); {
	case m.view.leaving:
		return errLeaving
	case s != lease.Held && s != lease.Frozen && s != lease.Asking:
		return fmt.Errorf("%w: its lease is %s", errNoMember, s)
	}
	return nil
}

var (
	errNoMember = errors.New("the node is no member of the cluster")
	errLeaving  = errors.New("the node leaves the cluster")
)

// Gone tells whether an incarnation is to own nothing any more, as far as Consul says, and this node may act upon that.
func (m *Member) Gone(who messages.Incarnation) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.topology.Step(topology.Found{Incarnation: who}, now)
	return m.lease.MayRemove(now) && m.topology.Gone(who)
}

// Owner returns the PID through which the orders of a partition are reached; nil: nobody is known to have it, or to be about to.
func (m *Member) Owner(p messages.Partition) *actor.PID {
	if p >= messages.Partitions {
		return nil
	}
	if pid := m.local[p].Load(); pid != nil {
		return pid
	}
	return m.routes.Load()[p]
}

// Serve says through which PID the orders of a partition are reached here; nil: they are not here.
func (m *Member) Serve(p messages.Partition, pid *actor.PID) {
	m.local[p].Store(pid)
	if pid != nil {
		m.inbox.put(had{p, true})
	}
}

// Left says that this node has a partition no more: another one may claim it, or has.
func (m *Member) Left(p messages.Partition) { m.inbox.put(had{p, false}) }

// Lost says that a partition was lost to another node.
func (m *Member) Lost(p messages.Partition) { m.inbox.put(lost{p}) }

// Leave has the node give up all that it has, and Consul told that it goes. It returns when that is done, or what could not be done
// until the context ended. Until Stop, the node goes on with the messages of others.
func (m *Member) Leave(ctx context.Context) error {
	m.inbox.put(leaving{})
	select {
	case <-m.freed:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("leave the cluster: partitions are still here: %w", context.Cause(ctx)), m.consul.Leave(ctx))
	}
	if err := m.consul.Leave(ctx); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}
