package cluster

import (
	"cmp"
	"slices"

	"github.com/holdfast-run/holdfast/cluster/remoting"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Show tells how the cluster is, as this node sees it.
func (m *Member) Show() *adminv1.ShowClusterResponse {
	peers := map[messages.Incarnation]remoting.Peer{}
	for _, p := range m.remoting.Status() {
		peers[p.Incarnation] = p
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &adminv1.ShowClusterResponse{
		Lease: m.lease.State().String(), Version: m.topology.Version(), Frozen: m.frozen,
	}
	wanted, has := map[messages.Incarnation]int32{}, map[messages.Incarnation]int32{}
	for i := range messages.Partitions {
		p := messages.Partition(i)
		x := &adminv1.ClusterPartition{
			Partition: uint32(p), Shard: uint32(i % m.deps.Shards), Has: string(m.view.holder(p)), //nolint:gosec // there are few
		}
		if m.view.mine.has(p) {
			x.Has = string(m.deps.Self)
		}
		if ranked := m.view.ranked(p); len(ranked) > 0 {
			x.Wanted = string(ranked[0])
		}
		wanted[messages.Incarnation(x.GetWanted())]++
		has[messages.Incarnation(x.GetHas())]++
		out.Partitions = append(out.Partitions, x)
	}
	for _, x := range m.topology.Members() {
		a, peer := x.Announcement, peers[x.Incarnation]
		out.Nodes = append(out.Nodes, &adminv1.ClusterNode{
			Node: string(x.Incarnation.Node()), Incarnation: string(x.Incarnation), Self: x.Incarnation == m.deps.Self,
			Link: peer.State, Why: peer.Why, Weight: a.Weight, Version: a.Version, Level: a.Level, Address: a.Remoting,
			PublicAddress: a.Public, Has: has[x.Incarnation], Wanted: wanted[x.Incarnation],
		})
	}
	slices.SortFunc(out.Nodes, func(a, b *adminv1.ClusterNode) int { return cmp.Compare(a.GetIncarnation(), b.GetIncarnation()) })
	return out
}
