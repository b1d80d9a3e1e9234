package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// startCluster starts PostgreSQL, Consul and nodes, which are this test binary. Not in parallel with others: they are told so by the
// environment.
func startCluster(t *testing.T, nodes int) *stage.Cluster {
	t.Helper()
	consul, err := exec.LookPath(os.Getenv("HOLDFAST_TEST_CONSUL"))
	if err != nil {
		t.Skip("HOLDFAST_TEST_CONSUL names no Consul: make tools builds it")
	}
	bin, err := pgserver.Programs()
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "holdfast-cluster-") //nolint:usetesting // the server's user may not enter the folder of a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	db, err := pgserver.Make(t.Context(), bin, dir)
	if err == nil {
		err = db.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Stop)
	t.Setenv(childVariable, "real")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, s := stage.New(ctx, t.TempDir())
	t.Cleanup(s.Stop)
	c, err := s.StartCluster(ctx, stage.ClusterSpec{
		Holdfast: os.Args[0], Consul: consul, Journal: db.Address("postgres"), Nodes: nodes,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An operator drains a node by another one, looks at it, is refused the last one, and undoes it.
func TestClusterIsOperated(t *testing.T) { //nolint:paralleltest // it sets the environment
	c := startCluster(t, 2)
	f := &fake{t: t, environ: []string{"HOLDFAST_ADMIN=" + c.Nodes[0].Admin}}
	for deadline := time.Now().Add(time.Minute); ; { // each node has its share
		if o := f.run("cluster", "rebalance", "-o", "json"); o.status == exitOK && len(f.status().Nodes) == 2 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the nodes don't get their shares: %+v", o)
		}
	}
	share := f.node("node2").Has
	if share == 0 {
		t.Fatal("node2 has nothing")
	}
	drained := f.run("cluster", "drain", "node2")
	if want := fmt.Sprintf("node node2 is drained: %d partitions moved\n", share); drained.status != exitOK || drained.stdout != want {
		t.Errorf("drained: %+v, want %q", drained, want)
	}
	if n := f.node("node2"); n.Has != 0 || n.Wanted != 0 || !n.Drained || f.node("node1").Has != 256 {
		t.Errorf("after the drain node2 is %+v, and node1 %+v", n, f.node("node1"))
	}
	if o := f.run("cluster", "status"); !strings.Contains(o.stdout, "drained") {
		t.Errorf("the status is\n%s", o.stdout)
	}
	if !c.Nodes[1].IsReady(t.Context()) {
		t.Error("a drained node is not ready")
	}
	for _, refused := range [][2]string{{"node1", "last that could have"}, {"nobody", "there are node1, node2"}} {
		if o := f.run("cluster", "drain", refused[0]); o.status != exitError || !strings.Contains(o.stderr, refused[1]) {
			t.Errorf("drain %s: %+v", refused[0], o)
		}
	}
	f.environ = []string{"HOLDFAST_ADMIN=" + c.Nodes[1].Admin}
	if o := f.run("cluster", "drain", "--self", "--undo", "-o", "json"); o.status != exitOK || !strings.Contains(o.stdout, `"drained":false`) {
		t.Errorf("undone: %+v", o)
	}
	if n := f.node("node2"); n.Has != share || n.Drained {
		t.Errorf("undone, node2 is %+v: it had %d", n, share)
	}
	f.wantTakenOver(t, c)
	f.wantShards(t)
	if o := f.run("cluster", "level"); o.status != exitOK || !strings.Contains(o.stdout, "node node2") {
		t.Errorf("level: %+v", o)
	}
	if o := f.run("cluster", "level", "--raise", "1"); o.status != exitOK || !strings.Contains(o.stdout, "already") {
		t.Errorf("raise to what it has: %+v", o)
	}
	if o := f.run("cluster", "level", "--raise", "99"); o.status != exitError || !strings.Contains(o.stderr, "node1 (") {
		t.Errorf("raise to what nobody reads: %+v", o)
	}
}

// wantTakenOver shows that a drained node takes what nobody else could have: its drain ends when the other node dies.
func (f *fake) wantTakenOver(t *testing.T, c *stage.Cluster) {
	t.Helper()
	if o := f.run("cluster", "drain", "--self"); o.status != exitOK {
		t.Fatalf("drained again: %+v", o)
	}
	c.Nodes[0].StayAway(30 * time.Second) // longer than a busy machine takes
	starts := c.Nodes[0].Starts()
	if err := c.Nodes[0].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); f.node("node2").Has < 256; {
		if time.Now().After(deadline) {
			t.Fatalf("node2 does not take over: %+v", f.status())
		}
	}
	if n := f.node("node2"); n.Drained || n.Weight != 100 {
		t.Errorf("node2 has taken over, and is %+v", n)
	}
	if c.Nodes[0].Starts() != starts {
		t.Error("node1 was back before") // so that it tells nothing
	}
	for deadline := time.Now().Add(time.Minute); len(f.status().Nodes) < 2; {
		if time.Now().After(deadline) {
			t.Fatal("node1 does not come back")
		}
	}
}

// wantShards looks at the database of the cluster.
func (f *fake) wantShards(t *testing.T) {
	t.Helper()
	var shards []shown.Shard
	if err := json.Unmarshal([]byte(f.run("cluster", "shards", "-o", "json").stdout), &shards); err != nil {
		t.Fatal(err)
	}
	if len(shards) != 1 || shards[0].Unreachable != "" || shards[0].Partitions != 256 || shards[0].JournalBytes == 0 ||
		!strings.HasPrefix(shards[0].ServerVersion, "1") || len(shards[0].Lanes) != 1 || shards[0].Lanes[0].Confirmed == 0 {
		t.Errorf("the shards are %+v", shards)
	}
	if o := f.run("cluster", "shards"); o.status != exitOK || !strings.Contains(o.stdout, "used") {
		t.Errorf("shards: %+v", o)
	}
}

// status is the cluster, as the node tells it that is asked.
func (f *fake) status() (s shown.Cluster) {
	f.t.Helper()
	if err := json.Unmarshal([]byte(f.run("cluster", "status", "-o", "json").stdout), &s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fake) node(name string) shown.ClusterNode {
	f.t.Helper()
	for _, n := range f.status().Nodes {
		if n.Node == name {
			return n
		}
	}
	f.t.Fatalf("there is no node %s", name)
	return shown.ClusterNode{}
}

// The state of a node is a word, whatever the reason for it, of which a table tells the beginning.
func TestStateOfANodeIsAWord(t *testing.T) {
	t.Parallel()
	long := "rpc error: code = Unavailable desc = " + strings.Repeat("connection refused, ", 50)
	s := &adminv1.ShowClusterResponse{Lease: "held"}
	for _, tt := range []struct {
		node        *adminv1.ClusterNode
		state, note string
	}{
		{&adminv1.ClusterNode{Weight: 100, Self: true}, "member", "this one"},
		{&adminv1.ClusterNode{Weight: 100, Link: "up"}, "member", ""},
		{&adminv1.ClusterNode{Link: "up"}, "leaves", ""},
		{&adminv1.ClusterNode{Link: "up", Drained: true, Has: 3}, "drains", ""},
		{&adminv1.ClusterNode{Link: "up", Drained: true}, "drained", ""},
		{&adminv1.ClusterNode{Weight: 100, Link: "down", Why: long}, "unreachable", long[:noteWidth-1] + "…"},
	} {
		if state, note := nodeState(s, tt.node); state != tt.state || note != tt.note {
			t.Errorf("%v: %q, %q", tt.node, state, note)
		}
	}
}
