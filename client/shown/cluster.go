package shown

import "github.com/holdfast-run/holdfast/messages/adminv1"

// Cluster is how a cluster is, as one of its nodes sees it.
type Cluster struct {
	Lease   string        `json:"lease"`
	Version uint64        `json:"version"`
	Frozen  bool          `json:"frozen"`
	Nodes   []ClusterNode `json:"nodes"`
}

// ClusterNode is a member of a cluster.
type ClusterNode struct {
	Node          string `json:"node"`
	Incarnation   string `json:"incarnation"`
	Self          bool   `json:"self"`
	Link          string `json:"link"`
	Why           string `json:"why"`
	Weight        uint32 `json:"weight"`
	Version       string `json:"version"`
	Level         uint32 `json:"level"`
	Address       string `json:"address"`
	PublicAddress string `json:"public_address"`
	Has           int32  `json:"has"`
	Wanted        int32  `json:"wanted"`
}

// ClusterOf makes the form of a cluster.
func ClusterOf(s *adminv1.ShowClusterResponse) Cluster {
	c := Cluster{Lease: s.GetLease(), Version: s.GetVersion(), Frozen: s.GetFrozen(), Nodes: []ClusterNode{}}
	for _, n := range s.GetNodes() {
		c.Nodes = append(c.Nodes, ClusterNode{
			Node: n.GetNode(), Incarnation: n.GetIncarnation(), Self: n.GetSelf(), Link: n.GetLink(), Why: n.GetWhy(), Weight: n.GetWeight(),
			Version: n.GetVersion(), Level: n.GetLevel(), Address: n.GetAddress(), PublicAddress: n.GetPublicAddress(), Has: n.GetHas(),
			Wanted: n.GetWanted(),
		})
	}
	return c
}

// Partition is a partition, as a node sees it.
type Partition struct {
	Partition uint32 `json:"partition"`
	Shard     uint32 `json:"shard"`
	Wanted    string `json:"wanted"`
	Has       string `json:"has"`
}

// Shard is a database of the journal, as a node finds it.
type Shard struct {
	Shard   uint32 `json:"shard"`
	Answers bool   `json:"answers"`
	Why     string `json:"why"`
}

// ShardsOf makes the form of shards.
func ShardsOf(s *adminv1.ShowClusterResponse) []Shard {
	all := []Shard{}
	for _, x := range s.GetShards() {
		all = append(all, Shard{Shard: x.GetShard(), Answers: x.GetAnswers(), Why: x.GetWhy()})
	}
	return all
}

// PartitionsOf makes the form of partitions.
func PartitionsOf(s *adminv1.ShowClusterResponse) []Partition {
	all := []Partition{}
	for _, p := range s.GetPartitions() {
		all = append(all, Partition{Partition: p.GetPartition(), Shard: p.GetShard(), Wanted: p.GetWanted(), Has: p.GetHas()})
	}
	return all
}
