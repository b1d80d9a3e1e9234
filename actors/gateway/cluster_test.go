package gateway_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// A node that is alone says so, whatever is wanted of its cluster, and tells its level all the same.
func TestOperationsOfANodeThatIsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx := t.Context()
		_, drain := n.admin.DrainNode(ctx, &adminv1.DrainNodeRequest{Node: "node"})
		_, rebalance := n.admin.Rebalance(ctx, &adminv1.RebalanceRequest{})
		_, shards := n.admin.ListShards(ctx, &adminv1.ListShardsRequest{})
		for what, err := range map[string]error{"NO_CLUSTER drain": drain, "NO_CLUSTER rebalance": rebalance, "NO_SHARDS shards": shards} {
			reason, _, _ := strings.Cut(what, " ")
			if status.Code(err) != codes.FailedPrecondition || refusalOf(t, err).reason != reason {
				t.Errorf("%s: %v", what, err)
			}
		}
		s, err := n.admin.ShowLevel(ctx, &adminv1.ShowLevelRequest{})
		if err != nil || s.GetLevel() != persistence.NewestLevel || len(s.GetNodes()) != 1 || s.GetNodes()[0].GetLevel() != s.GetLevel() {
			t.Errorf("the level is %v: %v", s, err)
		}
	})
}

// unwanted is a refusal as a cluster tells it.
type unwanted struct{ reason, field string }

func (unwanted) Error() string    { return "no; do this before" }
func (u unwanted) Reason() string { return u.reason }
func (u unwanted) Field() string  { return u.field }

// What the cluster refuses is told with its reason, the field at fault and the remedy.
func TestRefusalsOfTheCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t), newNeighbours("node", "other")
		n.server.Among(c)
		ctx := t.Context()
		for _, tt := range []struct {
			refusal unwanted
			code    codes.Code
		}{
			{unwanted{"LAST_NODE", "node"}, codes.FailedPrecondition},
			{unwanted{"NO_SUCH_NODE", "node"}, codes.NotFound},
			{unwanted{"FROZEN", ""}, codes.FailedPrecondition},
		} {
			c.refusal = tt.refusal
			_, err := n.admin.DrainNode(ctx, &adminv1.DrainNodeRequest{Node: "other"})
			if status.Code(err) != tt.code || refusalOf(t, err).reason != tt.refusal.reason || !strings.Contains(err.Error(), "do this before") {
				t.Errorf("drain: %v", err)
			}
			if told := refusalOf(t, err).fields; tt.refusal.field != "" && (len(told) != 1 || told[0] != tt.refusal.field) {
				t.Errorf("%s: the fields told are %v", tt.refusal.reason, told)
			}
			if _, err := n.admin.Rebalance(ctx, &adminv1.RebalanceRequest{}); refusalOf(t, err).reason != tt.refusal.reason {
				t.Errorf("rebalance: %v", err)
			}
		}
		c.refusal = context.DeadlineExceeded
		if _, err := n.admin.DrainNode(ctx, &adminv1.DrainNodeRequest{Node: "other"}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a node that does not announce it: %v", err)
		}
		c.refusal = nil
		if a, err := n.admin.Rebalance(ctx, &adminv1.RebalanceRequest{}); err != nil || a.GetMisplaced() != 3 {
			t.Errorf("rebalance: %v %v", a, err)
		}
		if a, err := n.admin.DrainNode(ctx, &adminv1.DrainNodeRequest{Node: "other"}); err != nil || a.GetNode() != "other" {
			t.Errorf("drain: %v %v", a, err)
		}
	})
}

// The level is not lowered, nor raised while a member can't read it: who that is, is told.
func TestRaisingTheLevel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t), newNeighbours("node", "other")
		n.server.Among(c)
		ctx := t.Context()
		raise := func(level uint32) (*adminv1.RaiseLevelResponse, error) {
			return n.admin.RaiseLevel(ctx, &adminv1.RaiseLevelRequest{Level: level})
		}
		c.shown = &adminv1.ShowClusterResponse{Nodes: []*adminv1.ClusterNode{
			{Node: "node", Level: persistence.NewestLevel + 1}, {Node: "other", Level: persistence.NewestLevel, Version: "v1"},
		}}
		if _, err := raise(0); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "level is 0") {
			t.Errorf("to 0: %v", err)
		}
		_, err := raise(persistence.NewestLevel + 1)
		if refusalOf(t, err).reason != "LEVEL_UNREADABLE" || !strings.Contains(err.Error(), "other (v1) reads up to 1") || strings.Contains(err.Error(), "node (") {
			t.Errorf("to what other can't read: %v", err)
		}
		if a, err := raise(persistence.NewestLevel); err != nil || a.GetBefore() != persistence.NewestLevel {
			t.Errorf("to what it has: %v %v", a, err)
		}
		c.shown.Nodes = c.shown.Nodes[:1]
		if _, err := raise(persistence.NewestLevel + 1); status.Code(err) != codes.FailedPrecondition || refusalOf(t, err).reason != "FEATURE_LEVEL" {
			t.Errorf("to what the journal does not take: %v", err)
		}
	})
}
