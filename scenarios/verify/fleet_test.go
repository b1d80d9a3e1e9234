package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// flaky is a node that breaks each of its first streams after a few orders, and refuses some for a while. It answers an
// order that it knows already as if it were new.
type flaky struct {
	orderv1.UnimplementedOrderServiceServer

	mu      sync.Mutex
	streams int
	seen    map[string]int
	wrong   func(n int) orderv1.Status // how the nth order ends
}

// breaks is how many streams break.
const breaks = 5

func (f *flaky) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	f.mu.Lock()
	f.streams++
	stream := f.streams
	f.mu.Unlock()
	for taken := 0; ; {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var out []*orderv1.Submission
		for _, r := range m.GetSubmissions() {
			if taken++; stream <= breaks && taken > 10 {
				return status.Error(codes.Unavailable, "killed")
			}
			out = append(out, f.answer(r.GetOrder().GetId())...)
		}
		if err := st.Send(&orderv1.SubmitStreamResponse{Submissions: out}); err != nil {
			return err
		}
	}
}

func (f *flaky) answer(id string) []*orderv1.Submission {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.seen)
	f.seen[id]++
	if n%7 == 3 && f.seen[id] == 1 {
		return []*orderv1.Submission{{Id: id, Answer: &orderv1.Submission_Refused{
			Refused: &orderv1.Refused{Code: int32(codes.ResourceExhausted), Message: "busy"},
		}}}
	}
	end := orderv1.Status_STATUS_COMPLETED
	if f.wrong != nil {
		end = f.wrong(n)
	}
	return []*orderv1.Submission{
		{Id: id, Answer: &orderv1.Submission_Accepted{Accepted: &orderv1.Accepted{}}},
		{Id: id, Answer: &orderv1.Submission_Ended{Ended: &orderv1.Ended{Status: end}}},
	}
}

func sail(t *testing.T, server *flaky) *fleet {
	t.Helper()
	client := newFleet(func(n int) *orderv1.WorkOrder { return &orderv1.WorkOrder{Input: fmt.Append(nil, n)} })
	sailWith(t, server, client)
	return client
}

// sailWith has a fleet submit some orders.
func sailWith(t *testing.T, server *flaky, f *fleet) {
	t.Helper()
	server.seen = map[string]int{}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	orderv1.RegisterOrderServiceServer(g, server)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := client.New(client.Config{Addresses: []string{l.Addr().String()}, Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = conn.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx, conn, 20) }()
	if err := f.await(ctx, func(c counts) bool { return c.ended >= 500 }); err != nil {
		t.Error(err)
	}
	f.finish()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFleet: whatever breaks, each order is acknowledged and ends once.
func TestFleet(t *testing.T) {
	t.Parallel()
	server := &flaky{}
	client := sail(t, server)
	c := client.counts()
	if c.submitted < 520 || c.accepted != c.submitted || c.ended != c.submitted || c.completed != c.submitted || c.lost() != 0 {
		t.Errorf("counted %+v", c)
	}
	if server.streams <= breaks || c.resubmitted == 0 || len(server.seen) != c.submitted {
		t.Errorf("%d streams, %d orders submitted again, the server knows %d", server.streams, c.resubmitted, len(server.seen))
	}
	if len(client.wrong) > 0 {
		t.Errorf("wrong: %v", client.wrong)
	}
}

// TestFleetTells: an order that ends otherwise than completed is told.
func TestFleetTells(t *testing.T) {
	t.Parallel()
	client := sail(t, &flaky{wrong: func(n int) orderv1.Status {
		if n == 100 {
			return orderv1.Status_STATUS_FAULTED
		}
		return orderv1.Status_STATUS_COMPLETED
	}})
	if c := client.counts(); c.ended != c.completed+1 || len(client.wrong) != 1 {
		t.Errorf("counted %+v, wrong: %v", c, client.wrong)
	}
}

// TestFleetInTurn: an order is submitted once the one before it with the same key was acknowledged, and each has its turn once.
func TestFleetInTurn(t *testing.T) {
	t.Parallel()
	client := newFleet(func(n int) *orderv1.WorkOrder { return &orderv1.WorkOrder{OrderKey: fmt.Sprint(n % 3)} })
	turns := map[*order]int{}
	client.lastOf = map[string]*order{}
	client.turn = func(o *order) {
		turns[o]++
		if o.accepted.IsZero() || o.before != nil && o.before.ended.IsZero() {
			t.Errorf("order %d has its turn, but was not accepted, or the one before it has not ended", o.n)
		}
	}
	sailWith(t, &flaky{}, client)
	if c := client.counts(); c.submitted < 520 || c.completed != c.submitted || c.resubmitted == 0 {
		t.Errorf("counted %+v", c)
	}
	for i, o := range client.orders {
		if o.n != i || turns[o] != 1 {
			t.Errorf("order %d is number %d, and had %d turns", i, o.n, turns[o])
		}
		if i >= 3 && (o.before != client.orders[i-3] || o.submitted.Before(o.before.accepted)) {
			t.Errorf("order %d was submitted at %v, and the one before it accepted at %v", i, o.submitted, o.before.accepted)
		}
	}
}
