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
	for p := range messages.Partition(messages.Partitions) {
		x := &adminv1.ClusterPartition{
			Partition: uint32(p), Shard: uint32(m.deps.Journal.ShardOf(p)), //nolint:gosec // there are few
			Has: string(m.has(p)), Wanted: string(m.view.desired(p)),
		}
		wanted[messages.Incarnation(x.GetWanted())]++
		has[messages.Incarnation(x.GetHas())]++
		out.Partitions = append(out.Partitions, x)
	}
	for _, x := range m.topology.Members() {
		a, peer := x.Announcement, peers[x.Incarnation]
		out.Nodes = append(out.Nodes, &adminv1.ClusterNode{
			Node: string(x.Incarnation.Node()), Incarnation: string(x.Incarnation), Self: x.Incarnation == m.self,
			Link: peer.State, Why: peer.Why, Weight: a.Weight, Version: a.Version, Level: a.Level, Address: a.Remoting,
			PublicAddress: a.Public, Has: has[x.Incarnation], Wanted: wanted[x.Incarnation], Drained: a.Drained,
		})
	}
	slices.SortFunc(out.Nodes, func(a, b *adminv1.ClusterNode) int { return cmp.Compare(a.GetIncarnation(), b.GetIncarnation()) })
	return out
}
