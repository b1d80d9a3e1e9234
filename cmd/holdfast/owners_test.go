package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// submitting is a client that submits orders to a cluster.
type submitting struct {
	t         *testing.T
	cluster   *stage.Cluster
	submitter *client.Submitter

	mu   sync.Mutex
	ends map[string]int // by order
	last atomic.Int64   // the number of the order that was submitted last
}

// some submits orders, and returns what waits until they have ended.
func (s *submitting) some(ctx context.Context, orders int) (wait func()) {
	s.t.Helper()
	var under sync.WaitGroup
	for range orders {
		n := s.last.Add(1)
		id, key := fmt.Sprintf("order-%d", n), ""
		if n%2 == 0 {
			key = fmt.Sprintf("key-%d", n%50)
		}
		under.Add(1)
		err := s.submitter.Submit(ctx, &orderv1.SubmitRequest{
			Order: &orderv1.WorkOrder{Id: id, Definition: "t/keep", OrderKey: key, Input: []byte(`"` + id + `"`)}, Wait: orderv1.Wait_WAIT_ENDED,
		}, func(a client.Answer) {
			if !a.Last {
				return
			}
			if got := string(a.Submission.GetEnded().GetOutput()); got != `"`+id+`"` {
				s.t.Errorf("order %s: output %s, %v", id, got, a)
			}
			s.mu.Lock()
			s.ends[id]++
			s.mu.Unlock()
			under.Done()
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return under.Wait
}

// passed is how many messages about orders the nodes that answer have sent to each other.
func (s *submitting) passed(ctx context.Context) (sum float64) {
	s.t.Helper()
	for _, n := range s.cluster.Nodes {
		m, err := n.Metrics(ctx)
		if err != nil {
			continue // it is away
		}
		v, err := m.Value(`holdfast_remoting_messages_total{direction="sent",kind="envelope"}`)
		if err != nil {
			s.t.Error(err)
		}
		sum += v
	}
	return sum
}

// wantDirect submits until nothing is passed on any more.
func (s *submitting) wantDirect(ctx context.Context) {
	s.t.Helper()
	const orders = 200
	for deadline := time.Now().Add(time.Minute); ; {
		before := s.passed(ctx)
		s.some(ctx, orders)()
		if got := s.passed(ctx) - before; got < orders/20 { // nodes speak of other things, too
			return
		} else if time.Now().After(deadline) {
			s.t.Fatalf("of %d orders nodes still pass on to each other %v messages", orders, got)
		}
	}
}

// A client that knows one node has its orders go to their owners. It follows when a node is killed with orders that it was given, and
// comes back: none is lost, and each ends once.
func TestClientGoesToOwners(t *testing.T) { //nolint:paralleltest // it sets the environment
	c := startCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f := &fake{t: t, environ: []string{"HOLDFAST_ADMIN=" + c.Nodes[0].Admin}}
	for deadline := time.Now().Add(time.Minute); ; { // each node has its share
		if o := f.run("cluster", "rebalance", "-o", "json"); o.status == exitOK && len(f.status().Nodes) == 3 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the nodes don't get their shares: %+v", o)
		}
	}
	conn, err := client.New(client.Config{Addresses: []string{c.Nodes[0].Server}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	if _, err = conn.Definitions().Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(
		"document: {dsl: '1.0.3', namespace: t, name: keep, version: '1.0.0'}\ndo: [{keep: {set: '${ . }'}}]\n",
	)}); err != nil {
		t.Fatal(err)
	}
	s := &submitting{t: t, cluster: c, submitter: conn.NewSubmitter(ctx, client.Submitting{}), ends: map[string]int{}}
	s.wantDirect(ctx)

	killed := c.Nodes[2]
	killed.StayAway(3 * time.Second)
	before := s.some(ctx, 500)
	if err := killed.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := s.some(ctx, 500)
	before()
	after()
	s.wantDirect(ctx)
	for deadline := time.Now().Add(time.Minute); len(f.status().Nodes) < 3 || f.node("node3").Has == 0; {
		if time.Now().After(deadline) {
			t.Fatalf("node3 gets nothing: %+v", f.status())
		}
	}
	s.wantDirect(ctx)
	if err := s.submitter.Close(); err != nil {
		t.Error(err)
	}
	if orders := int(s.last.Load()); len(s.ends) != orders {
		t.Errorf("%d of %d orders have ended", len(s.ends), orders)
	}
	for id, n := range s.ends {
		if n != 1 {
			t.Errorf("order %s has ended %d times", id, n)
		}
	}
}
