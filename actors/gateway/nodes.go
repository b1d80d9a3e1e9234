package gateway

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Nodes tells which nodes there are, and which of them owns what. Its methods must be fast and not block.
type Nodes interface {
	// Topology returns the nodes that adapters are to keep streams to, this one included, and a channel that is closed when that has
	// changed. What was returned is not changed any more.
	Topology() (t *adapterv1.Topology, changed <-chan struct{})
	// Elsewhere returns which other node owns a partition; empty: this one does, or nobody is known to.
	Elsewhere(p messages.Partition) messages.NodeID
	// Owners returns which node owns which partition, as clients are told it, and a channel that is closed when that has changed; nil: it
	// is not known yet. What was returned is not changed any more.
	Owners() (o *orderv1.WatchOwnersResponse, changed <-chan struct{})
	// Show tells how the cluster is, for people; nil: the node is in none.
	Show() *adminv1.ShowClusterResponse
	// Drain has a node give up all that it has and get nothing, or no longer so if undo; empty: this one. It returns the node's name when
	// others know of it, and may wait for that.
	Drain(ctx context.Context, node messages.NodeID, undo bool) (messages.NodeID, error)
	// Rebalance has each partition go now to the node that is to have it, and returns how many are elsewhere.
	Rebalance() (misplaced int, err error)
}

// Among says that there are other nodes. It is to be called before adapters connect; without it a node announces none.
func (s *Server) Among(n Nodes) { s.nodes = n }

// alone are the nodes of a node that is alone: it announces nothing, as whoever has reached it knows it.
type alone struct{}

// Topology implements Nodes.
func (alone) Topology() (*adapterv1.Topology, <-chan struct{}) { return nil, nil }

// Elsewhere implements Nodes.
func (alone) Elsewhere(messages.Partition) messages.NodeID { return "" }

// Owners implements Nodes.
func (alone) Owners() (*orderv1.WatchOwnersResponse, <-chan struct{}) {
	return &orderv1.WatchOwnersResponse{}, nil
}

// Show implements Nodes.
func (alone) Show() *adminv1.ShowClusterResponse { return nil }

// Drain implements Nodes.
func (alone) Drain(context.Context, messages.NodeID, bool) (messages.NodeID, error) {
	return "", errAlone
}

// Rebalance implements Nodes.
func (alone) Rebalance() (int, error) { return 0, errAlone }

var errAlone = &failure{ //nolint:gochecknoglobals // a constant
	code: codes.FailedPrecondition, reason: "NO_CLUSTER", message: "this node is alone: it is in no cluster",
}

// greet is the first message of a node. It returns what is closed when the nodes in it have changed.
func (s *Server) greet() (*adapterv1.ConnectResponse, <-chan struct{}) {
	topology, changed := s.nodes.Topology()
	w := &adapterv1.Welcome{
		Node:           string(s.node),
		HeartbeatMs:    uint32(s.config.Heartbeat.Milliseconds()), //nolint:gosec // small
		MaxOutputBytes: uint32(s.config.MaxOutput),                //nolint:gosec // small
	}
	w.Features = []adapterv1.Feature{adapterv1.Feature_FEATURE_BEGUN, adapterv1.Feature_FEATURE_OWNED}
	for _, n := range topology.GetNodes() {
		w.Nodes = append(w.Nodes, n.GetAddress()) // for adapters that know no topology
	}
	return &adapterv1.ConnectResponse{Welcome: w, Topology: topology}, changed
}

// announce tells the adapter which nodes there are now.
func (c *connection) announce(st adapterConn) (err error) {
	m := &adapterv1.ConnectResponse{}
	m.Topology, c.changed = c.nodes.Topology()
	return c.deliver(st, m)
}

// SendOwned implements activity.Adapter.
func (c *connection) SendOwned(o *adapterv1.Owned) { c.put(o) }

// notOwner answers a result whose partition this node does not own: with the node to try; if that is not known, or the adapter does
// not understand it, it is asked for again.
func (c *connection) notOwner(r *adapterv1.Result) {
	p := messages.Partition(r.GetPartition()) //nolint:gosec // it was compared
	node := c.nodes.Elsewhere(p)
	if node == "" || !slices.Contains(c.hello.GetFeatures(), adapterv1.Feature_FEATURE_OWNED) {
		c.untaken.add(r.GetSeq(), p)
		return
	}
	c.put(&adapterv1.NotOwner{Seq: r.GetSeq(), Node: string(node)})
}

// listing takes the adapter's word what it has.
func (c *connection) listing(l *adapterv1.Listing) error {
	if c.stream.List(l) {
		return nil
	}
	return &failure{
		code: codes.ResourceExhausted, reason: "LISTS_TOO_MUCH", retry: time.Second,
		message: "the adapter has listed more keys than it can have, and told no results",
	}
}
