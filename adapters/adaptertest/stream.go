package adaptertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// stream is one connection of an adapter. The node's lock guards it.
type stream struct {
	process string
	knows   map[string]bool // keys that were sent on it, or listed in its hello
	credits map[string]*credit
	out     []*adapterv1.ConnectResponse // what a test sends, so it is bounded by the test
	wake    chan struct{}                // cap 1
	cut     context.CancelFunc
	drained bool // the adapter wants no more tasks
	heard   time.Time
}

// credit is the node's side of an activity's credits.
type credit struct{ total, sent, returned uint64 }

func (c *credit) left() uint64 { return c.total - c.sent - c.returned }

func (s *stream) send(m *adapterv1.ConnectResponse) {
	s.out = append(s.out, m)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

type connection = grpc.BidiStreamingServer[adapterv1.ConnectRequest, adapterv1.ConnectResponse]

// Connect implements adapterv1.AdapterServiceServer.
func (n *Node) Connect(conn connection) error {
	first, err := conn.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if wrong := checkHello(hello); wrong != "" {
		n.mu.Lock()
		n.broken = append(n.broken, wrong)
		n.mu.Unlock()
		return status.Error(codes.InvalidArgument, wrong)
	}
	ctx, cut := context.WithCancel(conn.Context())
	defer cut()
	s := &stream{
		process: hello.GetProcess(), knows: map[string]bool{}, credits: map[string]*credit{}, wake: make(chan struct{}, 1), cut: cut, heard: time.Now(),
	}
	for _, a := range hello.GetActivities() {
		s.credits[a.GetName()] = &credit{}
	}
	for _, key := range hello.GetKeys() {
		s.knows[key] = true
	}
	welcome := &adapterv1.Welcome{
		Node: n.options.ID, HeartbeatMs: uint32(n.options.Heartbeat.Milliseconds()), Nodes: n.options.Nodes,
		MaxOutputBytes: n.options.MaxOutput,
	}
	if n.options.Lists {
		welcome.Features = []adapterv1.Feature{adapterv1.Feature_FEATURE_OWNED}
	}
	n.mu.Lock()
	s.send(&adapterv1.ConnectResponse{Topology: n.topology, Welcome: welcome})
	for _, key := range hello.GetKeys() {
		n.execution(key).allowed = true // it may have been, by another node
	}
	n.hellos = append(n.hellos, hello)
	n.streams = append(n.streams, s)
	n.mu.Unlock()
	n.receive(s, first)

	read := make(chan error, 1)
	go func() { read <- n.read(s, conn) }()
	defer n.leave(s)
	for {
		select {
		case <-s.wake:
			for _, m := range n.take(s) {
				if err := conn.Send(m); err != nil {
					return err
				}
			}
		case err := <-read:
			return err
		case <-ctx.Done(): // the reader ends when the handler has returned
			return status.Error(codes.Unavailable, "the test cut the stream")
		}
	}
}

func (n *Node) take(s *stream) []*adapterv1.ConnectResponse {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := s.out
	s.out = nil
	return out
}

func (n *Node) leave(s *stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.streams = slices.DeleteFunc(n.streams, func(other *stream) bool { return other == s })
	n.notify()
}

func (n *Node) read(s *stream, conn connection) error {
	for {
		m, err := conn.Recv()
		if err == io.EOF { //nolint:errorlint // what Recv promises
			return nil
		}
		if err != nil {
			return err
		}
		n.receive(s, m)
	}
}

// receive handles a message of the adapter, in the order of the parts.
func (n *Node) receive(s *stream, m *adapterv1.ConnectRequest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.notify()
	silent := time.Since(s.heard)
	n.silence = max(n.silence, silent)
	if silent > 3*n.options.Heartbeat {
		n.violatedf("the adapter was silent for %v, longer than three heartbeats of %v", silent, n.options.Heartbeat)
	}
	s.heard = time.Now()
	answer := &adapterv1.ConnectResponse{}
	for _, r := range m.GetResults() {
		n.checkResult(s, r)
		n.results = append(n.results, r)
		if !n.holdAcks {
			answer.Acks = append(answer.Acks, r.GetSeq())
		}
	}
	for _, c := range m.GetCredits() {
		switch have := s.credits[c.GetActivity()]; {
		case have == nil:
			n.violatedf("credit for activity %q, which the hello doesn't offer", c.GetActivity())
		case c.GetTotal() < have.total:
			n.violatedf("the total of credits for %q fell from %d to %d", c.GetActivity(), have.total, c.GetTotal())
		default:
			have.total = c.GetTotal()
		}
	}
	for _, r := range m.GetRevocations() {
		have := s.credits[r.GetActivity()]
		if have == nil {
			n.violatedf("revocation for activity %q, which the hello doesn't offer", r.GetActivity())
			continue
		}
		count := min(r.GetCount(), have.left())
		have.returned += count
		answer.Returned = append(answer.Returned, &adapterv1.Returned{Activity: r.GetActivity(), Count: count})
	}
	for _, p := range m.GetHeartbeat().GetProgress() {
		if !s.knows[p.GetKey()] {
			n.violatedf("progress of key %q, which was neither sent on this stream nor listed in its hello", p.GetKey())
		}
		n.notes = append(n.notes, p)
	}
	for _, b := range m.GetBegun() {
		n.receiveBegun(s, b)
	}
	for _, l := range m.GetListings() {
		n.receiveListing(s, l)
	}
	s.drained = s.drained || m.GetDrain()
	if len(answer.GetAcks())+len(answer.GetReturned()) > 0 {
		s.send(answer)
	}
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

func checkHello(h *adapterv1.Hello) string {
	switch {
	case h == nil:
		return "the first message has no hello"
	case h.GetProtocol() != 1:
		return fmt.Sprintf("hello: protocol %d, 1 is expected", h.GetProtocol())
	case !namePattern.MatchString(h.GetAdapter()):
		return fmt.Sprintf("hello: adapter %q is not a name", h.GetAdapter())
	case h.GetProcess() == "" || len(h.GetProcess()) > 64:
		return "hello: process must have 1 to 64 bytes"
	case h.GetLedger() == "":
		return "hello: ledger is empty; without one of its own it is the same as process"
	case len(h.GetActivities()) == 0:
		return "hello: no activities"
	}
	names := map[string]bool{}
	for _, a := range h.GetActivities() {
		if !namePattern.MatchString(a.GetName()) || names[a.GetName()] || a.GetConcurrency() == 0 {
			return fmt.Sprintf("hello: activity %q is not a name, is offered twice, or has a concurrency of 0", a.GetName())
		}
		names[a.GetName()] = true
	}
	return ""
}

func (n *Node) checkResult(s *stream, r *adapterv1.Result) {
	id := fmt.Sprintf("result %d of key %q", r.GetSeq(), r.GetKey())
	if before := n.bySeq[fmt.Sprint(s.process, r.GetSeq())]; before != nil && !proto.Equal(before, r) {
		n.violatedf("%s: its number was that of another result: %v", id, before)
	}
	n.bySeq[fmt.Sprint(s.process, r.GetSeq())] = r
	if t := n.tasks[r.GetKey()]; t != nil &&
		(t.GetOrderId() != r.GetOrderId() || t.GetPartition() != r.GetPartition() || t.GetActivity() != r.GetActivity()) {
		n.violatedf("%s: order, partition and activity are not those of the task", id)
	}
	n.checkExecution(s, id, r)
	switch r.GetOutcome() {
	case adapterv1.Outcome_OUTCOME_SUCCEEDED:
		if len(r.GetOutput()) > 0 && !json.Valid(r.GetOutput()) {
			n.violatedf("%s: the output is not JSON: %q", id, r.GetOutput())
		}
		if limit := n.options.MaxOutput; limit > 0 && len(r.GetOutput()) > int(limit) {
			n.violatedf("%s: the output has %d bytes, more than %d", id, len(r.GetOutput()), limit)
		}
		if len(r.GetOutput()) > 0 && r.GetError() != nil {
			n.violatedf("%s: an error says why there is no output, and there is one", id)
		}
	case adapterv1.Outcome_OUTCOME_FAILED, adapterv1.Outcome_OUTCOME_IN_DOUBT:
		if r.GetError() == nil {
			n.violatedf("%s: no error says why", id)
		}
	case adapterv1.Outcome_OUTCOME_NOT_DONE:
	case adapterv1.Outcome_OUTCOME_UNSPECIFIED:
		n.violatedf("%s: no outcome", id)
	default:
		n.violatedf("%s: unknown outcome %v", id, r.GetOutcome())
	}
	if r.GetSeq() == 0 {
		n.violatedf("%s: sequence numbers begin with 1", id)
	}
}

func (n *Node) violatedf(format string, args ...any) {
	n.broken = append(n.broken, fmt.Sprintf(format, args...))
}
