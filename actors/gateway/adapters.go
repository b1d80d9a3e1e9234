package gateway

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// adapterProtocol is the version of the adapter protocol that is spoken here.
const adapterProtocol = 1

// The bounds of a hello.
const (
	maxActivities = 1000
	maxKeys       = 1_000_000
	maxName       = 63
	maxToken      = 64
)

// adapterService serves adapterv1.AdapterService.
type adapterService struct {
	adapterv1.UnimplementedAdapterServiceServer
	*Server
}

type adapterConn = grpc.BidiStreamingServer[adapterv1.ConnectRequest, adapterv1.ConnectResponse]

// Connect implements adapterv1.AdapterServiceServer.
func (a adapterService) Connect(st adapterConn) error {
	first, err := st.Recv()
	if err != nil {
		return fmt.Errorf("receive hello: %w", err)
	}
	hello := first.GetHello()
	if err := checkHello(hello); err != nil {
		return a.fail(err)
	}
	for _, act := range hello.GetActivities() {
		if act.GetVersion() == "" {
			act.Version = "1.0.0"
		}
	}
	c := &connection{
		Server: a.Server, hello: hello, out: newOutbox[any](), heard: make(chan struct{}, 1),
		offers: map[string]bool{},
	}
	for _, act := range hello.GetActivities() {
		c.offers[act.GetName()] = true
	}
	welcome := &adapterv1.Welcome{
		Node:           string(a.node),
		HeartbeatMs:    uint32(a.config.Heartbeat.Milliseconds()), //nolint:gosec // small
		MaxOutputBytes: uint32(a.config.MaxOutput),                //nolint:gosec // small
	}
	if err := st.Send(&adapterv1.ConnectResponse{Welcome: welcome}); err != nil {
		return fmt.Errorf("send welcome: %w", err)
	}
	return c.serve(st, first)
}

// checkHello says everything that is wrong with a hello.
func checkHello(h *adapterv1.Hello) error {
	var m mistakes
	if h == nil {
		m.add("hello", "is missing: the first message of a stream must carry it")
		return m.err()
	}
	if h.GetProtocol() != adapterProtocol {
		m.add("hello.protocol", fmt.Sprintf("is %d, and this node speaks %d", h.GetProtocol(), adapterProtocol))
	}
	checkName(&m, "hello.adapter", h.GetAdapter())
	for field, v := range map[string]string{"hello.process": h.GetProcess(), "hello.ledger": h.GetLedger()} {
		if v == "" || len(v) > maxToken {
			m.add(field, fmt.Sprintf("must have 1 to %d bytes", maxToken))
		}
	}
	if n := len(h.GetActivities()); n == 0 || n > maxActivities {
		m.add("hello.activities", fmt.Sprintf("has %d, and must have 1 to %d", n, maxActivities))
	}
	if n := len(h.GetKeys()); n > maxKeys {
		m.add("hello.keys", fmt.Sprintf("has %d, more than %d", n, maxKeys))
	}
	seen := map[string]bool{}
	for i, act := range h.GetActivities() {
		checkName(&m, fmt.Sprintf("hello.activities[%d].name", i), act.GetName())
		if seen[act.GetName()] {
			m.add(fmt.Sprintf("hello.activities[%d].name", i), "is there twice")
		}
		seen[act.GetName()] = true
	}
	return m.err()
}

func checkName(m *mistakes, field, name string) {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if name == "" || len(name) > maxName || bad >= 0 {
		m.add(field, fmt.Sprintf("is %q, and must have 1 to %d of A-Z a-z 0-9 _ -", name, maxName))
	}
}

// connection is one stream of an adapter. It implements actors.Adapter.
type connection struct {
	*Server

	hello  *adapterv1.Hello
	offers map[string]bool
	id     dispatch.StreamID
	out    *outbox[any]
	heard  chan struct{} // of capacity 1: something was received
	depths map[string]int64
}

var _ actors.Adapter = (*connection)(nil)

// SendTask implements actors.Adapter.
func (c *connection) SendTask(t *adapterv1.Task) { c.out.put(t) }

// SendCancellation implements actors.Adapter.
func (c *connection) SendCancellation(x *adapterv1.Cancellation) { c.out.put(x) }

// SendReturned implements actors.Adapter.
func (c *connection) SendReturned(r *adapterv1.Returned) { c.out.put(r) }

// serve runs the stream until the adapter leaves, falls silent, or the node stops.
func (c *connection) serve(st adapterConn, first *adapterv1.ConnectRequest) error {
	log := c.log.With("adapter", c.hello.GetAdapter(), "process", c.hello.GetProcess())
	log.Info("adapter connected", "activities", len(c.hello.GetActivities()), "keys", len(c.hello.GetKeys()))
	c.catalog.add(c.hello, 1)
	c.id = c.engine.Attach(c.hello, c)
	defer c.catalog.add(c.hello, -1)
	defer c.engine.Detach(c.hello, c.id)
	received := make(chan error, 1)
	go func() {
		var err error
		defer func() { received <- err }()
		defer c.contain("Connect", &err)
		err = c.read(st, first)
	}()
	err := c.write(st, received)
	// The reader ends with the stream, when this returns.
	log.Info("adapter disconnected", "reason", fmt.Sprint(err))
	if err != nil {
		return c.fail(err)
	}
	return nil
}

func (c *connection) read(st adapterConn, m *adapterv1.ConnectRequest) error {
	var err error
	for ; err == nil; m, err = st.Recv() {
		select {
		case c.heard <- struct{}{}:
		default:
		}
		for _, r := range m.GetResults() {
			if err := c.result(r); err != nil {
				return err
			}
		}
		for _, cr := range m.GetCredits() {
			if c.offers[cr.GetActivity()] {
				c.engine.Credit(c.hello.GetAdapter(), c.id, cr)
			}
		}
		for _, r := range m.GetRevocations() {
			if c.offers[r.GetActivity()] {
				c.engine.Revoke(c.hello.GetAdapter(), c.id, r)
			}
		}
		if m.GetDrain() {
			for name := range c.offers {
				c.engine.Revoke(c.hello.GetAdapter(), c.id, &adapterv1.Revocation{Activity: name, Count: 1 << 62})
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("receive: %w", err)
}

// result checks a result and passes it on. A result that can't be taken as it is counts as a failure of the activity.
func (c *connection) result(r *adapterv1.Result) error {
	var m mistakes
	if err := messages.OrderID(r.GetOrderId()).Validate(); err != nil {
		m.add("results.order_id", err.Error())
	}
	if r.GetPartition() >= messages.Partitions {
		m.add("results.partition", fmt.Sprintf("is %d, and must be below %d", r.GetPartition(), messages.Partitions))
	}
	if !c.offers[r.GetActivity()] {
		m.add("results.activity", fmt.Sprintf("is %q, which the hello does not have", r.GetActivity()))
	}
	if err := m.err(); err != nil {
		return err
	}
	if r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED && len(r.GetOutput()) > 0 {
		if err := checkJSON(r.GetOutput(), c.config.MaxOutput, c.config.MaxDepth); err != nil {
			r.Outcome, r.Output, r.Permanent = adapterv1.Outcome_OUTCOME_IN_DOUBT, nil, true
			r.Error = &problemv1.Problem{Title: "Output is not usable", Detail: "the output of the activity " + err.Error()}
		}
	}
	if r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && r.GetError().GetType() == "" {
		r.Error = failureOf(r)
	}
	seq := r.GetSeq()
	c.engine.Result(c.hello.GetAdapter(), r, func(err error) {
		if err == nil || actors.IsGone(err) {
			c.out.put(ack(seq))
		}
		// Else the adapter sends it again.
	})
	return nil
}

// failureOf fills what a failure does not say.
func failureOf(r *adapterv1.Result) *problemv1.Problem {
	p := r.GetError()
	if p == nil {
		p = &problemv1.Problem{}
	}
	p.Type = workflow.ErrorTypeCommunication
	if p.GetStatus() == 0 {
		p.Status = 503
		if r.GetPermanent() {
			p.Status = 500
		}
	}
	return p
}

// ack is the sequence number of a result that is durable.
type ack uint64

// write sends what is put into the outbox, until the stream ends.
func (c *connection) write(st adapterConn, received <-chan error) error {
	silence := time.NewTimer(3 * c.config.Heartbeat)
	defer silence.Stop()
	depths := time.NewTicker(time.Second)
	defer depths.Stop()
	draining := c.stopping
	for {
		select {
		case err := <-received:
			c.out.close()
			return err
		case <-c.heard:
			silence.Reset(3 * c.config.Heartbeat)
		case <-silence.C:
			return &failure{
				code: codes.DeadlineExceeded, reason: "SILENT",
				message: fmt.Sprintf("nothing was heard from the adapter for %v", 3*c.config.Heartbeat),
			}
		case <-depths.C:
			if err := c.sendDepths(st); err != nil {
				return err
			}
		case <-draining:
			draining = nil
			if err := st.Send(&adapterv1.ConnectResponse{Drain: true}); err != nil {
				return fmt.Errorf("send drain: %w", err)
			}
		case <-c.out.wake:
			if err := c.flush(st); err != nil {
				return err
			}
		}
	}
}

func (c *connection) flush(st adapterConn) error {
	for {
		items, _ := c.out.take()
		if len(items) == 0 {
			return nil
		}
		for len(items) > 0 {
			n := frameOf(items, itemSize)
			if err := st.Send(frame(items[:n])); err != nil {
				return fmt.Errorf("send: %w", err)
			}
			items = items[n:]
		}
	}
}

// itemSize is about the size of what is put into the outbox, encoded.
func itemSize(x any) int {
	if t, ok := x.(*adapterv1.Task); ok {
		return len(t.GetOrderId()) + len(t.GetKey()) + len(t.GetInput()) + len(t.GetTask()) + len(t.GetActivity()) + 48
	}
	return 16
}

func frame(items []any) *adapterv1.ConnectResponse {
	m := &adapterv1.ConnectResponse{}
	for _, x := range items {
		switch x := x.(type) {
		case ack:
			m.Acks = append(m.Acks, uint64(x))
		case *adapterv1.Task:
			m.Tasks = append(m.Tasks, x)
		case *adapterv1.Cancellation:
			m.Cancellations = append(m.Cancellations, x)
		case *adapterv1.Returned:
			m.Returned = append(m.Returned, x)
		}
	}
	return m
}

// sendDepths tells how many tasks wait, if that changed.
func (c *connection) sendDepths(st adapterConn) error {
	now := c.engine.Depths(c.hello.GetAdapter(), c.hello.GetActivities())
	m := &adapterv1.ConnectResponse{}
	for name, n := range now {
		if n != c.depths[name] {
			m.Depths = append(m.Depths, &adapterv1.QueueDepth{Activity: name, Waiting: uint64(max(n, 0))})
		}
	}
	c.depths = now
	if len(m.GetDepths()) == 0 {
		return nil
	}
	if err := st.Send(m); err != nil {
		return fmt.Errorf("send depths: %w", err)
	}
	return nil
}

// catalog knows which activities connected adapters offer.
type catalog struct {
	mu     sync.Mutex
	offers map[string]int // adapter.activity and adapter.activity:version
}

func (c *catalog) add(h *adapterv1.Hello, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offers == nil {
		c.offers = map[string]int{}
	}
	for _, a := range h.GetActivities() {
		name := h.GetAdapter() + "." + a.GetName()
		for _, k := range [...]string{name, name + ":" + a.GetVersion()} {
			if c.offers[k] += n; c.offers[k] <= 0 {
				delete(c.offers, k)
			}
		}
	}
}

func (c *catalog) offered(activity string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offers[activity] > 0
}
