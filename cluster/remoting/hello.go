package remoting

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// helloKey is the name of the metadata in which both sides of a stream say who they are, before any frame.
const helloKey = "holdfast-hello-bin"

// peer is a node as it has said it is.
type peer struct {
	Node

	version      string
	protocol     uint32 // the highest that both speak
	journalLevel uint32
}

// hello is what this node says of itself; receiver is with whom it wants to speak, if it is the one that connects.
func (c Config) hello(receiver messages.Incarnation) *remotingv1.Hello {
	return &remotingv1.Hello{
		Cluster: c.Cluster, Address: c.Self.Address, Incarnation: string(c.Self.Incarnation), Version: c.Version,
		LowestProtocol: c.LowestProtocol, HighestProtocol: c.HighestProtocol, JournalLevel: c.JournalLevel, Receiver: string(receiver),
	}
}

// say puts what a node says of itself into metadata.
func say(h *remotingv1.Hello) (metadata.MD, error) {
	raw, err := proto.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode a hello: %w", err)
	}
	return metadata.Pairs(helloKey, string(raw)), nil
}

// hear reads what the other side says of itself.
func hear(md metadata.MD) (*remotingv1.Hello, *fault) {
	said := md.Get(helloKey)
	h := new(remotingv1.Hello)
	if len(said) != 1 || proto.Unmarshal([]byte(said[0]), h) != nil {
		return nil, faultOf("hello", "it does not say which node it is")
	}
	return h, nil
}

// meet decides whether this node and another one can work together.
func (c Config) meet(h *remotingv1.Hello) (peer, *fault) {
	n := Node{Address: h.GetAddress(), Incarnation: messages.Incarnation(h.GetIncarnation())}
	p := peer{
		Node: n, version: h.GetVersion(), journalLevel: h.GetJournalLevel(), protocol: min(c.HighestProtocol, h.GetHighestProtocol()),
	}
	switch err := n.validate(); {
	case h.GetCluster() != c.Cluster:
		return p, faultOf("cluster", "node is of cluster %.80q, and not of %q", h.GetCluster(), c.Cluster)
	case err != nil || len(p.version) > maxCluster || printable(p.version) != p.version:
		return p, faultOf("hello", "node does not say properly which one it is")
	case p.protocol < max(c.LowestProtocol, h.GetLowestProtocol()):
		return p, faultOf("protocol", "node, of version %s, speaks protocol levels %d to %d, and version %s speaks %d to %d", p.version,
			h.GetLowestProtocol(), h.GetHighestProtocol(), c.Version, c.LowestProtocol, c.HighestProtocol)
	case n.Incarnation == c.Self.Incarnation:
		return p, faultOf("itself", "node is this one")
	}
	return p, nil
}

// otherLife is the reason of a fault: another incarnation lives where one was looked for. Both sides are told which.
const otherLife = "incarnation"

// admit decides so for one that connects to this node.
func (c Config) admit(h *remotingv1.Hello) (peer, *fault) {
	if h.GetCluster() == c.Cluster && h.GetReceiver() != string(c.Self.Incarnation) {
		return peer{}, faultOf(otherLife, "incarnation %.80q is asked for, and %q lives here", h.GetReceiver(), c.Self.Incarnation)
	}
	return c.meet(h)
}

// expect decides so for one that this node connects to.
func (c Config) expect(n Node, h *remotingv1.Hello) (peer, *fault) {
	if h.GetCluster() == c.Cluster && h.GetIncarnation() != string(n.Incarnation) {
		return peer{}, faultOf(otherLife, "incarnation %.80q lives there, and not %q", h.GetIncarnation(), n.Incarnation)
	}
	return c.meet(h)
}

// newer returns which other incarnation of a node has answered in its place; empty: none has.
func newer(n Node, h *remotingv1.Hello) messages.Incarnation {
	lives := Node{Address: h.GetAddress(), Incarnation: messages.Incarnation(h.GetIncarnation())}
	if lives.validate() != nil || lives.Incarnation.Node() != n.Incarnation.Node() || lives.Incarnation <= n.Incarnation {
		return ""
	}
	return lives.Incarnation
}

// refusal is a fault as the other side is told it. One that is for what the other is does not go away soon.
func refusal(f *fault) error { return status.Error(codes.FailedPrecondition, f.text) }

// refusedBy tells whether the other side has refused this node for what it is, and why.
func refusedBy(err error) (*fault, bool) {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.FailedPrecondition {
		return nil, false
	}
	return faultOf("peer", "the peer refuses: %.300s", printable(s.Message())), true
}

// printable makes of what a peer says what a log can hold.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
}
