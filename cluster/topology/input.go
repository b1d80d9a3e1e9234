package topology

import (
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

type (
	// Input is what a topology is told.
	Input interface{ isInput() }
	// Answer is one of Consul's, with all nodes.
	Answer struct {
		// Sent is when it was asked for: what it says was true at some time after it. Received is when it came.
		Sent, Received time.Time
		// Fell: the index is below that of the answer before.
		Fell bool
		// MayRemove: the lease of this node allows it to act upon what Consul says of others. Else nobody is removed.
		MayRemove bool
		// Instances are the nodes, each incarnation once.
		Instances []Instance
	}
	// Failed says that Consul did not answer.
	Failed struct{}
	// Link says whether this node is connected to another one. It is not, before it is said.
	Link struct {
		Incarnation messages.Incarnation
		Up          bool
	}
	// Found says that there is an incarnation that Consul may not have shown: the journal has it as the owner of a partition, which is to
	// be said as often as that is read; or it answers where an older one of its node was looked for.
	Found struct{ Incarnation messages.Incarnation }
	// Frozen says whether Consul is lost for all, so that the topology has to stay as it is.
	Frozen struct{ Frozen bool }
)

func (Answer) isInput() {}
func (Failed) isInput() {}
func (Link) isInput()   {}
func (Found) isInput()  {}
func (Frozen) isInput() {}

// Instance is an incarnation of a node, as an answer shows it.
type Instance struct {
	Incarnation messages.Incarnation
	State       State
	// Leaving: it has said itself that it leaves.
	Leaving      bool
	Announcement Announcement
}

// State is how an answer shows an incarnation; a better one is greater.
type State uint8

// The states.
const (
	Absent   State = iota // it is not in the answer
	Critical              // a check failed, or was not refreshed
	Warning               // nothing shows that it lives, or that it does not
	Passing               // it lives
)

func (s State) String() string {
	return []string{Absent: "absent", Critical: "critical", Warning: "warning", Passing: "passing"}[s]
}

// Announcement is what a node says of itself. Nothing here depends on it, but that a change of it is one of the topology.
type Announcement struct {
	// Remoting, Public and Adapters are the addresses at which other nodes, clients and adapters reach it.
	Remoting, Public, Adapters string
	// Level is the highest feature level that it can read, Weight its share of the partitions, Version that of the program.
	Level, Weight uint32
	// Drained: its weight is 0 as an operator wants it so.
	Drained bool
	Version string
	// Shards are the numbers of the journal's databases that it reaches.
	Shards []int
}

func (a Announcement) equal(b Announcement) bool {
	return a.Remoting == b.Remoting && a.Public == b.Public && a.Adapters == b.Adapters && a.Level == b.Level &&
		a.Weight == b.Weight && a.Drained == b.Drained && a.Version == b.Version && slices.Equal(a.Shards, b.Shards)
}
