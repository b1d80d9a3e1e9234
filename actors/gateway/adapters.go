package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/activity"
	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// adapterProtocol is the version of the adapter protocol that is spoken here.
const adapterProtocol = 1

// The bounds of a hello. What it takes in all is bounded by the engine.
const (
	maxName  = 63
	maxToken = 64
)

// maxText is the longest text of an error, in bytes.
const maxText = 16 << 10

// adapterService serves adapterv1.AdapterService.
type adapterService struct {
	adapterv1.UnimplementedAdapterServiceServer
	*Server
}

type adapterConn = grpc.BidiStreamingServer[adapterv1.ConnectRequest, adapterv1.ConnectResponse]

// Connect implements adapterv1.AdapterServiceServer.
func (a adapterService) Connect(st adapterConn) error {
	in, first := a.ofAdapter(st), &adapterv1.ConnectRequest{}
	err := in.receive(st.Context(), first)
	if _, ours := errors.AsType[*failure](err); ours {
		return a.fail(err)
	}
	if err != nil {
		return fmt.Errorf("receive hello: %w", err)
	}
	arrived(st.Context())
	hello := first.GetHello()
	if err := checkHello(hello, a.config.Offers); err != nil {
		return a.fail(err)
	}
	// Nothing of a hello is kept before it is known that its caller may serve all that it offers.
	if err := requireOfHello(access.Of(st.Context()), hello); err != nil {
		return a.refuseCaller(st.Context(), adapterv1.AdapterService_Connect_FullMethodName, err)
	}
	for _, act := range hello.GetActivities() {
		if act.GetVersion() == "" {
			act.Version = "1.0.0"
		}
	}
	return a.newConnection(hello, callerOf(st.Context())).serve(st, in, first)
}

// checkHello says everything that is wrong with a hello.
func checkHello(h *adapterv1.Hello, maxActivities int) error {
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
		m.add("hello.activities", fmt.Sprintf("has %d, and must have 1 to %d, see --max-offers", n, maxActivities))
		return m.err()
	}
	seen := make(map[string]bool, len(h.GetActivities()))
	for i, act := range h.GetActivities() {
		if !isName(act.GetName()) {
			checkName(&m, fmt.Sprintf("hello.activities[%d].name", i), act.GetName())
		}
		if seen[act.GetName()] {
			m.add(fmt.Sprintf("hello.activities[%d].name", i), "is there twice")
		}
		seen[act.GetName()] = true
		if v := act.GetVersion(); v != "" && !messages.IsVersion(v) {
			m.add(fmt.Sprintf("hello.activities[%d].version", i),
				fmt.Sprintf("is %q, and must be a semantic version such as 1.0.0", v))
		}
	}
	return m.err()
}

// isName tells whether an adapter or an activity may have a name.
func isName(name string) bool {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	return name != "" && len(name) <= maxName && bad < 0
}

func checkName(m *mistakes, field, name string) {
	if !isName(name) {
		m.add(field, fmt.Sprintf("is %q, and must have 1 to %d of A-Z a-z 0-9 _ -", name, maxName))
	}
}

// connection is one stream of an adapter. It implements activity.Adapter.
type connection struct {
	*Server

	hello  *adapterv1.Hello
	caller *auditv1.Caller
	stream *activity.Stream
	out    *collector[any]
	flow   flow
	// These are of capacity 1: something was received; the writer is to look whether there is something to ask or to tell; the adapter
	// does not read.
	heard, turn, unreading chan struct{}
	// second: a second is over since the writer looked last.
	second atomic.Bool
	// changed is closed when there are other nodes than the adapter was told. The writer has it.
	changed <-chan struct{}
	// owes is the processor time that it took to find out that what it has said counts for nothing, and that it was not charged for yet.
	owes atomic.Int64
	// untaken are the results that the adapter is to send again.
	untaken untaken
}

var _ activity.Adapter = (*connection)(nil)

// SendTask implements activity.Adapter.
func (c *connection) SendTask(t *adapterv1.Task) { c.put(t) }

// SendCancellation implements activity.Adapter.
func (c *connection) SendCancellation(x *adapterv1.Cancellation) { c.put(x) }

// SendConfirmation implements activity.Adapter.
func (c *connection) SendConfirmation(x *adapterv1.Confirmation) { c.put(x) }

// SendReturned implements activity.Adapter.
func (c *connection) SendReturned(r *adapterv1.Returned) {
	c.put(r)
	c.flow.unanswered.add(-partBytes) // of the revocation
}

func (s *Server) newConnection(hello *adapterv1.Hello, caller *auditv1.Caller) *connection {
	return &connection{
		Server: s, hello: hello, caller: caller, out: newCollector[any](), flow: flow{unanswered: newTally(&s.unanswered, maxUnanswered)},
		heard: make(chan struct{}, 1), turn: make(chan struct{}, 1), unreading: make(chan struct{}, 1),
	}
}

// Refused implements activity.Adapter.
func (c *connection) Refused(what, why string) {
	c.owes.Add(int64(refusalTakes))
	if c.audit != nil {
		c.audit.Refused(what+" of adapter "+c.hello.GetAdapter(), c.caller, why)
	}
}

// serve runs the stream until the adapter leaves, falls silent, or the node stops. An adapter that does not read can't
// hold it up: only the writer waits for it.
func (c *connection) serve(st adapterConn, in *receiver, first *adapterv1.ConnectRequest) error {
	log := c.log.With("adapter", c.hello.GetAdapter(), "process", c.hello.GetProcess())
	var err error
	if c.stream, err = c.engine.Activities().Attach(c.hello, c); err != nil {
		c.refusedHello(log, err)
		return c.fail(&failure{code: codes.ResourceExhausted, reason: "ADAPTERS", message: err.Error(), retry: refusedFor})
	}
	closed, inOrder := false, false
	defer func() { c.stream.Detach(closed, inOrder) }()
	defer c.flow.unanswered.end()
	defer c.out.close()
	var welcome *adapterv1.ConnectResponse
	welcome, c.changed = c.greet()
	if err := c.deliver(st, welcome); err != nil {
		return err
	}
	log.Info("adapter connected", "activities", len(c.hello.GetActivities()), "keys", len(c.hello.GetKeys()))
	c.offered.add(c.hello, 1)
	defer c.offered.add(c.hello, -1)
	c.beat.enter(c)
	defer c.beat.leave(c)
	err = c.watch(in,
		c.start(func() error { return c.read(st.Context(), in, first) }),
		c.start(func() error { return c.write(st) }),
	)
	// That this node has ended the stream, such as one that was silent, says nothing about the process.
	_, ours := errors.AsType[*failure](err)
	closed, inOrder = !ours && !errors.Is(err, runtime.ErrStopping), err == nil
	log.Info("adapter disconnected", "reason", whyDisconnected(err))
	if (ours || inOrder) && (c.stream.HasTasks() || c.flow.sending.Load() != 0) {
		c.hangUp(st.Context())
	}
	if err != nil {
		return c.fail(err)
	}
	return nil
}

// refusedHello logs that an adapter may not connect.
func (c *connection) refusedHello(log *slog.Logger, err error) {
	if c.helloRefused.afterQuiet() {
		log.Warn("adapter refused", "activities", len(c.hello.GetActivities()), "keys", len(c.hello.GetKeys()), "reason", err)
	}
}

// refusedFor is after how long an adapter that was refused may try again.
const refusedFor = 5 * time.Second

// refusals is when somebody was refused last, in nanoseconds since 1970. One that comes after it was quiet for a while is logged.
type refusals struct{ last atomic.Int64 }

// refusalsEvery is how long it was quiet before it is logged that somebody was refused.
const refusalsEvery = 10 * time.Second

func (r *refusals) afterQuiet() bool {
	now := time.Now().UnixNano()
	return now-r.last.Swap(now) > int64(refusalsEvery)
}

// whyDisconnected says for people why a stream has ended. When a connection is gone, gRPC only says that its context has ended.
func whyDisconnected(err error) string {
	switch {
	case err == nil:
		return "the adapter has left"
	case errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled:
		return "the connection is gone: the adapter's process has ended, or the network has failed"
	default:
		return err.Error()
	}
}

// start runs one half of a stream. It ends at the latest when the stream does, which is when serve has returned.
func (c *connection) start(half func() error) <-chan error {
	ended := make(chan error, 1)
	go func() {
		var err error
		defer func() { ended <- err }()
		defer c.contain("Connect", &err)
		err = half()
	}()
	return ended
}

// watch returns when the stream is over, with the reason; nil if the adapter has left.
func (c *connection) watch(in *receiver, received, sent <-chan error) error {
	silence := time.NewTimer(3 * c.config.Heartbeat)
	defer silence.Stop()
	stopping := c.stopping
	var reason error
	for {
		select {
		case err := <-received:
			if err != nil {
				return err
			}
			received = nil
			c.out.close() // what is left is still sent
		case err := <-sent:
			if err == nil {
				err = reason
			}
			return err
		case <-stopping:
			stopping, reason = nil, runtime.ErrStopping
			c.put(drain{})
			c.out.close()
		case <-c.heard:
			silence.Reset(3 * c.config.Heartbeat)
		case <-c.unreading:
			if err := c.unread(); err != nil {
				return err
			}
		case <-silence.C:
			if in.waits.Load() { // it is the node that does not listen
				c.hear()
				continue
			}
			return &failure{
				code: codes.DeadlineExceeded, reason: "SILENT",
				message: fmt.Sprintf("nothing was heard from the adapter for %v", 3*c.config.Heartbeat),
			}
		}
	}
}

func (c *connection) read(ctx context.Context, in *receiver, m *adapterv1.ConnectRequest) error {
	var err error
	for err == nil {
		c.hear()
		if err := c.handle(ctx, m); err != nil {
			return err
		}
		in.charge(ctx, time.Duration(c.owes.Swap(0)))
		m = &adapterv1.ConnectRequest{}
		err = in.receive(ctx, m)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("receive: %w", err)
}

// handle takes the parts of a message, in the order of their numbers.
func (c *connection) handle(ctx context.Context, m *adapterv1.ConnectRequest) error {
	for _, r := range m.GetResults() {
		if err := c.result(ctx, r); err != nil {
			return err
		}
	}
	for _, cr := range m.GetCredits() {
		c.stream.Credit(cr)
	}
	for _, r := range m.GetRevocations() {
		if err := c.await(ctx); err != nil {
			return err
		}
		c.flow.unanswered.add(partBytes)
		if !c.stream.Revoke(r) {
			c.flow.unanswered.add(-partBytes)
		}
	}
	if m.GetDrain() {
		if err := c.await(ctx); err != nil {
			return err
		}
		c.flow.unanswered.add(partBytes * len(c.hello.GetActivities()))
		c.stream.Drain()
	}
	for _, b := range m.GetBegun() {
		if err := c.await(ctx); err != nil {
			return err
		}
		c.stream.Begun(b)
	}
	for _, l := range m.GetListings() {
		if err := c.listing(l); err != nil {
			return err
		}
	}
	return nil
}

// result checks a result and passes it on. One that can't be taken as it is leaves its attempt in doubt. But a success stays a success,
// even if its output can't be taken.
func (c *connection) result(ctx context.Context, r *adapterv1.Result) error {
	if err := c.await(ctx); err != nil {
		return err
	}
	var m mistakes
	if err := messages.OrderID(r.GetOrderId()).Validate(); err != nil {
		m.add("results.order_id", err.Error())
	}
	if r.GetPartition() >= messages.Partitions {
		m.add("results.partition", fmt.Sprintf("is %d, and must be below %d", r.GetPartition(), messages.Partitions))
	}
	if err := m.err(); err != nil {
		return err
	}
	c.amend(r)
	if r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && r.GetError().GetType() == "" {
		r.Error = failureOf(r)
	}
	if p := r.GetError(); p != nil {
		for _, text := range [...]*string{&p.Type, &p.Title, &p.Detail, &p.Instance} {
			*text = messages.Clip(*text, maxText)
		}
	}
	seq, p := r.GetSeq(), messages.Partition(r.GetPartition()) //nolint:gosec // it was checked
	size := partBytes + len(r.GetKey()) + len(r.GetOutput()) + len(r.GetError().GetDetail())
	c.flow.unanswered.add(size)
	c.stream.Result(r, func(err error) { //nolint:contextcheck // what came of a result is found out also when its stream is over
		defer c.flow.unanswered.add(-size)
		switch {
		case err == nil:
			c.put(ack(seq))
		case errors.Is(err, activity.ErrUnlisted):
			c.owes.Add(int64(unlistedTakes))
			c.put(ack(seq))
		case errors.Is(err, runtime.ErrNotOwner):
			c.notOwner(r)
		case errors.Is(err, failures.ErrUnavailable), errors.Is(err, runtime.ErrInterrupted):
			c.untaken.add(seq, p)
		}
		// Else the adapter sends it again by itself: what is wrong does not pass with the next second.
	})
	return nil
}

// amend changes a result to one that can be taken.
func (c *connection) amend(r *adapterv1.Result) {
	_, known := adapterv1.Outcome_name[int32(r.GetOutcome())]
	switch {
	case !known:
		r.Error = &problemv1.Problem{
			Title:  "Result is not usable",
			Detail: fmt.Sprintf("the adapter tells the outcome %d, which does not exist", r.GetOutcome()),
		}
		r.Outcome, r.Output, r.Permanent = adapterv1.Outcome_OUTCOME_IN_DOUBT, nil, true
	case r.GetOutcome() != adapterv1.Outcome_OUTCOME_SUCCEEDED:
		r.Output = nil
	case r.GetError() != nil:
		r.Output, r.Error.Type = nil, messages.ErrorTypeUnreported
	case len(r.GetOutput()) > 0:
		if err := checkJSON(r.GetOutput(), c.config.MaxOutput, c.config.MaxDepth); err != nil {
			r.Output, r.Error = nil, &problemv1.Problem{
				Type: messages.ErrorTypeUnreported, Title: "Done, but its output can't be taken", Status: http.StatusInternalServerError,
				Detail: fmt.Sprintf("the output of the activity %v", err),
			}
		}
	}
}

// failureOf returns the error of a result, with defaults for what it does not say.
func failureOf(r *adapterv1.Result) *problemv1.Problem {
	p := r.GetError()
	if p == nil {
		p = &problemv1.Problem{}
	}
	p.Type = messages.ErrorTypeCommunication
	if p.GetStatus() == 0 {
		p.Status = 503
		if r.GetPermanent() {
			p.Status = 500
		}
	}
	return p
}

// offers are the activities that connected adapters offer.
type offers struct {
	mu sync.Mutex
	// by counts the streams that offer an activity, with and without its version.
	by map[string]int
}

func (c *offers) add(h *adapterv1.Hello, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	for _, a := range h.GetActivities() {
		name := h.GetAdapter() + "." + a.GetName()
		for _, k := range [...]string{name, name + ":" + a.GetVersion()} {
			if c.by[k] += n; c.by[k] <= 0 {
				delete(c.by, k)
			}
		}
	}
}

func (c *offers) has(activity string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[activity] > 0
}
