package remoting

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

func TestMessagesArriveInOrderAndAreAnswered(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one, two := newStation(t, "one", secured(a)), newStation(t, "two", secured(a))
	two.on = func(_ Node, e *nodev1.Envelope) {
		two.Answer(e.GetAsker(), &nodev1.Answer{Ask: e.GetAsk(), Message: &nodev1.Answer_Accepted{
			Accepted: &nodev1.Accepted{Definition: e.GetOrderId()},
		}})
	}
	must(t, one.Peers(one.node(), two.node())) // two is told nothing: it answers who is connected to it
	const many = 5000
	for n := range uint64(many) {
		one.ask(two.node(), n+1)
	}
	for n := range uint64(many) {
		if got := next(t, one.answers); got.GetAsk() != n+1 || got.GetAccepted().GetDefinition() != "order" {
			t.Fatalf("answer %d is %v", n+1, got)
		}
	}
	if sent, received := one.metric("holdfast_remoting_messages_total", "envelope"), two.metric("holdfast_remoting_messages_total", "envelope"); sent != many || received != many {
		t.Errorf("%v messages were counted as sent and %v as received, of %d", sent, received, many)
	}
	if frames := one.metric("holdfast_remoting_frames_total", "sent"); frames >= many {
		t.Errorf("%v frames for %d messages: they don't share frames", frames, many)
	}
	if got := one.metric("holdfast_remoting_queued", ""); got != 0 {
		t.Errorf("%v messages are counted as waiting", got)
	}
	p := one.Status()
	if len(p) != 1 || p[0].Node != two.node() || p[0].State != "up" || !p[0].Member || p[0].Version != "v1.2.3" || p[0].JournalLevel != 7 || p[0].Protocol != HighestProtocol {
		t.Errorf("one has peers %+v", p)
	}
	if p := two.Status(); len(p) != 1 || p[0].Node != one.node() || p[0].Member {
		t.Errorf("two has peers %+v", p)
	}
}

func TestThreeNodesSendAsActorsDo(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var all []*station
	var nodes []Node
	for i := range 3 {
		all = append(all, newStation(t, fmt.Sprint("node", i), secured(a)))
		nodes = append(nodes, all[i].node())
	}
	for _, s := range all {
		must(t, s.Peers(nodes...))
	}
	for i, s := range all {
		system := actor.NewActorSystem()
		defer system.Shutdown()
		s.Attach(system, s)
		for j, n := range nodes {
			if i != j {
				system.Root.Send(PID(n), &nodev1.Envelope{Partition: uint32(i), Message: &nodev1.Envelope_Start{Start: &nodev1.Start{}}})
			}
		}
		system.Root.Send(PID(nodes[(i+1)%3]), "not an envelope")
	}
	for i, s := range all {
		for range 2 {
			if got := next(t, s.came); got.from != nodes[got.GetPartition()] || int(got.GetPartition()) == i {
				t.Errorf("node %d got %v from %v", i, got.Envelope, got.from)
			}
		}
		if got := s.metric(undeliveredMetric, "foreign"); got != 1 {
			t.Errorf("node %d counts %v messages that are no envelopes, want 1", i, got)
		}
	}
}

func TestWhoSendsIsToldWhatDoesNotArrive(t *testing.T) {
	t.Parallel()
	one := newStation(t, "one", func(c *Config) { plaintext(c); c.QueueLetters, c.MaxLetter, c.QueueBytes = 3, 128<<10, 1<<20 })
	two := newStation(t, "two", func(c *Config) { plaintext(c); c.MaxLetter = 128 << 10 })
	blocked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	two.on = func(from Node, e *nodev1.Envelope) { // against the rules: so the stream is not read
		once.Do(func() { close(blocked) })
		<-release
		two.came <- delivery{e, from}
	}
	must(t, one.Peers(two.node()))
	big := func(n uint64) *nodev1.Envelope {
		return &nodev1.Envelope{Ask: n, Asker: one.node().String(), Message: &nodev1.Envelope_Complete{Complete: &nodev1.Complete{Output: make([]byte, 100<<10)}}}
	}
	one.Send(two.node(), big(1))
	next(t, blocked)
	sent, full := uint64(1), uint64(0)
	for full == 0 {
		sent++
		one.Send(two.node(), big(sent))
		select {
		case a := <-one.answers:
			if a.GetFailure().GetReason() != nodev1.Reason_REASON_BUSY {
				t.Fatalf("a message that had no room is answered %v", a)
			}
			full = a.GetAsk()
		default:
		}
	}
	if got := one.metric(undeliveredMetric, "queue_full"); got != 1 {
		t.Errorf("%v messages are counted that had no room, want 1", got)
	}
	close(release)
	for n := range sent {
		if n+1 != full {
			if got := next(t, two.came); got.GetAsk() != n+1 {
				t.Fatalf("message %d came in place of %d", got.GetAsk(), n+1)
			}
		}
	}
	one.Send(two.node(), &nodev1.Envelope{Ask: 7, Asker: one.node().String(), Message: &nodev1.Envelope_Complete{Complete: &nodev1.Complete{Output: make([]byte, 200<<10)}}})
	if a := next(t, one.answers); a.GetAsk() != 7 || !strings.Contains(a.GetFailure().GetText(), "too long") {
		t.Errorf("a message that is too long is answered %v", a)
	}
	two.Answer(one.node().String(), &nodev1.Answer{Ask: 8, Failure: &nodev1.Failure{Text: strings.Repeat("x", 200<<10)}})
	if a := next(t, one.answers); a.GetAsk() != 8 || !strings.Contains(a.GetFailure().GetText(), "too long") {
		t.Errorf("in place of an answer that is too long comes %.200v", a)
	}
	nobody := Node{"127.0.0.1:1", "nobody/1"}
	one.ask(nobody, 9)
	if a := next(t, one.answers); a.GetAsk() != 9 || a.GetFailure().GetReason() != nodev1.Reason_REASON_NOT_OWNER {
		t.Errorf("a message to who is no peer is answered %v", a)
	}
	must(t, one.Peers(two.node(), nobody))
	one.ask(nobody, 10) // it waits for the first attempt to connect
	if a := next(t, one.answers); a.GetAsk() != 10 || a.GetFailure().GetReason() != nodev1.Reason_REASON_NOT_OWNER {
		t.Errorf("a message to who is not there is answered %v", a)
	}
	one.log.await(t, "connection refused")
}

func TestPeersLeaveAndComeBack(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one, two := newStation(t, "one", secured(a)), newStation(t, "two", secured(a))
	must(t, one.Peers(two.node()))
	must(t, two.Peers(one.node()))
	one.ask(two.node(), 1)
	next(t, two.came)
	two.Stop()
	if n := next(t, one.lost); n != two.node() {
		t.Errorf("%v was lost", n)
	}
	for one.Up(two.node()) { // the link in the other direction may end later
		next(t, one.lost)
	}
	// Another life under the same address gets nothing that was for the one before.
	l, err := net.Listen("tcp", two.node().Address)
	must(t, err)
	again := startStation(t, l, "two", secured(a))
	one.log.await(t, "incarnation")
	if found := next(t, one.found); found != again.node().Incarnation {
		t.Errorf("%q was found", found)
	}
	one.ask(two.node(), 2)
	if a := next(t, one.answers); a.GetAsk() != 2 || a.GetFailure().GetReason() != nodev1.Reason_REASON_NOT_OWNER {
		t.Errorf("an ask of a life that is over is answered %v", a)
	}
	must(t, one.Peers(again.node()))
	one.ask(again.node(), 3)
	if got := next(t, again.came); got.GetAsk() != 3 || got.from != one.node() {
		t.Errorf("the new life got %v", got)
	}
	if p := one.Status(); len(p) != 1 || p[0].Node != again.node() {
		t.Errorf("peers are %v", p)
	}
	must(t, one.Peers())
	for n := next(t, one.lost); n != again.node(); {
		n = next(t, one.lost)
	}
}

func TestConnectionThatBreaksIsMadeAgain(t *testing.T) {
	t.Parallel()
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	must(t, one.Peers(two.node()))
	for n := uint64(0); one.metric("holdfast_remoting_connections_total", "made") < 10; n++ {
		one.ask(two.node(), n+1)
		for arrived := false; !arrived; {
			select {
			case got := <-two.came:
				arrived = got.GetAsk() == n+1
			case <-one.lost: // it may have got lost: it is said again
				one.ask(two.node(), n+1)
			case <-time.After(patience):
				t.Fatalf("message %d never came", n+1)
			}
		}
		two.Remoting.mu.Lock()
		for _, in := range two.inbounds {
			in.end(errors.New("for a test"))
		}
		two.Remoting.mu.Unlock()
	}
}

func TestStopSendsWhatIsToBeSent(t *testing.T) {
	t.Parallel()
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	must(t, one.Peers(two.node()))
	one.ask(two.node(), 1)
	next(t, two.came)
	const many = 5000
	for n := range uint64(many) {
		one.ask(two.node(), n+2)
	}
	one.Stop()
	for n := range uint64(many) {
		if got := next(t, two.came); got.GetAsk() != n+2 {
			t.Fatalf("message %d came in place of %d", got.GetAsk(), n+2)
		}
	}
	one.ask(two.node(), 9)
	one.Stop() // again
}

func TestNodesThatCanNotWorkTogether(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Config)
		to     func(Node) Node
		want   string
		told   string
	}{
		"another cluster": {
			change: func(c *Config) { c.Cluster = "other" }, want: `node is of cluster \"other\", and not of \"test\"`,
		},
		"later version": {
			change: func(c *Config) { c.Version, c.LowestProtocol, c.HighestProtocol = "v9", 2, 3 },
			want:   "node, of version v9, speaks protocol levels 2 to 3, and version v1.2.3 speaks 1 to 1",
		},
		"another incarnation": {
			to: func(n Node) Node { return Node{n.Address, "another/life"} }, want: `incarnation \"another/life\" is asked for`,
			told: `lives there, and not \"another/life\"`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quick := func(c *Config) {
				plaintext(c)
				c.RefusedPause = time.Millisecond
			}
			two := newStation(t, "two", quick)
			one := newStation(t, "one", func(c *Config) {
				quick(c)
				if tt.change != nil {
					tt.change(c)
				}
			})
			to := two.node()
			if tt.to != nil {
				to = tt.to(to)
			}
			must(t, one.Peers(to))
			two.log.await(t, tt.want)
			one.log.await(t, cmp.Or(tt.told, "the peer refuses"))
			for two.metric(refusedMetric, "") < 5 { // it comes again and again
				one.ask(to, 1)
				if a := next(t, one.answers); a.GetFailure().GetReason() != nodev1.Reason_REASON_NOT_OWNER {
					t.Fatalf("an ask is answered %v", a)
				}
			}
			if n, m := one.log.count("msg="), two.log.count("msg="); n != 1 || m != 1 {
				t.Errorf("the logs have %d and %d lines, want one each:\n%s%s", n, m, one.log.text, two.log.text)
			}
			if len(two.came) > 0 || len(one.found) > 0 {
				t.Error("a message was delivered, or another life found")
			}
		})
	}
}

func TestVersionsThatFollowOneAnotherWorkTogether(t *testing.T) {
	t.Parallel()
	older := newStation(t, "older", plaintext)
	newer := newStation(t, "newer", func(c *Config) { plaintext(c); c.HighestProtocol, c.JournalLevel = 2, 8 })
	must(t, older.Peers(newer.node()))
	must(t, newer.Peers(older.node()))
	older.ask(newer.node(), 1)
	next(t, newer.came)
	newer.ask(older.node(), 1)
	next(t, older.came)
	if p := newer.Status(); p[0].Protocol != 1 || p[0].JournalLevel != 7 {
		t.Errorf("the newer one has %+v", p)
	}
	if p := older.Status(); p[0].Protocol != 1 || p[0].JournalLevel != 8 {
		t.Errorf("the older one has %+v", p)
	}
}

func TestOnlySoManyPeersAreTakenIn(t *testing.T) {
	t.Parallel()
	hub := newStation(t, "hub", func(c *Config) { plaintext(c); c.MaxPeers = 1 })
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	must(t, one.Peers(hub.node()))
	one.ask(hub.node(), 1)
	next(t, hub.came)
	must(t, two.Peers(hub.node()))
	hub.log.await(t, "1 other nodes are connected already")
}

func TestEvidenceIsAskedOfSeveralAtOnce(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one, two, three := newStation(t, "one", secured(a)), newStation(t, "two", secured(a)), newStation(t, "three", secured(a))
	two.dated = time.Now().Add(-5 * time.Second)
	two.Detach() // an engine is not needed
	away := Node{"127.0.0.1:1", "away/1"}
	must(t, one.Peers(two.node(), three.node(), away))
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	before := time.Now()
	said := one.Inquire(ctx, two.node(), away, three.node())
	for !said[0].Answered || !said[2].Answered { // else it was asked before the link was there
		said = one.Inquire(ctx, two.node(), away, three.node())
	}
	if ctx.Err() != nil {
		t.Error("who is away was waited for")
	}
	if s := said[0]; s.Node != two.node() || !s.Seen || s.Dated.After(two.dated) || s.Dated.Before(two.dated.Add(-time.Since(before))) {
		t.Errorf("two has evidence of %v, and it is taken for %+v", two.dated, s)
	}
	if w := said[0].Watermarks; len(w) != 1 || w[0].GetIncarnation() != string(two.node().Incarnation) {
		t.Errorf("two tells the watermarks %v", w)
	}
	if s := said[1]; s.Node != away || s.Answered || s.Seen {
		t.Errorf("who is away says %+v", s)
	}
	if s := said[2]; s.Node != three.node() || s.Seen || !s.Dated.IsZero() {
		t.Errorf("three, which has none, says %+v", s)
	}
	// One that does not answer is not waited for longer than allowed.
	three.mu.Lock()
	defer three.mu.Unlock()
	short, stopShort := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stopShort()
	if said := one.Inquire(short, three.node(), two.node()); said[0].Answered {
		t.Errorf("one that hangs says %+v", said[0])
	}
	one.inquiry.mu.Lock()
	defer one.inquiry.mu.Unlock()
	if n := len(one.inquiry.open); n != 0 {
		t.Errorf("%d questions are left", n)
	}
}

// Who is asked for watermarks alone is not asked for evidence, which would bind it.
func TestWatermarksAreAskedForAlone(t *testing.T) {
	t.Parallel()
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	must(t, one.Peers(two.node()))
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var told []*remotingv1.Watermarks
	for len(told) == 0 && ctx.Err() == nil { // until the link is there
		told = one.InquireWatermarks(ctx, two.node())
	}
	if len(told) != 1 || told[0].GetIncarnation() != string(two.node().Incarnation) {
		t.Errorf("two tells the watermarks %v", told)
	}
	two.mu.Lock()
	if two.testified != 0 {
		t.Errorf("two was asked for evidence %d times", two.testified)
	}
	two.mu.Unlock()
	said := one.Inquire(ctx, two.node())
	two.mu.Lock()
	defer two.mu.Unlock()
	if !said[0].Answered || len(said[0].Watermarks) != 1 || two.testified != 1 {
		t.Errorf("two was asked for evidence %d times, and says %+v", two.testified, said)
	}
}

func TestHoldingsAreTold(t *testing.T) {
	t.Parallel()
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	must(t, one.Peers(two.node()))
	one.ask(two.node(), 1)
	next(t, two.came) // the link is there
	one.Tell(&remotingv1.Holdings{Partitions: []byte{5, 0, 1}}, two.node())
	if h := next(t, two.holds); h.from != one.node() || !bytes.Equal(h.GetPartitions(), []byte{5, 0, 1}) {
		t.Errorf("two hears %v from %v", h.GetPartitions(), h.from)
	}
}

func TestInstructionsAreTold(t *testing.T) {
	t.Parallel()
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	must(t, one.Peers(two.node()))
	one.ask(two.node(), 1)
	next(t, two.came) // the link is there
	one.Instruct(&remotingv1.Instruction{What: remotingv1.Instruction_WHAT_DRAIN}, two.node())
	if what := next(t, two.instructions); what != remotingv1.Instruction_WHAT_DRAIN {
		t.Errorf("two hears %v", what)
	}
}

func TestNodeWithoutEngineAnswersThatItOwnsNothing(t *testing.T) {
	t.Parallel()
	one, two := newStation(t, "one", plaintext), newStation(t, "two", plaintext)
	two.Detach()
	must(t, one.Peers(two.node()))
	one.ask(two.node(), 1)
	if a := next(t, one.answers); a.GetAsk() != 1 || a.GetFailure().GetReason() != nodev1.Reason_REASON_NOT_OWNER {
		t.Errorf("the answer is %v", a)
	}
}

func TestPlaintextStaysOnTheMachine(t *testing.T) {
	t.Parallel()
	s := newStation(t, "one", plaintext)
	if err := s.Peers(Node{"192.0.2.1:7000", "far/1"}); err == nil || len(s.Status()) != 0 {
		t.Errorf("a peer elsewhere is taken: %v, %v", err, s.Status())
	}
	other, err := New(s.config, Deps{Witness: s, Metrics: s.metrics, Log: s.Remoting.log})
	must(t, err)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	if err := other.Start(l); err == nil {
		t.Error("it listens everywhere")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	good := Config{Self: Node{"127.0.0.1:7000", "a/1"}, Cluster: "c", Plaintext: true}.WithDefaults()
	must(t, good.Validate())
	tests := map[string]func(*Config){
		"MaxLetter":          func(c *Config) { c.MaxLetter = -1 },
		"QueueLetters":       func(c *Config) { c.QueueLetters = -1 },
		"QueueBytes":         func(c *Config) { c.QueueBytes = int64(c.MaxLetter) },
		"FrameBytes":         func(c *Config) { c.FrameBytes = -1 },
		"MaxPeers":           func(c *Config) { c.MaxPeers = -1 },
		"ConnectWithin":      func(c *Config) { c.ConnectWithin = -1 },
		"RefusedPause":       func(c *Config) { c.RefusedPause = -1 },
		"FlushWithin":        func(c *Config) { c.FlushWithin = -1 },
		"Silence":            func(c *Config) { c.Silence = 1 },
		"protocol levels":    func(c *Config) { c.LowestProtocol = 9 },
		"name of the cluste": func(c *Config) { c.Cluster = "" },
		"version":            func(c *Config) { c.Version = strings.Repeat("v", 1000) },
		"no incarnation":     func(c *Config) { c.Self.Incarnation = "" },
		"is not host:port":   func(c *Config) { c.Self.Address = ":7000" },
		"missing port":       func(c *Config) { c.Self.Address = "host" },
		"Again":              func(c *Config) { c.Again.Jitter = 2 },
		"exclude each other": func(c *Config) { c.TLS = &TLS{} },
		"loopback":           func(c *Config) { c.Self.Address = "192.0.2.1:7000" },
		"TLS is missing":     func(c *Config) { c.Plaintext = false },
	}
	for want, change := range tests {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a mistake with %q is told as %v", want, err)
		}
	}
}

func TestNodesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	n := Node{"[::1]:7000", messages.NewIncarnation("name")}
	if got, err := ParseNode(n.String()); err != nil || got != n {
		t.Errorf("%v is read as %v, %v", n, got, err)
	}
	for _, s := range []string{"", "/", "a:1", "a:1/", "a/b", ":1/b", "a:0/b", "a:70000/b", "a b:1/c", "a:1/b\n", "a:1/" + strings.Repeat("x", 300)} {
		if n, err := ParseNode(s); err == nil {
			t.Errorf("%q is read as %v", s, n)
		}
	}
}
