package gateway

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Databases are those that have the journal.
type Databases interface {
	// ShowShards tells how each of them is, for people, in the order of their numbers. It waits for those that don't answer as long as the
	// journal does.
	ShowShards(ctx context.Context) []*adminv1.JournalShard
}

// On says that the journal is in databases. It is to be called before operators connect.
func (s *Server) On(d Databases) { s.databases = d }

// refusal is an error of Nodes that says why a cluster does not do what an operator wants.
type refusal interface {
	error
	// Reason is why, in a word that programs know; Field the field of the request that is at fault, empty if none is.
	Reason() string
	Field() string
}

// tellRefusal says how a refusal is told.
func tellRefusal(r refusal) *failure {
	f := &failure{code: codes.FailedPrecondition, reason: r.Reason(), message: r.Error()}
	if f.reason == "NO_SUCH_NODE" {
		f.code = codes.NotFound
	}
	if r.Field() != "" {
		f.fields = append(f.fields, &errdetails.BadRequest_FieldViolation{Field: r.Field(), Description: r.Error()})
	}
	return f
}

// ShowCluster implements adminv1.AdminServiceServer.
func (a admin) ShowCluster(context.Context, *adminv1.ShowClusterRequest) (*adminv1.ShowClusterResponse, error) {
	s := a.nodes.Show()
	if s == nil {
		return nil, a.fail(errAlone)
	}
	return s, nil
}

// announceWithin is how long a call waits until a node has announced that it is drained. Consul takes some milliseconds, if it is well.
const announceWithin = 10 * time.Second

// DrainNode implements adminv1.AdminServiceServer.
func (a admin) DrainNode(ctx context.Context, r *adminv1.DrainNodeRequest) (*adminv1.DrainNodeResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, announceWithin)
	defer cancel()
	node, err := a.nodes.Drain(ctx, messages.NodeID(r.GetNode()), r.GetUndo())
	if err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "drained nodes", "", fmt.Sprintf("%s: %t", node, !r.GetUndo()))
	return &adminv1.DrainNodeResponse{Node: string(node)}, nil
}

// Rebalance implements adminv1.AdminServiceServer.
func (a admin) Rebalance(ctx context.Context, _ *adminv1.RebalanceRequest) (*adminv1.RebalanceResponse, error) {
	misplaced, err := a.nodes.Rebalance()
	if err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "partitions to move", "", strconv.Itoa(misplaced))
	return &adminv1.RebalanceResponse{Misplaced: int32(misplaced)}, nil //nolint:gosec // there are 256 partitions
}

// ListShards implements adminv1.AdminServiceServer.
func (a admin) ListShards(ctx context.Context, _ *adminv1.ListShardsRequest) (*adminv1.ListShardsResponse, error) {
	if a.databases == nil {
		return nil, a.fail(&failure{
			code: codes.FailedPrecondition, reason: "NO_SHARDS", message: "the journal of this node is in its data directory, and has no shards",
		})
	}
	return &adminv1.ListShardsResponse{Shards: a.databases.ShowShards(ctx)}, nil
}

// ShowLevel implements adminv1.AdminServiceServer.
func (a admin) ShowLevel(context.Context, *adminv1.ShowLevelRequest) (*adminv1.ShowLevelResponse, error) {
	return &adminv1.ShowLevelResponse{Level: a.engine.Catalog().Level(), Nodes: a.levels()}, nil
}

// levels are the highest feature levels that nodes read: those of all members, or that of this node if it is alone.
func (a admin) levels() []*adminv1.NodeLevel {
	s := a.nodes.Show()
	if s == nil {
		return []*adminv1.NodeLevel{{Node: string(a.node), Level: catalog.NewestLevel, Version: a.config.Version}}
	}
	var levels []*adminv1.NodeLevel
	for _, n := range s.GetNodes() {
		levels = append(levels, &adminv1.NodeLevel{Node: n.GetNode(), Level: n.GetLevel(), Version: n.GetVersion()})
	}
	return levels
}

// RaiseLevel implements adminv1.AdminServiceServer.
func (a admin) RaiseLevel(ctx context.Context, r *adminv1.RaiseLevelRequest) (*adminv1.RaiseLevelResponse, error) {
	var m mistakes
	before, level := a.engine.Catalog().Level(), r.GetLevel()
	if level < before || level == 0 {
		m.add("level", fmt.Sprintf("is %d, and the journal has %d: a level is raised, and never lowered", level, before))
		return nil, a.fail(m.err())
	}
	var unable []string
	for _, n := range a.levels() {
		if n.GetLevel() < level {
			unable = append(unable, fmt.Sprintf("%s (%s) reads up to %d", n.GetNode(), n.GetVersion(), n.GetLevel()))
		}
	}
	if len(unable) > 0 {
		text := fmt.Sprintf("not all nodes can read level %d: %s; upgrade these, or stop them, before", level, strings.Join(unable, ", "))
		return nil, a.fail(&failure{
			code: codes.FailedPrecondition, reason: "LEVEL_UNREADABLE", message: text,
			fields: []*errdetails.BadRequest_FieldViolation{{Field: "level", Description: text}},
		})
	}
	if err := a.engine.Catalog().RaiseLevel(ctx, level); err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "feature level", strconv.Itoa(int(before)), strconv.Itoa(int(level)))
	return &adminv1.RaiseLevelResponse{Before: before}, nil
}
