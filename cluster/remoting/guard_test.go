package remoting

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// stranger is the node that a raw client says it is. Nobody listens there.
var stranger = Node{"127.0.0.1:1", "stranger/1"}

// rawHello is what a node says that is let in.
func rawHello(s *station) *remotingv1.Hello {
	return &remotingv1.Hello{
		Cluster: "test", Address: stranger.Address, Incarnation: string(stranger.Incarnation), LowestProtocol: 1, HighestProtocol: 1,
		Receiver: string(s.node().Incarnation),
	}
}

// dialRaw opens a stream as anybody can that has a gRPC client; without a hello if that is nil.
func dialRaw(tb testing.TB, address string, h *remotingv1.Hello) remote.Remoting_ReceiveClient {
	tb.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	if h != nil {
		md, err := say(h)
		must(tb, err)
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	stream, err := remote.NewRemotingClient(conn).Receive(ctx)
	must(tb, err)
	return stream
}

// sendRaw sends frames, and returns how the stream ends.
func sendRaw(tb testing.TB, s *station, h *remotingv1.Hello, frames ...*remote.RemoteMessage) error {
	tb.Helper()
	stream := dialRaw(tb, s.node().Address, h)
	for _, f := range frames {
		if err := stream.Send(f); err != nil && !errors.Is(err, io.EOF) {
			tb.Fatal(err)
		}
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func batchOf(b *remote.MessageBatch) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}}
}

func connectRequest() *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{MemberId: "x"}},
	}}}
}

// badIndex is a frame at which protoactor's own reader panics.
func badIndex() *remote.RemoteMessage {
	return batchOf(&remote.MessageBatch{
		TypeNames: []string{parcelType}, Targets: []string{recipient}, Envelopes: []*remote.MessageEnvelope{{TypeId: 1}},
	})
}

// parcel encodes one for a node; without letters it holds one message.
func parcel(to Node, letters ...[]byte) []byte {
	if letters == nil {
		letters = [][]byte{letterOf(1)}
	}
	raw, err := proto.Marshal(&remotingv1.Parcel{Sender: string(stranger.Incarnation), Receiver: string(to.Incarnation), Letters: letters})
	if err != nil {
		panic(err)
	}
	return raw
}

func letterOf(ask uint64) []byte {
	l, err := pack(envelope, &nodev1.Envelope{Ask: ask, Message: &nodev1.Envelope_Start{Start: &nodev1.Start{}}}, 1000)
	if err != nil {
		panic(err)
	}
	return l.raw
}

func TestGuardRefusesWhatMustNotBeThere(t *testing.T) {
	t.Parallel()
	stop, err := proto.Marshal(&actor.Stop{})
	must(t, err)
	good := func(to Node) *remote.MessageEnvelope { return &remote.MessageEnvelope{MessageData: parcel(to)} }
	with := func(change func(e *remote.MessageEnvelope)) func(Node) *remote.RemoteMessage {
		return func(to Node) *remote.RemoteMessage {
			bad := good(to)
			change(bad)
			return batchOf(&remote.MessageBatch{
				TypeNames: []string{parcelType, "actor.Stop"}, Targets: []string{recipient, "activator"},
				Senders: []*actor.PID{{Address: "x", Id: "y"}}, Envelopes: []*remote.MessageEnvelope{good(to), bad, good(to)},
			})
		}
	}
	alone := func(m *remote.RemoteMessage) func(Node) *remote.RemoteMessage {
		return func(Node) *remote.RemoteMessage { return m }
	}
	tests := map[string]struct {
		frame  func(to Node) *remote.RemoteMessage
		reason string
		want   int // how many messages beside it are delivered
	}{
		"type behind the last":     {frame: with(func(e *remote.MessageEnvelope) { e.TypeId = 2 }), reason: "index", want: 2},
		"type before the first":    {frame: with(func(e *remote.MessageEnvelope) { e.TypeId = -1 }), reason: "index", want: 2},
		"target behind the last":   {frame: with(func(e *remote.MessageEnvelope) { e.Target = 2 }), reason: "index", want: 2},
		"target before the first":  {frame: with(func(e *remote.MessageEnvelope) { e.Target = math.MinInt32 }), reason: "index", want: 2},
		"sender behind the last":   {frame: with(func(e *remote.MessageEnvelope) { e.Sender = 2 }), reason: "index", want: 2},
		"sender before the first":  {frame: with(func(e *remote.MessageEnvelope) { e.Sender = -1 }), reason: "index", want: 2},
		"Stop":                     {frame: with(func(e *remote.MessageEnvelope) { e.TypeId, e.MessageData = 1, stop }), reason: "type", want: 2},
		"another actor":            {frame: with(func(e *remote.MessageEnvelope) { e.Target = 1 }), reason: "target", want: 2},
		"a sender":                 {frame: with(func(e *remote.MessageEnvelope) { e.Sender = 1 }), reason: "foreign", want: 2},
		"another encoding":         {frame: with(func(e *remote.MessageEnvelope) { e.SerializerId = 1 }), reason: "foreign", want: 2},
		"a header":                 {frame: with(func(e *remote.MessageEnvelope) { e.MessageHeader = &remote.MessageHeader{} }), reason: "foreign", want: 2},
		"a number of a request":    {frame: with(func(e *remote.MessageEnvelope) { e.TargetRequestId = 1 }), reason: "foreign", want: 2},
		"malformed parcel":         {frame: with(func(e *remote.MessageEnvelope) { e.MessageData = []byte{0xff} }), reason: "malformed", want: 2},
		"parcel that is no text":   {frame: with(func(e *remote.MessageEnvelope) { e.MessageData = []byte{0x0a, 1, 0xff} }), reason: "malformed", want: 1},
		"too many letters":         {frame: with(func(e *remote.MessageEnvelope) { e.MessageData = parcel(stranger, make([][]byte, mostInFrame+1)...) }), reason: "oversize", want: 2},
		"parcel for another life":  {frame: with(func(e *remote.MessageEnvelope) { e.MessageData = parcel(stranger) }), reason: "incarnation", want: 1},
		"names of senders":         {frame: with(func(*remote.MessageEnvelope) {}), reason: "foreign", want: 3},
		"too many messages":        {frame: alone(batchOf(&remote.MessageBatch{Envelopes: make([]*remote.MessageEnvelope, mostEnvelopes+1)})), reason: "oversize"},
		"too many names":           {frame: alone(batchOf(&remote.MessageBatch{Targets: make([]string, mostNames+1)})), reason: "oversize"},
		"nothing":                  {frame: alone(&remote.RemoteMessage{}), reason: "foreign"},
		"what a server says":       {frame: alone(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_DisconnectRequest{DisconnectRequest: &remote.DisconnectRequest{}}}), reason: "foreign"},
		"a client connects":        {frame: alone(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{}}}), reason: "foreign"},
		"a long request":           {frame: alone(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{BlockList: make([]string, mostConnect)}}}}}), reason: "oversize"},
		"a frame that is too long": {frame: alone(batchOf(&remote.MessageBatch{TypeNames: []string{strings.Repeat("x", 200<<10)}})), reason: "oversize"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, "one", func(c *Config) { plaintext(c); c.MaxLetter, c.FrameBytes = 64<<10, 64<<10 })
			err := sendRaw(t, s, rawHello(s), connectRequest(), tt.frame(s.node()))
			if code := status.Code(err); code != codes.InvalidArgument && code != codes.ResourceExhausted {
				t.Errorf("the stream ends with %v", err)
			}
			if got := s.metric(refusedMetric, tt.reason); got != 1 {
				t.Errorf("%v frames are counted as refused for %s", got, tt.reason)
			}
			for range tt.want {
				if got := next(t, s.came); got.from != stranger {
					t.Errorf("a message came from %v", got.from)
				}
			}
			// The process lives, and takes what is good.
			stream := dialRaw(t, s.node().Address, rawHello(s))
			must(t, stream.Send(batchOf(&remote.MessageBatch{
				TypeNames: []string{parcelType}, Targets: []string{recipient}, Envelopes: []*remote.MessageEnvelope{{MessageData: parcel(s.node(), letterOf(77))}},
			})))
			if got := next(t, s.came); got.GetAsk() != 77 {
				t.Errorf("a message came that must not: %v", got)
			}
		})
	}
}

func TestLettersThatCanNotBeReadDoNotHarmOthers(t *testing.T) {
	t.Parallel()
	s := newStation(t, "one", plaintext)
	s.on = func(from Node, e *nodev1.Envelope) {
		if e.GetAsk() == 6 {
			panic("for a test")
		}
		s.came <- delivery{e, from}
	}
	pack := func(e *nodev1.Envelope) []byte {
		l, err := pack(envelope, e, 1000)
		must(t, err)
		return l.raw
	}
	start := &nodev1.Envelope_Start{Start: &nodev1.Start{}}
	later := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	stream := dialRaw(t, s.node().Address, rawHello(s))
	must(t, stream.Send(batchOf(&remote.MessageBatch{TypeNames: []string{parcelType}, Targets: []string{recipient}, Envelopes: []*remote.MessageEnvelope{{
		MessageData: parcel(s.node(),
			letterOf(1), []byte{0xff}, letterOf(2), later, letterOf(3), pack(&nodev1.Envelope{Partition: messages.Partitions, Message: start}),
			letterOf(4), pack(&nodev1.Envelope{Ask: 9}), letterOf(5), letterOf(6), letterOf(7)),
	}}})))
	for _, n := range []uint64{1, 2, 3, 4, 5, 7} {
		if got := next(t, s.came); got.GetAsk() != n {
			t.Errorf("message %d came in place of %d", got.GetAsk(), n)
		}
	}
	for reason, want := range map[string]float64{"letter": 2, "unknown": 2, "panic": 1} {
		if got := s.metric(refusedMetric, reason); got != want {
			t.Errorf("%v letters are counted as refused for %s, want %v", got, reason, want)
		}
	}
	must(t, stream.Send(batchOf(&remote.MessageBatch{TypeNames: []string{parcelType}, Targets: []string{recipient}, Envelopes: []*remote.MessageEnvelope{{MessageData: parcel(s.node(), letterOf(8))}}})))
	if got := next(t, s.came); got.GetAsk() != 8 {
		t.Error("the stream has ended")
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	t.Parallel()
	s := newStation(t, "one", plaintext)
	change := func(do func(h *remotingv1.Hello)) *remotingv1.Hello {
		h := rawHello(s)
		do(h)
		return h
	}
	for reason, h := range map[string]*remotingv1.Hello{
		"hello":       nil,
		"cluster":     change(func(h *remotingv1.Hello) { h.Cluster = "other" }),
		"incarnation": change(func(h *remotingv1.Hello) { h.Receiver = "other/1" }),
		"protocol":    change(func(h *remotingv1.Hello) { h.LowestProtocol, h.HighestProtocol = 0, 0 }),
		"itself":      change(func(h *remotingv1.Hello) { h.Incarnation = h.GetReceiver() }),
	} {
		if err := sendRaw(t, s, h); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s: the stream ends with %v", reason, err)
		}
		if got := s.metric(refusedMetric, reason); got != 1 {
			t.Errorf("%v streams are counted as refused for %s", got, reason)
		}
	}
	for _, h := range []*remotingv1.Hello{
		change(func(h *remotingv1.Hello) { h.Address = "nowhere" }),
		change(func(h *remotingv1.Hello) { h.Address = "192.0.2.1:7000" }), // not on this machine
		change(func(h *remotingv1.Hello) { h.Incarnation = "" }),
		change(func(h *remotingv1.Hello) { h.Version = "v1\nforged line" }),
	} {
		if err := sendRaw(t, s, h); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("who says %v is told %v", h, err)
		}
	}
	conn, err := grpc.NewClient(s.node().Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	if _, err := remote.NewRemotingClient(conn).ListProcesses(t.Context(), &remote.ListProcessesRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a call that panics in protoactor ends with %v", err)
	}
	if err := conn.Invoke(t.Context(), "/other.Service/Method", &nodev1.Start{}, &nodev1.Start{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a call of nothing ends with %v", err)
	}
	if len(s.Status()) != 0 {
		t.Errorf("strangers have become peers: %v", s.Status())
	}
}

func TestNodeThatConnectsAnewReplacesItsStream(t *testing.T) {
	t.Parallel()
	s := newStation(t, "one", plaintext)
	ended := make(chan error, 1)
	before := dialRaw(t, s.node().Address, rawHello(s))
	_, err := before.Header()
	must(t, err)
	go func() {
		_, err := before.Recv()
		ended <- err
	}()
	dialRaw(t, s.node().Address, rawHello(s))
	if err := next(t, ended); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "connected anew") {
		t.Errorf("the stream before ends with %v", err)
	}
}

func TestOnlySoManyConnectionsAreOpen(t *testing.T) {
	t.Parallel()
	s := newStation(t, "one", func(c *Config) { plaintext(c); c.MaxPeers = 1 })
	for range connectionsOf(1) {
		_, err := dialRaw(t, s.node().Address, rawHello(s)).Header()
		must(t, err)
	}
	conn, err := grpc.NewClient(s.node().Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	if _, err := remote.NewRemotingClient(conn).ListProcesses(t.Context(), &remote.ListProcessesRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("one connection more ends with %v", err)
	}
	if got := s.metric(refusedMetric, "connections"); got < 1 {
		t.Error("it is not counted")
	}
}

func TestFramesAreThoseOfProtoactor(t *testing.T) {
	t.Parallel()
	to := Node{"127.0.0.1:2", "two/1"}
	for _, n := range []int{1, 3, 2000} {
		var letters []letter
		want := &remotingv1.Parcel{Sender: string(stranger.Incarnation), Receiver: string(to.Incarnation)}
		for i := range n {
			e := &nodev1.Envelope{Ask: uint64(i), OrderId: strings.Repeat("x", i), Message: &nodev1.Envelope_Start{Start: &nodev1.Start{}}}
			l, err := pack(envelope, e, 1<<20)
			must(t, err)
			k, m, err := unpack(l.raw)
			if err != nil || k != envelope || !proto.Equal(m, e) {
				t.Fatalf("%v is read as %v, %v", e, m, err)
			}
			letters = append(letters, l)
			want.Letters = append(want.Letters, l.raw)
		}
		f, size := newEncoder(stranger, to).frame(letters)
		raw := f.out.Materialize()
		if len(raw) != size {
			t.Errorf("the frame has %d bytes, and %d are told", len(raw), size)
		}
		m := new(remote.RemoteMessage)
		if f := judge(raw, m); f != nil {
			t.Fatalf("the guard refuses it: %v", f)
		}
		got := new(remotingv1.Parcel)
		must(t, proto.Unmarshal(m.GetMessageBatch().GetEnvelopes()[0].GetMessageData(), got))
		if !proto.Equal(got, want) {
			t.Errorf("the parcel of %d letters holds %v", n, got)
		}
	}
	if _, err := pack(envelope, &nodev1.Envelope{OrderId: strings.Repeat("x", 100)}, 99); !errors.Is(err, errLong) {
		t.Errorf("a message that is too long: %v", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	q := queue{mostLetters: 3, mostBytes: 10}
	add := func(k kind, size int, want bool) {
		t.Helper()
		if got := q.add(letter{kind: k, raw: make([]byte, size)}); got != want {
			t.Errorf("a letter of %d bytes is taken: %v", size, got)
		}
	}
	add(envelope, 6, true)
	add(envelope, 5, false)
	add(answer, 4, true)
	add(envelope, 0, true)
	add(envelope, 0, false)
	for range mostUrgent {
		add(question, 100, true)
	}
	add(evidence, 1, false)
	if got := q.take(nil, 6); len(got) != mostUrgent+1 || got[0].kind != question || len(got[mostUrgent].raw) != 6 || q.len() != 2 {
		t.Errorf("the first frame holds %d letters, and %d are left", len(got), q.len())
	}
	if got := q.take(nil, 1); len(got) != 1 || len(got[0].raw) != 4 {
		t.Errorf("a letter longer than a frame is not sent alone: %v", got)
	}
	if q.take(nil, 1); q.len() != 0 || q.bytes != 0 {
		t.Errorf("%d letters and %d bytes are left", q.len(), q.bytes)
	}
}

// FuzzJudge feeds the guard frames, and does with what it lets through what protoactor would.
func FuzzJudge(f *testing.F) {
	to := Node{"127.0.0.1:2", "two/1"}
	good, _ := newEncoder(stranger, to).frame([]letter{{raw: letterOf(1)}, {raw: letterOf(2)}})
	f.Add(good.out.Materialize())
	for _, m := range []*remote.RemoteMessage{
		connectRequest(), badIndex(),
		{},
		batchOf(&remote.MessageBatch{
			TypeNames: []string{parcelType, "actor.Stop"}, Targets: []string{recipient, "x"}, Senders: []*actor.PID{{Id: "y"}},
			Envelopes: []*remote.MessageEnvelope{{TypeId: 1}, {Target: 1}, {Sender: 1}, {MessageData: parcel(to)}, {TypeId: -1}, {Target: -1}, {Sender: -1}},
		}),
	} {
		raw, err := proto.Marshal(m)
		must(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(remote.RemoteMessage)
		fault := judge(raw, m)
		if fault == nil && m.GetMessageBatch() == nil && m.GetConnectRequest() == nil {
			t.Fatal("nothing was let through without a reason")
		}
		b := m.GetMessageBatch()
		if len(b.GetEnvelopes()) > mostEnvelopes || len(b.GetTypeNames())+len(b.GetTargets())+len(b.GetSenders()) > mostNames {
			t.Fatalf("%d messages were let through, and %d names", len(b.GetEnvelopes()), len(b.GetTypeNames()))
		}
		for _, e := range b.GetEnvelopes() {
			if b.GetTypeNames()[e.GetTypeId()] != parcelType || b.GetTargets()[e.GetTarget()] != recipient || e.GetSender() != 0 {
				t.Fatalf("%v was let through", e)
			}
			p := new(remotingv1.Parcel)
			if proto.Unmarshal(e.GetMessageData(), p) != nil {
				continue // the reader refuses it
			}
			if len(p.GetLetters()) > mostInFrame {
				t.Fatalf("%d letters were let through", len(p.GetLetters()))
			}
		}
	})
}

// FuzzUnpack reads letters.
func FuzzUnpack(f *testing.F) {
	f.Add(letterOf(1))
	for k, m := range map[kind]proto.Message{
		answer: &nodev1.Answer{Ask: 1}, question: &remotingv1.Question{Number: 1}, evidence: &remotingv1.Evidence{Number: 1, Seen: true, Age: -5},
	} {
		l, err := pack(k, m, 1000)
		must(f, err)
		f.Add(l.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, m, err := unpack(raw)
		if err != nil {
			return
		}
		again, err := pack(k, m, len(raw)+1000)
		must(t, err)
		k2, m2, err := unpack(again.raw)
		if err != nil || k2 != k || !proto.Equal(m, m2) {
			t.Fatalf("%v is read as %v, %v", m, m2, err)
		}
		if e, ok := m.(*nodev1.Envelope); ok && (e.GetPartition() >= messages.Partitions || e.GetMessage() == nil) {
			t.Fatalf("%v is taken", e)
		}
	})
}

// FuzzMeet reads what strangers say of themselves.
func FuzzMeet(f *testing.F) {
	c := Config{Self: Node{"127.0.0.1:7000", "a/1"}, Cluster: "test", Version: "v1"}.WithDefaults()
	raw, err := proto.Marshal(&remotingv1.Hello{Cluster: "test", Address: "b:1", Incarnation: "b/1", LowestProtocol: 1, HighestProtocol: 9, Receiver: "a/1"})
	must(f, err)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, fault := hear(metadata.Pairs(helloKey, string(raw)))
		if fault != nil {
			return
		}
		if p, fault := c.admit(h); fault == nil {
			if got, err := ParseNode(p.String()); err != nil || got != p.Node || p.protocol != 1 || h.GetReceiver() != "a/1" || h.GetCluster() != "test" {
				t.Fatalf("%v is let in as %v", h, p)
			}
		} else if strings.ContainsAny(printable(fault.text), "\n\r\x00") {
			t.Fatalf("the log gets %q", fault.text)
		}
	})
}
