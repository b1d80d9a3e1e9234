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
	Drained       bool   `json:"drained"`
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
			Drained: n.GetDrained(),
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

// PartitionsOf makes the form of partitions.
func PartitionsOf(s *adminv1.ShowClusterResponse) []Partition {
	all := []Partition{}
	for _, p := range s.GetPartitions() {
		all = append(all, Partition{Partition: p.GetPartition(), Shard: p.GetShard(), Wanted: p.GetWanted(), Has: p.GetHas()})
	}
	return all
}

// Drained is what came of draining a node, or of undoing that.
type Drained struct {
	Node    string `json:"node"`
	Drained bool   `json:"drained"`
	Moved   int    `json:"moved"`
}

// Rebalanced is what came of a rebalance.
type Rebalanced struct {
	Moved int `json:"moved"`
}

// Shard is one of the databases that have the journal, as a node sees it.
type Shard struct {
	Shard                   uint32      `json:"shard"`
	Address                 string      `json:"address"`
	Unreachable             string      `json:"unreachable"`
	Server                  string      `json:"server"`
	ServerVersion           string      `json:"server_version"`
	SynchronousStandbyNames string      `json:"synchronous_standby_names"`
	Standbys                []Standby   `json:"standbys"`
	Generation              uint64      `json:"generation"`
	Lanes                   []ShardLane `json:"lanes"`
	Partitions              int32       `json:"partitions"`
	JournalBytes            int64       `json:"journal_bytes"`
	DatabaseBytes           int64       `json:"database_bytes"`
}

// Standby is a server that follows the primary of a shard.
type Standby struct {
	Name        string `json:"name"`
	SyncState   string `json:"sync_state"`
	BehindBytes int64  `json:"behind_bytes"`
}

// ShardLane is a connection of a node to a shard, on which it commits.
type ShardLane struct {
	Lane      uint32 `json:"lane"`
	Confirmed int64  `json:"confirmed"`
}

// ShardOf makes the form of a shard.
func ShardOf(s *adminv1.JournalShard) Shard {
	x := Shard{
		Shard: s.GetShard(), Address: s.GetAddress(), Unreachable: s.GetUnreachable(), Server: s.GetServer(),
		ServerVersion: s.GetServerVersion(), SynchronousStandbyNames: s.GetSynchronousStandbyNames(), Standbys: []Standby{},
		Generation: s.GetGeneration(), Lanes: []ShardLane{}, Partitions: s.GetPartitions(), JournalBytes: s.GetJournalBytes(),
		DatabaseBytes: s.GetDatabaseBytes(),
	}
	for _, b := range s.GetStandbys() {
		x.Standbys = append(x.Standbys, Standby{Name: b.GetName(), SyncState: b.GetSyncState(), BehindBytes: b.GetBehindBytes()})
	}
	for _, l := range s.GetLanes() {
		x.Lanes = append(x.Lanes, ShardLane{Lane: l.GetLane(), Confirmed: l.GetConfirmed()})
	}
	return x
}

// Level is the feature level of a journal, and what its nodes read.
type Level struct {
	Level uint32      `json:"level"`
	Nodes []NodeLevel `json:"nodes"`
}

// NodeLevel is the highest feature level that a node reads.
type NodeLevel struct {
	Node    string `json:"node"`
	Level   uint32 `json:"level"`
	Version string `json:"version"`
}

// LevelOf makes the form of a feature level.
func LevelOf(s *adminv1.ShowLevelResponse) Level {
	x := Level{Level: s.GetLevel(), Nodes: []NodeLevel{}}
	for _, n := range s.GetNodes() {
		x.Nodes = append(x.Nodes, NodeLevel{Node: n.GetNode(), Level: n.GetLevel(), Version: n.GetVersion()})
	}
	return x
}

// Raised is what came of raising a feature level.
type Raised struct {
	Level  uint32 `json:"level"`
	Before uint32 `json:"before"`
}
