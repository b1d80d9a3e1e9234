package adaptertest

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// listed is what an adapter has answered to Own.
type listed struct {
	epoch uint64
	keys  []string
	all   bool
}

// Own says on all streams that the node has taken a partition over.
func (n *Node) Own(partition uint32, epoch uint64) {
	n.mu.Lock()
	n.listed[partition] = &listed{epoch: epoch}
	n.mu.Unlock()
	n.Broadcast(&adapterv1.ConnectResponse{Owned: []*adapterv1.Owned{{Partition: partition, Epoch: epoch}}})
}

// AwaitListed waits for the whole answer to Own, and returns its keys.
func (n *Node) AwaitListed(ctx context.Context, partition uint32) []string {
	n.tb.Helper()
	var keys []string
	n.until(ctx, fmt.Sprintf("what there is of partition %d", partition), func() bool {
		l := n.listed[partition]
		if l == nil || !l.all {
			return false
		}
		keys = slices.Clone(l.keys)
		return true
	})
	return keys
}

// NotOwner answers results: the node does not own their partition, but another one does.
func (n *Node) NotOwner(other string, results ...*adapterv1.Result) {
	m := &adapterv1.ConnectResponse{}
	for _, r := range results {
		m.NotOwner = append(m.NotOwner, &adapterv1.NotOwner{Seq: r.GetSeq(), Node: other})
	}
	n.Broadcast(m)
}

// AwaitSomeCredit waits until the node may send a task of an activity.
func (n *Node) AwaitSomeCredit(ctx context.Context, activity string) {
	n.tb.Helper()
	n.until(ctx, "credit for "+activity, func() bool {
		return slices.ContainsFunc(n.streams, func(s *stream) bool { return s.credits[activity] != nil && s.credits[activity].left() > 0 })
	})
}

// receiveListing takes a listing, and checks it.
func (n *Node) receiveListing(s *stream, l *adapterv1.Listing) {
	if !n.options.Lists {
		n.violatedf("a listing for partition %d: the welcome does not say that the node takes any", l.GetPartition())
		return
	}
	if len(l.GetActivities()) != len(l.GetKeys()) {
		n.violatedf("a listing of %d keys names %d activities", len(l.GetKeys()), len(l.GetActivities()))
		return
	}
	for i, key := range l.GetKeys() {
		s.knows[key] = true
		n.execution(key).allowed = true // it may have been, by another node
		t := n.tasks[key]
		if t == nil {
			continue
		}
		if t.GetPartition() != l.GetPartition() {
			n.violatedf("a listing for partition %d has key %q, which is of partition %d", l.GetPartition(), key, t.GetPartition())
		}
		if of := l.GetActivities()[i]; t.GetActivity() != of {
			n.violatedf("a listing says that key %q is of activity %q, not %q", key, of, t.GetActivity())
		}
	}
	if l.GetEpoch() == 0 {
		return
	}
	asked := n.listed[l.GetPartition()]
	if asked == nil || asked.epoch != l.GetEpoch() {
		n.violatedf("a listing answers for partition %d and epoch %d, which were not asked for", l.GetPartition(), l.GetEpoch())
		return
	}
	asked.keys, asked.all = append(asked.keys, l.GetKeys()...), !l.GetMore()
}

// Topology is which nodes there are, in a version.
func Topology(version uint64, nodes ...*Node) *adapterv1.Topology {
	t := &adapterv1.Topology{Version: version}
	for _, n := range nodes {
		t.Nodes = append(t.Nodes, &adapterv1.Node{Id: n.options.ID, Address: n.addr})
	}
	return t
}

// Announce tells on all streams, also those to come, which nodes there are.
func (n *Node) Announce(t *adapterv1.Topology) {
	n.mu.Lock()
	n.topology = t
	n.mu.Unlock()
	n.Broadcast(&adapterv1.ConnectResponse{Topology: t})
}
