package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// clerk notes what is told of orders.
type clerk struct {
	mu      sync.Mutex
	news    map[string][]client.Answer
	calling int // calls of answered that have not returned
	overlap bool
}

func newClerk() *clerk { return &clerk{news: map[string][]client.Answer{}} }

// answered notes what is told of one order.
func (c *clerk) answered(id string) func(client.Answer) {
	return func(a client.Answer) {
		c.mu.Lock()
		c.calling++
		c.overlap = c.overlap || c.calling > 1
		c.news[id] = append(c.news[id], a)
		c.mu.Unlock()
		c.mu.Lock()
		c.calling--
		c.mu.Unlock()
	}
}

func request(id, key string, wait orderv1.Wait) *orderv1.SubmitRequest {
	return &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: id, Definition: "t/n", OrderKey: key, Input: []byte(`"` + id + `"`)}, Wait: wait}
}

// check checks what must hold whatever breaks.
func (c *clerk) check(t tester, s *store, submitted []*orderv1.SubmitRequest) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, wrong := range s.wrong {
		t.Errorf("%s", wrong)
	}
	if c.overlap {
		t.Errorf("two answers were told at the same time")
	}
	byKey := map[string][]string{}
	for _, r := range submitted {
		id := r.GetOrder().GetId()
		news := c.news[id]
		if len(news) == 0 || !news[len(news)-1].Last {
			t.Errorf("order %s has no last answer: %v", id, news)
			continue
		}
		for i, a := range news {
			first := i == 0 && a.Submission.GetAccepted() != nil && r.GetWait() == orderv1.Wait_WAIT_ENDED
			if a.Err != nil || i < len(news)-1 && (a.Last || !first) {
				t.Errorf("order %s was told %v", id, news)
			}
		}
		last := news[len(news)-1].Submission
		_, accepted := s.orders[id]
		if accepted != (last.GetRefused() == nil) && last.GetRefused() == nil {
			t.Errorf("order %s was told to be accepted, and was not", id)
		}
		if r.GetWait() == orderv1.Wait_WAIT_ENDED && last.GetEnded() == nil && last.GetRefused() == nil {
			t.Errorf("the end of order %s was not told, but %v", id, last)
		}
		if key := r.GetOrder().GetOrderKey(); key != "" && accepted {
			byKey[key] = append(byKey[key], id)
		}
	}
	for key, want := range byKey {
		var got []string
		for _, id := range s.in {
			if s.orders[id].GetOrderKey() == key {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("orders of key %s were accepted in the order %v, and submitted in the order %v", key, got, want)
		}
	}
}

// Whatever breaks, whatever is refused meanwhile, and whatever nodes tell of who owns what, each order gets one last answer, none is accepted
// twice, and those of a key are accepted in the order in which they were submitted.
func TestSubmitterModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 2).Draw(t, "nodes"))
		defer w.end()
		w.store.fates = rapid.SliceOfN(rapid.Map(rapid.IntRange(0, int(fates)-1), func(n int) fate { return fate(n) }), 0, 40).Draw(t, "fates")
		orders := rapid.IntRange(1, 20).Draw(t, "orders")
		var all []*orderv1.SubmitRequest
		for i := range orders {
			key := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")
			wait := rapid.SampledFrom([]orderv1.Wait{orderv1.Wait_WAIT_ACCEPTED, orderv1.Wait_WAIT_ENDED}).Draw(t, "wait")
			all = append(all, request(fmt.Sprintf("o%d", i), key, wait))
		}
		c := w.dial(nil)
		nobody := &node{address: "127.0.0.1:1"}
		some := append(slices.Clone(w.nodes), nobody)
		moves := rapid.SliceOfN(rapid.Bool(), orders, orders).Draw(t, "moves")
		s := c.NewSubmitter(context.Background(), client.Submitting{Orders: rapid.IntRange(1, 25).Draw(t, "window")})
		notes := newClerk()
		for i, r := range all {
			if moves[i] {
				shift := rapid.IntRange(0, len(some)-1).Draw(t, "shift")
				w.store.become(owners(func(p int) *node { return some[(p+shift)%len(some)] }, some[shift%len(some):]...))
			}
			if err := s.Submit(context.Background(), r, notes.answered(r.GetOrder().GetId())); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		notes.check(t, w.store, all)
	})
}

// From many goroutines at once it is the same; answers may submit what comes next.
func TestSubmitterIsForMany(t *testing.T) {
	t.Parallel()
	w := setup(t, 2)
	for i := range 300 {
		w.store.fates = append(w.store.fates, fate(i*7%int(fates)))
	}
	s := w.dial(nil).NewSubmitter(t.Context(), client.Submitting{Orders: 50})
	notes := newClerk()
	var mu sync.Mutex
	var submitted []*orderv1.SubmitRequest
	var all sync.WaitGroup
	var chain func(i, j int, done func())
	chain = func(i, j int, done func()) {
		id := fmt.Sprintf("o%d-%d", i, j)
		r := request(id, fmt.Sprintf("key%d", i), orderv1.Wait_WAIT_ENDED)
		mu.Lock()
		submitted = append(submitted, r)
		mu.Unlock()
		note := notes.answered(id)
		err := s.Submit(t.Context(), r, func(a client.Answer) {
			note(a)
			switch {
			case !a.Last:
			case j == 9:
				done()
			default:
				chain(i, j+1, done)
			}
		})
		if err != nil {
			t.Error(err)
			done()
		}
	}
	for i := range 30 {
		all.Add(1)
		go chain(i, 0, all.Done)
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	notes.check(t, w.store, submitted)
}

// What is held is bounded: beyond the window Submit waits, and gives up with its context.
func TestSubmitterIsBounded(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	hold := &holding{store: w.store, arrived: arrived, release: release}
	w.serveInstead(hold)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "holdfast-client", "me")
	s := w.dial(nil).NewSubmitter(ctx, client.Submitting{Orders: 2, Bytes: 1000})
	notes := newClerk()
	submit := func(ctx context.Context, id string, size int) error {
		r := request(id, "", orderv1.Wait_WAIT_ACCEPTED)
		r.Order.Input = make([]byte, size)
		return s.Submit(ctx, r, notes.answered(id))
	}
	for _, id := range []string{"a", "b"} {
		if err := submit(t.Context(), id, 10); err != nil {
			t.Fatal(err)
		}
		<-arrived
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"a third order": submit(late, "c", 10), "the same id": submit(late, "a", 10), "too many bytes": submit(late, "d", 2000),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s was taken: %v", name, err)
		}
	}
	waits := make(chan error, 1)
	go func() { waits <- submit(t.Context(), "a", 2000) }() // the same id, and large: it waits for all others
	close(release)
	if err := <-waits; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := submit(t.Context(), "e", 1); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got := hold.names(); !slices.Equal(got, []string{"me"}) {
		t.Errorf("streams came with %v", got)
	}
}

// When it ends before its orders are answered, each is told so, once.
func TestSubmitterEnds(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	for name, c := range map[string]struct {
		answer   error // of a node; nil: it says nothing
		patience client.Patience
		stop     bool
		want     func(error) bool
	}{
		"patience is over": {
			status.Error(codes.Unavailable, "starting"),
			client.Patience{Most: time.Nanosecond},
			false,
			func(err error) bool {
				gaveUp, ok := errors.AsType[*client.GaveUpError](err)
				return ok && gaveUp.After == 1
			},
		},
		"the impatient": {
			status.Error(codes.Unavailable, "starting"),
			client.Patience{Most: -1},
			false,
			func(err error) bool {
				return status.Code(err) == codes.Unavailable && err.Error() == "rpc error: code = Unavailable desc = starting"
			},
		},
		"no such service": {
			status.Error(codes.Unimplemented, "what?"),
			client.Patience{},
			false,
			func(err error) bool { return status.Code(err) == codes.Unimplemented },
		},
		"its context ends":                {nil, client.Patience{}, true, func(err error) bool { return errors.Is(err, cause) }},
		"its context ends without a node": {status.Error(codes.Unavailable, "starting"), client.Patience{}, true, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 1)
			n := &dumb{answer: c.answer, arrived: make(chan struct{}, 100)}
			w.serveInstead(n)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s := w.dial(nil).NewSubmitter(ctx, client.Submitting{Patience: c.patience})
			notes := newClerk()
			for _, id := range []string{"a", "b", "c"} {
				_ = s.Submit(t.Context(), request(id, "k", orderv1.Wait_WAIT_ENDED), notes.answered(id)) // it may have ended by then
			}
			<-n.arrived
			if c.stop {
				cancel(cause)
			}
			err := s.Close()
			if !c.want(err) {
				t.Errorf("Close: %v", err)
			}
			for id, news := range notes.news {
				if len(news) != 1 || !news[0].Last || news[0].Err == nil || !errors.Is(news[0].Err, err) {
					t.Errorf("%s was told %v", id, news)
				}
			}
			if len(notes.news["a"]) != 1 {
				t.Errorf("the first was told %v", notes.news["a"])
			}
			<-s.Ended()
		})
	}
}

// A Submitter that has nothing to submit loses nothing when its node goes, however long it is away, and closes at once.
func TestSubmitterRests(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	told := make(chan error, 1)
	s := w.dial(nil).NewSubmitter(t.Context(), client.Submitting{Patience: client.Patience{Most: time.Minute, Tell: func(err error) { told <- err }}})
	first := make(chan client.Answer, 1)
	if err := s.Submit(t.Context(), request("a", "", orderv1.Wait_WAIT_ACCEPTED), func(a client.Answer) { first <- a }); err != nil {
		t.Fatal(err)
	}
	if a := <-first; a.Submission.GetAccepted() == nil || a.Tries != 1 {
		t.Errorf("first: %+v", a)
	}
	w.nodes[0].conns.cut()
	w.store.mu.Lock()
	w.store.fates = []fate{lost, kept, busy}
	w.store.mu.Unlock()
	if err := s.Submit(t.Context(), request("b", "", orderv1.Wait_WAIT_ACCEPTED), func(a client.Answer) { first <- a }); err != nil {
		t.Fatal(err)
	}
	if a := <-first; !a.Submission.GetAccepted().GetRepeated() || a.Tries < 4 {
		t.Errorf("then: %+v", a)
	}
	if err := <-told; status.Code(err) != codes.Unavailable {
		t.Errorf("told: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// holding is a node that accepts when it is told to.
type holding struct {
	orderv1.UnimplementedOrderServiceServer

	store   *store
	arrived chan<- struct{}
	release <-chan struct{}

	mu   sync.Mutex
	came []string
}

func (h *holding) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.came
}

func (h *holding) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	h.mu.Lock()
	h.came = append(h.came, metadata.ValueFromIncomingContext(st.Context(), "holdfast-client")...)
	h.mu.Unlock()
	var sending sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	for {
		m, err := st.Recv()
		if err != nil {
			return nil // the client has gone, or closed its side
		}
		for _, r := range m.GetSubmissions() {
			h.arrived <- struct{}{}
			all.Go(func() {
				<-h.release
				answer := h.store.accept(r.GetOrder())
				sending.Lock()
				defer sending.Unlock()
				_ = st.Send(&orderv1.SubmitStreamResponse{Submissions: []*orderv1.Submission{answer}})
			})
		}
	}
}

// dumb is a node that accepts nothing.
type dumb struct {
	orderv1.UnimplementedOrderServiceServer

	answer  error // nil: it says nothing
	arrived chan struct{}
}

func (d *dumb) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	select {
	case d.arrived <- struct{}{}:
	default:
	}
	if d.answer != nil {
		return d.answer
	}
	<-st.Context().Done()
	return st.Context().Err()
}

// quiet takes streams and orders, and breaks the streams when they are accepted, as often as it is told to.
type quiet struct {
	orderv1.UnimplementedOrderServiceServer

	breaks atomic.Int64
}

func (q *quiet) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	m, err := st.Recv()
	if err != nil {
		return err
	}
	id := m.GetSubmissions()[0].GetOrder().GetId()
	answers := []*orderv1.Submission{{Id: id, Answer: &orderv1.Submission_Accepted{Accepted: &orderv1.Accepted{}}}}
	more := q.breaks.Add(-1) >= 0
	if !more {
		answers = append(answers, end(id))
	}
	if err := st.Send(&orderv1.SubmitStreamResponse{Submissions: answers}); err != nil || !more {
		return err
	}
	return status.Error(codes.Unavailable, "stopping")
}

// Each interruption is one of its own, though no order has ended since the one before, if a node had taken the stream.
func TestSubmitterOfLongOrders(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	n := &quiet{}
	n.breaks.Store(3)
	w.serveInstead(n)
	var interruptions atomic.Int64
	s := w.dial(nil).NewSubmitter(t.Context(), client.Submitting{
		Patience: client.Patience{Tell: func(error) { interruptions.Add(1) }},
	})
	notes := newClerk()
	if err := s.Submit(t.Context(), request("a", "", orderv1.Wait_WAIT_ENDED), notes.answered("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || interruptions.Load() != 3 {
		t.Errorf("%v, %d interruptions", err, interruptions.Load())
	}
}

// refusing is a node that refuses an order, and tells no more of its id than nodes do.
type refusing struct {
	orderv1.UnimplementedOrderServiceServer
}

func (refusing) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	m, err := st.Recv()
	if err != nil {
		return err
	}
	return st.Send(&orderv1.SubmitStreamResponse{Submissions: []*orderv1.Submission{{
		Id:     messages.Clip(m.GetSubmissions()[0].GetOrder().GetId(), messages.MaxOrderID),
		Answer: &orderv1.Submission_Refused{Refused: &orderv1.Refused{Code: int32(codes.InvalidArgument), Field: "order.id"}},
	}}})
}

// The refusal of an order whose id is too long is known by the beginning of that.
func TestSubmitterOfLongIDs(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	w.serveInstead(refusing{})
	s := w.dial(nil).NewSubmitter(t.Context(), client.Submitting{})
	id := strings.Repeat("i", messages.MaxOrderID+1)
	refused := make(chan client.Answer, 1)
	if err := s.Submit(t.Context(), request(id, "", orderv1.Wait_WAIT_ENDED), func(a client.Answer) { refused <- a }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if a := <-refused; a.Submission.GetRefused().GetField() != "order.id" {
		t.Errorf("the answer is %v", a)
	}
}
