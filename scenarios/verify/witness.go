package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// witnessCredits is how many tasks a node may send to the witness on a stream.
	witnessCredits = 100_000
	// witnessBeat is how often the witness shows each node that it lives, and sends again what was not acknowledged.
	witnessBeat = 500 * time.Millisecond
)

// witness is an adapter that has no memory: it says to each new owner that it holds nothing, and so is asked again. It keeps tasks until
// it is told to answer, gives each result an output of its own, and writes down who acknowledged which.
type witness struct {
	process string

	mu      sync.Mutex
	holds   bool
	held    map[string]heldTask // by key: the one that was asked for last
	seq     uint64
	given   map[uint64]*givenResult
	streams []*witnessStream // by node, the last one
	changed chan struct{}    // closed, and replaced, whenever a task or an acknowledgement has come
}

type heldTask struct {
	*adapterv1.Task

	node   int
	stream *witnessStream
}

// givenResult is a result that was sent to a node.
type givenResult struct {
	*adapterv1.Result

	node int
	sent time.Time
	acks []time.Time
}

// witnessStream is a stream to a node.
type witnessStream struct {
	attack.AdapterStream

	sending sync.Mutex
	unacked map[uint64]*adapterv1.Result
	said    int // what the node has said of results on it, whatever that was
	ended   time.Time
}

func (s *witnessStream) send(m *adapterv1.ConnectRequest) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.Send(m) //nolint:wrapcheck // it is told, or says that the stream has ended
}

func newWitness(nodes int, seed uint64) *witness {
	return &witness{
		process: fmt.Sprint("witness-", seed), held: map[string]heldTask{}, given: map[uint64]*givenResult{},
		streams: make([]*witnessStream, nodes), changed: make(chan struct{}),
	}
}

// run keeps a stream to a node until ctx ends.
func (w *witness) run(ctx context.Context, node int, client adapterv1.AdapterServiceClient) {
	for ctx.Err() == nil {
		w.connect(ctx, node, client)
		_ = stage.Pause(ctx, resubmitAfter)
	}
}

// connect runs one stream. How it ends does not matter.
func (w *witness) connect(ctx context.Context, node int, client adapterv1.AdapterServiceClient) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := client.Connect(ctx, grpc.WaitForReady(true))
	if err != nil {
		return
	}
	s := &witnessStream{AdapterStream: st, unacked: map[uint64]*adapterv1.Result{}}
	hello := &adapterv1.ConnectRequest{
		Hello: &adapterv1.Hello{
			Adapter: "witness", Process: w.process, Ledger: w.process, Protocol: 1,
			Features:   []adapterv1.Feature{adapterv1.Feature_FEATURE_OWNED},
			Activities: []*adapterv1.Activity{{Name: "hold", Idempotent: true, Concurrency: witnessCredits}},
		},
		Credits: []*adapterv1.Credit{{Activity: "hold", Total: witnessCredits}},
	}
	if s.send(hello) != nil {
		return
	}
	w.mu.Lock()
	w.streams[node] = s
	w.tell()
	w.mu.Unlock()
	var beating sync.WaitGroup
	defer beating.Wait()
	defer cancel()
	beating.Go(func() { w.beat(ctx, s) })
	for {
		m, err := st.Recv()
		if err == nil {
			err = w.hear(node, s, m)
		}
		if err != nil {
			w.mu.Lock()
			s.ended = time.Now()
			w.mu.Unlock()
			return
		}
	}
}

// beat shows that the witness lives, and sends again what was not acknowledged, until ctx ends.
func (w *witness) beat(ctx context.Context, s *witnessStream) {
	ticks := time.NewTicker(witnessBeat)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		m := &adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}}
		w.mu.Lock()
		for _, r := range s.unacked {
			m.Results = append(m.Results, r)
		}
		w.mu.Unlock()
		if s.send(m) != nil {
			return
		}
	}
}

// hear takes what a node says.
func (w *witness) hear(node int, s *witnessStream, m *adapterv1.ConnectResponse) error {
	answer := &adapterv1.ConnectRequest{}
	for _, o := range m.GetOwned() {
		answer.Listings = append(answer.Listings, &adapterv1.Listing{Partition: o.GetPartition(), Epoch: o.GetEpoch()})
	}
	w.mu.Lock()
	s.said += len(m.GetAcks()) + len(m.GetNotOwner()) + len(m.GetAgain())
	for _, seq := range m.GetAcks() {
		delete(s.unacked, seq)
		if r := w.given[seq]; r != nil {
			r.acks = append(r.acks, time.Now())
		}
	}
	for _, n := range m.GetNotOwner() {
		delete(s.unacked, n.GetSeq()) // who owns it will ask
	}
	for _, t := range m.GetTasks() {
		held := heldTask{t, node, s}
		if w.holds {
			w.held[t.GetKey()] = held
			continue
		}
		answer.Results = append(answer.Results, w.give(held))
	}
	w.tell()
	w.mu.Unlock()
	if len(answer.GetListings())+len(answer.GetResults()) == 0 {
		return nil
	}
	return s.send(answer)
}

// tell wakes who awaits something.
func (w *witness) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// give makes the result of a task.
func (w *witness) give(t heldTask) *adapterv1.Result {
	w.seq++
	r := &adapterv1.Result{
		Seq: w.seq, OrderId: t.GetOrderId(), Partition: t.GetPartition(), Key: t.GetKey(), Attempt: t.GetAttempt(), Activity: t.GetActivity(),
		Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: fmt.Appendf(nil, `{"result":%d}`, w.seq),
	}
	w.given[r.GetSeq()] = &givenResult{Result: r, node: t.node, sent: time.Now()}
	t.stream.unacked[r.GetSeq()] = r
	return r
}

// every is no node, and no number: every one.
const every = -1

// answer gives the results of so many of the tasks that are held for a node, and tells what they are.
func (w *witness) answer(node, most int) (given []*givenResult, err error) {
	w.mu.Lock()
	batches := map[*witnessStream]*adapterv1.ConnectRequest{}
	for key, t := range w.held {
		if node != every && t.node != node || len(given) == most {
			continue
		}
		delete(w.held, key)
		if batches[t.stream] == nil {
			batches[t.stream] = &adapterv1.ConnectRequest{}
		}
		r := w.give(t)
		given = append(given, w.given[r.GetSeq()])
		batches[t.stream].Results = append(batches[t.stream].Results, r)
	}
	w.mu.Unlock()
	for s, m := range batches {
		if fail := s.send(m); fail != nil && node != every {
			err = fmt.Errorf("send results: %w", fail) // otherwise it may be a stream that has ended, and another node asks again
		}
	}
	return given, err
}

// stream is the last one to a node.
func (w *witness) stream(node int) *witnessStream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.streams[node]
}

// hold has tasks be held from now on, or not.
func (w *witness) hold(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds = is
}

// await waits until something is so.
func (w *witness) await(ctx context.Context, isSo func() bool) error {
	for {
		w.mu.Lock()
		is, changed := isSo(), w.changed
		w.mu.Unlock()
		if is {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for what nodes say: %w", context.Cause(ctx))
		}
	}
}

// heldOf counts the tasks of some orders that are held for a node.
func (w *witness) heldOf(orders map[messages.OrderID]bool, node int) (count int) {
	for _, t := range w.held {
		if orders[messages.OrderID(t.GetOrderId())] && (node == every || t.node == node) {
			count++
		}
	}
	return count
}
