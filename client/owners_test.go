package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// owners makes what nodes tell: of returns who owns a partition; one that is not among the nodes is not known.
func owners(of func(p int) *node, nodes ...*node) *orderv1.WatchOwnersResponse {
	m := &orderv1.WatchOwnersResponse{Owners: make([]uint32, messages.Partitions)}
	for _, n := range nodes {
		m.Addresses = append(m.Addresses, n.address)
	}
	for p := range m.GetOwners() {
		m.Owners[p] = uint32(slices.Index(nodes, of(p)) + 1)
	}
	return m
}

// owner is the address of an order's owner, by what nodes tell, and whether it was another one before.
func (s *store) owner(o *orderv1.WorkOrder) (address string, moved bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := messages.PartitionOf(messages.OrderID(o.GetId()), o.GetOrderKey())
	address = s.owners.GetAddresses()[s.owners.GetOwners()[p]-1]
	return address, s.before == nil || s.before.GetAddresses()[s.before.GetOwners()[p]-1] != address
}

// cameTo are the nodes that got an order.
func (s *store) cameTo(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.by[id])
}

// handing submits orders one after another, each by a function that returns once it was accepted.
type handing struct {
	t      *testing.T
	world  *world
	submit func(*orderv1.SubmitRequest)
	orders []*orderv1.SubmitRequest
}

// one submits an order, and tells whether it went to its owner, and to nobody else, and whether that was another one before.
func (h *handing) one(key string) (owner string, straight, moved bool) {
	h.t.Helper()
	r := request(fmt.Sprintf("o%d", len(h.orders)), key, orderv1.Wait_WAIT_ACCEPTED)
	h.orders = append(h.orders, r)
	h.submit(r)
	owner, moved = h.world.store.owner(r.GetOrder())
	return owner, slices.Equal(h.world.store.cameTo(r.GetOrder().GetId()), []string{owner}), moved
}

// wantStraight submits until all nodes get what they own, and wants all further orders to go to their owners.
func (h *handing) wantStraight(nodes ...*node) {
	h.t.Helper()
	reached := map[string]bool{}
	for len(reached) < len(nodes) { // what nodes tell comes in its time, and connections one after another
		if owner, straight, moved := h.one(""); straight && moved {
			reached[owner] = true
		}
	}
	for i := range 60 {
		if owner, straight, _ := h.one([]string{"", fmt.Sprintf("key%d", i)}[i%2]); !straight {
			h.t.Errorf("an order of %s was submitted to %v", owner, h.world.store.cameTo(h.orders[len(h.orders)-1].GetOrder().GetId()))
		}
	}
}

// byCall submits by calls.
func byCall(w *world, h *handing) {
	byCallOf(w.dial(func(c *client.Config) { c.Addresses = c.Addresses[:1] }), w, h)
}

func byCallOf(c *client.Client, w *world, h *handing) {
	for _, n := range w.nodes {
		n.submit = func(_ context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
			n.came(r.GetOrder().GetId())
			n.accept(r.GetOrder())
			return &orderv1.SubmitResponse{Order: &orderv1.Order{Id: r.GetOrder().GetId()}}, nil
		}
	}
	h.submit = func(r *orderv1.SubmitRequest) {
		if _, err := c.Orders().Submit(h.t.Context(), r); err != nil {
			h.t.Error(err)
		}
	}
}

// bySubmitter submits by a Submitter.
func bySubmitter(w *world, h *handing) {
	c := w.dial(func(c *client.Config) { c.Addresses = c.Addresses[:1] })
	s := c.NewSubmitter(h.t.Context(), client.Submitting{})
	notes := newClerk()
	h.submit = func(r *orderv1.SubmitRequest) {
		note, done := notes.answered(r.GetOrder().GetId()), make(chan struct{})
		err := s.Submit(h.t.Context(), r, func(a client.Answer) {
			note(a)
			close(done)
		})
		if err != nil {
			h.t.Fatal(err)
		}
		<-done
	}
	w.ending = append(w.ending, func() {
		if err := s.Close(); err != nil {
			h.t.Error(err)
		}
		notes.check(h.t, w.store, h.orders)
	})
}

// Whatever a client submits goes to the owner, also to nodes that it was not given, and follows owners that move, nodes that come and
// nodes that go.
func TestOrdersGoToTheirOwners(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]func(*world, *handing){"by calls": byCall, "by a submitter": bySubmitter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 3)
			a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
			w.store.become(owners(func(p int) *node { return w.nodes[p%2] }, a, b))
			h := &handing{t: t, world: w}
			by(w, h)
			h.wantStraight(a, b)
			w.store.become(owners(func(p int) *node { return w.nodes[(p+1)%2] }, b, a))
			h.wantStraight(a, b)
			w.store.become(owners(func(p int) *node { return w.nodes[p%3] }, a, b, c))
			h.wantStraight(a, b, c)
			w.store.become(owners(func(p int) *node { return w.nodes[1+p%2] }, b, c))
			h.wantStraight(b, c)
			b.server.Stop()
			for range 60 { // nobody is told that it is gone
				h.one("")
			}
			w.store.become(owners(func(int) *node { return c }, c))
			h.wantStraight(c)
		})
	}
}

// Calls about one order go to its owner; if that has to refuse it for now, another node is asked at once, even by the impatient.
func TestCallsGoToTheOwner(t *testing.T) {
	t.Parallel()
	w := setup(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	var away atomic.Bool
	for _, n := range w.nodes {
		n.get = func(r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
			n.came(r.GetId())
			if n == b && away.Load() {
				return nil, status.Error(codes.Unavailable, "stopping")
			}
			return &orderv1.GetResponse{Order: &orderv1.Order{Status: orderv1.Status_STATUS_COMPLETED}}, nil
		}
		n.watch = func(r *orderv1.WatchRequest, _ grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
			n.came(r.GetId())
			return nil
		}
	}
	w.store.become(owners(func(int) *node { return b }, a, b))
	c := w.dial(func(c *client.Config) { c.Addresses, c.Patience = c.Addresses[:1], -1 })
	get := func(id string) []string {
		if _, err := c.Orders().Get(t.Context(), &orderv1.GetRequest{Id: id}); err != nil {
			t.Errorf("get: %v", err)
		}
		return w.store.cameTo(id)
	}
	known := false
	for i := 0; !known; i++ {
		known = slices.Equal(get(fmt.Sprint("before", i)), []string{b.address})
	}
	if got := get("known"); !slices.Equal(got, []string{b.address}) {
		t.Errorf("get came to %v", got)
	}
	if _, err := c.Watch(t.Context(), client.Watching{ID: "watched"}); err != nil {
		t.Error(err)
	}
	if got := w.store.cameTo("watched"); !slices.Equal(got, []string{b.address, b.address}) { // it asks how the order has ended
		t.Errorf("watch came to %v", got)
	}
	away.Store(true)
	if got := get("away"); !slices.Equal(got, []string{b.address, a.address}) {
		t.Errorf("get came to %v", got)
	}
}

// What a node was given that is gone without a word is submitted to others as soon as it is known that it is gone: with the answers that it
// owes there would be none until its connection breaks.
func TestSilentNodeIsGivenUp(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	silent := &dumb{arrived: make(chan struct{}, 100)}
	a, b := w.nodes[0], w.serve(&node{store: w.store}, silent)
	w.store.become(owners(func(p int) *node { return []*node{a, b}[p%2] }, a, b))
	s := w.dial(func(c *client.Config) { c.Addresses = c.Addresses[:1] }).NewSubmitter(t.Context(), client.Submitting{})
	notes := newClerk()
	var all []*orderv1.SubmitRequest
	submit := func() {
		r := request(fmt.Sprintf("o%d", len(all)), fmt.Sprintf("key%d", len(all)%7), orderv1.Wait_WAIT_ENDED)
		all = append(all, r)
		if err := s.Submit(t.Context(), r, notes.answered(r.GetOrder().GetId())); err != nil {
			t.Fatal(err)
		}
	}
	for reached := false; !reached; {
		submit()
		select {
		case <-silent.arrived:
			reached = true
		default:
		}
	}
	for range 20 {
		submit()
	}
	w.store.become(owners(func(int) *node { return a }, a))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	notes.check(t, w.store, all)
}

// endless is a node that answers orders, and does not end their streams.
type endless struct{ *node }

func (e endless) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	err := e.node.SubmitStream(st)
	<-st.Context().Done()
	return err
}

// An owner that has answered all, and does not end its stream, does not hold up the end of a Submitter.
func TestCloseDoesNotWaitForOwners(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	n := &node{store: w.store}
	w.serve(n, endless{n})
	w.store.become(owners(func(int) *node { return n }, w.nodes...))
	s := w.dial(func(c *client.Config) { c.Addresses = c.Addresses[:1] }).NewSubmitter(t.Context(), client.Submitting{})
	h := &handing{t: t, world: w, submit: func(r *orderv1.SubmitRequest) {
		done := make(chan struct{})
		if err := s.Submit(t.Context(), r, func(client.Answer) { close(done) }); err != nil {
			t.Fatal(err)
		}
		<-done
	}}
	h.wantStraight(n)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Close waits for an owner that owes nothing")
	}
}

// unwilling is a node that takes no streams of orders from some time on.
type unwilling struct {
	*node

	now *atomic.Bool
}

func (u unwilling) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	if u.now.Load() {
		return status.Error(codes.Unavailable, "stopping")
	}
	return u.node.SubmitStream(st)
}

// When no node takes orders any more, patience is over in its time, though they are tried at their owners again and again meanwhile.
func TestPatienceWithoutOwners(t *testing.T) {
	t.Parallel()
	w := setup(t, 0)
	var now atomic.Bool
	for range 3 {
		n := &node{store: w.store}
		w.serve(n, unwilling{n, &now})
	}
	w.store.become(owners(func(p int) *node { return w.nodes[p%3] }, w.nodes...))
	c := w.dial(func(c *client.Config) { c.Addresses = c.Addresses[:1] })
	var interruptions atomic.Int32
	s := c.NewSubmitter(t.Context(), client.Submitting{Patience: client.Patience{
		Most: 300 * time.Millisecond, Tell: func(error) { interruptions.Add(1) },
	}})
	c.AwaitOwners()
	var all sync.WaitGroup
	submit := func(id string) {
		all.Add(1)
		if err := s.Submit(t.Context(), request(id, "", orderv1.Wait_WAIT_ACCEPTED), func(client.Answer) { all.Done() }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		submit(fmt.Sprint("before", i))
	}
	all.Wait()
	interruptions.Store(0)
	now.Store(true)
	for _, n := range w.nodes {
		n.conns.cut()
	}
	for i := range 5 {
		submit(fmt.Sprint("after", i))
	}
	all.Wait()
	if err := s.Close(); interruptions.Load() != 1 || !errors.As(err, new(*client.GaveUpError)) {
		t.Errorf("there were %d interruptions, and the last ended with %v", interruptions.Load(), err)
	}
}

// Whoever does not want it asks nobody, and goes to the nodes that were given alone; and for a few calls it is not worth it.
func TestOwnersAreNotAsked(t *testing.T) {
	t.Parallel()
	for name, unrouted := range map[string]bool{"unrouted": true, "a few calls": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 2)
			w.nodes[0].get = func(*orderv1.GetRequest) (*orderv1.GetResponse, error) { return &orderv1.GetResponse{}, nil }
			w.store.become(owners(func(int) *node { return w.nodes[1] }, w.nodes...))
			c := w.dial(func(c *client.Config) { c.Addresses, c.Unrouted = c.Addresses[:1], unrouted })
			for i := range 15 {
				if _, err := c.Orders().Get(t.Context(), &orderv1.GetRequest{Id: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			}
			if unrouted {
				s := c.NewSubmitter(t.Context(), client.Submitting{})
				h := &handing{t: t, world: w, submit: func(r *orderv1.SubmitRequest) {
					done := make(chan struct{})
					if err := s.Submit(t.Context(), r, func(client.Answer) { close(done) }); err != nil {
						t.Fatal(err)
					}
					<-done
				}}
				for range 30 {
					if owner, straight, _ := h.one(""); straight {
						t.Errorf("an order was submitted to %s", owner)
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			w.store.mu.Lock()
			defer w.store.mu.Unlock()
			if w.store.asked > 0 {
				t.Errorf("nodes were asked %d times who owns what", w.store.asked)
			}
		})
	}
}

// What nodes tell may be nonsense: then nothing is known.
func TestSenselessOwners(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]*orderv1.WatchOwnersResponse{
		"nothing":            {},
		"too few partitions": {Addresses: []string{"127.0.0.1:1"}, Owners: []uint32{1, 1}},
		"numbers of nobody":  {Addresses: []string{"127.0.0.1:1"}, Owners: slices.Repeat([]uint32{2}, messages.Partitions)},
		"no addresses":       {Addresses: []string{"", "http://x"}, Owners: slices.Repeat([]uint32{1}, messages.Partitions)},
		"nobody is there":    {Addresses: []string{"127.0.0.1:1"}, Owners: slices.Repeat([]uint32{1}, messages.Partitions)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 1)
			w.store.become(told)
			c := w.dial(nil)
			s := c.NewSubmitter(t.Context(), client.Submitting{})
			c.AwaitOwners()
			notes := newClerk()
			var all []*orderv1.SubmitRequest
			for i := range 50 {
				all = append(all, request(fmt.Sprint(i), fmt.Sprint("key", i%7), orderv1.Wait_WAIT_ENDED))
				if err := s.Submit(t.Context(), all[i], notes.answered(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			notes.check(t, w.store, all)
		})
	}
}
