package cluster

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	proto "github.com/asynkron/protoactor-go/cluster"
	"github.com/asynkron/protoactor-go/remote"

	"github.com/holdfast-run/holdfast/messages"
)

// Kind is the cluster kind of orders.
const Kind = "order"

// Single is the placement of a node that is alone: it owns every partition.
type Single struct {
	cluster *proto.Cluster
	lookup  *lookup
	host    Host
}

// NewSingle makes the placement.
func NewSingle() *Single { return &Single{lookup: &lookup{}} }

// Host is told what it is to own.
type Host = interface {
	Take(ps ...messages.Partition)
	Give(ps ...messages.Partition)
}

// Start makes the actor system a cluster of one member, and has it own every partition.
func (s *Single) Start(system *actor.ActorSystem, h Host) error {
	// The remote is not started: it only holds the list of blocked members, and listens nowhere. For the same reason the
	// cluster's own StartMember is not called, which would start it.
	config := proto.Configure("holdfast", provider{}, s.lookup, remote.Configure("127.0.0.1", 0))
	s.cluster = proto.New(system, config)
	s.cluster.Remote = remote.NewRemote(system, config.RemoteConfig)
	s.cluster.IdentityLookup = s.lookup
	s.lookup.Setup(s.cluster, []string{Kind}, false)
	if err := config.ClusterProvider.StartMember(s.cluster); err != nil {
		return fmt.Errorf("start member: %w", err)
	}
	s.host = h
	all := make([]messages.Partition, 0, messages.Partitions)
	for p := range messages.Partition(messages.Partitions) {
		all = append(all, p)
	}
	h.Take(all...)
	return nil
}

// Owner returns the PID through which the orders of a partition are reached. It is what the cluster's lookup of Identity answers,
// without the making and parsing of the name.
func (s *Single) Owner(p messages.Partition) *actor.PID { return s.lookup.owner(p) }

// Serve says through which PID the orders of a partition are reached; nil: they are not here.
func (s *Single) Serve(p messages.Partition, pid *actor.PID) { s.lookup.serve(p, pid) }

// Lost says that somebody else has claimed a partition. As there is nobody else, it is taken again.
func (s *Single) Lost(p messages.Partition) { s.host.Take(p) }

// Stop leaves the cluster.
func (s *Single) Stop() {
	s.lookup.Shutdown()
	if s.cluster != nil {
		_ = s.cluster.Config.ClusterProvider.Shutdown(true)
	}
}

// Identity is the cluster identity of an order.
func Identity(p messages.Partition, id messages.OrderID) string {
	return strconv.FormatUint(uint64(p), 16) + "/" + string(id)
}

// provider tells the cluster of its one member.
type provider struct{}

func (provider) StartMember(c *proto.Cluster) error {
	c.MemberList.UpdateClusterTopology(proto.Members{
		{Id: c.ActorSystem.ID, Host: "127.0.0.1", Kinds: []string{Kind}},
	})
	return nil
}

func (provider) StartClient(*proto.Cluster) error { return nil }
func (provider) Shutdown(bool) error              { return nil }

// lookup finds orders: an order is reached through its partition, which activates it. The table is replaced as a whole,
// so that looking up takes no lock.
type lookup struct {
	owners  atomic.Pointer[[messages.Partitions]*actor.PID]
	serving sync.Mutex // held while the table is replaced
	closed  bool
}

func (l *lookup) serve(p messages.Partition, pid *actor.PID) {
	l.serving.Lock()
	defer l.serving.Unlock()
	owners := new([messages.Partitions]*actor.PID)
	if now := l.owners.Load(); now != nil {
		*owners = *now
	}
	if owners[p] = pid; !l.closed {
		l.owners.Store(owners)
	}
}

func (l *lookup) Get(identity *proto.ClusterIdentity) *actor.PID {
	slot, _, ok := strings.Cut(identity.GetIdentity(), "/")
	if !ok || identity.GetKind() != Kind {
		return nil
	}
	p, err := strconv.ParseUint(slot, 16, 16)
	if err != nil {
		return nil
	}
	return l.owner(messages.Partition(p))
}

func (l *lookup) owner(p messages.Partition) *actor.PID {
	owners := l.owners.Load()
	if owners == nil || p >= messages.Partitions {
		return nil
	}
	return owners[p]
}

func (l *lookup) RemovePid(*proto.ClusterIdentity, *actor.PID) {}
func (l *lookup) Setup(*proto.Cluster, []string, bool)         {}

func (l *lookup) Shutdown() {
	l.serving.Lock()
	defer l.serving.Unlock()
	l.closed = true
	l.owners.Store(nil)
}
