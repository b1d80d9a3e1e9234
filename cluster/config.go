package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-run/holdfast/cluster/consul"
	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/cluster/remoting"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/supervision"
)

// Config says how a node is a member of a cluster. The zero value of a field means its default.
type Config struct {
	// Consul says how Consul is reached. Who the node is there, and whom it tells what, is filled in.
	Consul consul.Config
	// Remoting says how nodes reach each other. Who the node is, is filled in.
	Remoting remoting.Config
	// Announcement is what others need to know of the node. Its weight is 100 by default. The shards are filled in: those that the node has
	// reached so far.
	Announcement consul.Announcement
	// Margin, Inquiry, Guard and Lull are those of the lease, whose TTL is Consul's.
	Lease lease.Settings
	// Stand is how long a node has a partition that it claimed because those before it in rank did not, until it gives it back; default
	// 30 s, from 1 s to 1 h.
	Stand time.Duration
	// HandOver is how long a database of the journal may answer other nodes, and not this one, until this node ends, so that they take over
	// from it; default 15 s, from 1 s to 1 h.
	HandOver time.Duration
}

func (c Config) withDefaults(self messages.Incarnation, shards []int) Config {
	c.Announcement.Weight = cmp.Or(c.Announcement.Weight, 100)
	c.Announcement.Shards = shards
	c.Stand = cmp.Or(c.Stand, 30*time.Second)
	c.HandOver = cmp.Or(c.HandOver, 15*time.Second)
	c.Consul.Self, c.Consul.Announcement = self, c.Announcement
	c.Consul.TTL = cmp.Or(c.Consul.TTL, 3*time.Second)
	c.Lease.TTL = c.Consul.TTL
	c.Remoting.Self = remoting.Node{Address: c.Announcement.Remoting, Incarnation: self}
	c.Remoting.Version, c.Remoting.JournalLevel = c.Announcement.Version, c.Announcement.Level
	return c
}

// anybody stands for a node of which it is not known yet who it is.
const anybody = "node/0"

// Validate reports every mistake, also before it is known who the node is.
func (c Config) Validate() error {
	c = c.withDefaults(anybody, nil)
	var errs []error
	if c.Stand < time.Second || c.Stand > time.Hour {
		errs = append(errs, fmt.Errorf("cluster: Stand is %v: it must be from 1 s to 1 h", c.Stand))
	}
	if c.HandOver < time.Second || c.HandOver > time.Hour {
		errs = append(errs, fmt.Errorf("cluster: HandOver is %v: it must be from 1 s to 1 h", c.HandOver))
	}
	return errors.Join(append(errs, c.Consul.Validate(), c.Remoting.WithDefaults().Validate(), c.Lease.Validate())...)
}

// Journal is what a member needs of the journal that the nodes share.
type Journal interface {
	// Incarnation returns the incarnation under which the node has it.
	Incarnation() messages.Incarnation
	// Shards returns how many databases it has, ShardOf in which one a partition lives.
	Shards() int
	ShardOf(p messages.Partition) int
	// Reached tells whether a database has answered since the journal was opened.
	Reached(shard int) bool
}

// reached are the databases of a journal that have answered, in rising order.
func reached(j Journal) (shards []int) {
	for n := range j.Shards() {
		if j.Reached(n) {
			shards = append(shards, n)
		}
	}
	return shards
}

// Deps are the parts that a member works with. All are needed.
type Deps struct {
	Journal Journal
	// Level returns the journal's feature level.
	Level func() uint32
	// Answers tells whether a database of the journal does now, as far as is known.
	Answers func(shard int) bool
	// Watermarks is what is known of what the journal has confirmed to others, and Confirmed returns what it has confirmed to this node.
	Watermarks *Watermarks
	Confirmed  func() messages.Watermarks
	// Listener takes the connections of other nodes. It is closed at the end, also if the member can't be made.
	Listener net.Listener
	Watchdog *supervision.Watchdog
	Metrics  prometheus.Registerer
	Log      *slog.Logger
	// Fatal ends the process: the node must stop, and come back as another incarnation. It may return.
	Fatal func(reason error)
}
