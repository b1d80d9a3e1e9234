package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Single is the placement of a node that is alone: it owns every partition. Its methods are safe for concurrent use.
type Single struct {
	host Host
	// owners is read without a lock, by whoever sends to an order.
	owners [messages.Partitions]atomic.Pointer[actor.PID]

	mu    sync.Mutex // held while an owner is replaced
	ended bool
}

// NewSingle makes the placement.
func NewSingle() *Single { return &Single{} }

// Host is told what it is to own, and what comes from other nodes.
type Host = interface {
	Take(ps ...messages.Partition)
	Give(ps ...messages.Partition)
	Receive(a *nodev1.Answer)
	Lost(address string)
}

// Start has the host own every partition.
func (s *Single) Start(_ *actor.ActorSystem, h Host) error {
	s.host = h
	all := make([]messages.Partition, 0, messages.Partitions)
	for p := range messages.Partition(messages.Partitions) {
		all = append(all, p)
	}
	h.Take(all...)
	return nil
}

// Owner returns the PID through which the orders of a partition are reached; nil: there is none.
func (s *Single) Owner(p messages.Partition) *actor.PID {
	if p >= messages.Partitions {
		return nil
	}
	return s.owners[p].Load()
}

// Serve says through which PID the orders of a partition are reached; nil: they are not here.
func (s *Single) Serve(p messages.Partition, pid *actor.PID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.owners[p].Store(pid)
	}
}

// Lost says that somebody else has claimed a partition. As there is nobody else, it is taken again.
func (s *Single) Lost(p messages.Partition) { s.host.Take(p) }

// Left does nothing: there is nobody else to claim it.
func (*Single) Left(messages.Partition) {}

// Ready is always nil.
func (*Single) Ready() error { return nil }

// MayDispatch tells whether this node may begin with tasks: nobody can take them over.
func (*Single) MayDispatch() bool { return true }

// Gone tells whether another incarnation is to own nothing any more. Nobody here knows: who opened the journal has fenced those before
// it, and those that came later are not to be fenced in turn.
func (*Single) Gone(messages.Incarnation) bool { return false }

// Stop ends it: nobody owns anything from then on.
func (s *Single) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for p := range s.owners {
		s.owners[p].Store(nil)
	}
}
