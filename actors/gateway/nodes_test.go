package gateway_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// neighbours is what a node is told of the others.
type neighbours struct {
	mu       sync.Mutex
	topology *adapterv1.Topology
	changed  chan struct{}
	owners   map[messages.Partition]messages.NodeID
	shown    *adminv1.ShowClusterResponse
	refusal  error
	told     *orderv1.WatchOwnersResponse
}

func newNeighbours(nodes ...string) *neighbours {
	c := &neighbours{changed: make(chan struct{}), owners: map[messages.Partition]messages.NodeID{}}
	c.become(1, nodes...)
	return c
}

// become changes which nodes there are.
func (c *neighbours) become(version uint64, nodes ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topology = &adapterv1.Topology{Version: version}
	for _, id := range nodes {
		c.topology.Nodes = append(c.topology.Nodes, &adapterv1.Node{Id: id, Address: id + ":7460"})
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// owned says which node owns a partition; empty: this one.
func (c *neighbours) owned(p messages.Partition, by messages.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners[p] = by
}

func (c *neighbours) Topology() (*adapterv1.Topology, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topology, c.changed
}

func (c *neighbours) Elsewhere(p messages.Partition) messages.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owners[p]
}

func (c *neighbours) Owners() (*orderv1.WatchOwnersResponse, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told, c.changed
}

func (c *neighbours) Show() *adminv1.ShowClusterResponse { return c.shown }

func (c *neighbours) Drain(_ context.Context, node messages.NodeID, _ bool) (messages.NodeID, error) {
	return node, c.refusal
}

func (c *neighbours) Rebalance() (int, error) { return 3, c.refusal }

// An adapter is told which nodes there are with the welcome, and whenever that changes.
func TestNodesAreAnnounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t), newNeighbours("node", "other")
		n.server.Among(c)
		a := adaptertest.Dial(t, n.conn, &adapterv1.ConnectRequest{Hello: adaptertest.Hello()})
		m := a.Hear()
		if got := m.GetWelcome().GetNodes(); len(got) != 2 || got[0] != "node:7460" || got[1] != "other:7460" {
			t.Errorf("the welcome names %v", got)
		}
		before, _ := c.Topology()
		if got := m.GetTopology(); !proto.Equal(got, before) {
			t.Errorf("with the welcome: %v", got)
		}
		c.become(2, "node", "third")
		c.become(3, "node", "other", "third")
		after, _ := c.Topology()
		for got := a.Hear().GetTopology(); !proto.Equal(got, after); got = a.Hear().GetTopology() {
			if got.GetVersion() != 2 {
				t.Fatalf("after the change: %v", got)
			}
		}
	})
}

// A node that is alone announces nothing.
func TestANodeThatIsAloneAnnouncesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := adaptertest.Dial(t, start(t).conn, &adapterv1.ConnectRequest{Hello: adaptertest.Hello()}).Hear()
		if m.GetTopology() != nil || len(m.GetWelcome().GetNodes()) > 0 {
			t.Errorf("the first message is %v", m)
		}
	})
}
