package topology

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Remembered is how many of the nodes that are gone and not in the answers are kept.
const Remembered = 256

// Config is what a topology has to know.
type Config struct {
	// Self is this node. It has no default.
	Self messages.Incarnation
	// TTL is how long Consul keeps a node passing after a refresh; default 3 s, from 1 s to 1 min. It must be what Consul was told: if it
	// is less, nodes that live may be removed.
	TTL time.Duration
	// Margin is how long to wait beside the TTL before a node is removed that is out of sight, and how old an answer may be when it is
	// taken; default a quarter of the TTL, at most one TTL. More of it delays take-over, less removes nodes that were only slow.
	Margin time.Duration
}

// Bounds of the TTL.
const (
	leastTTL = time.Second
	mostTTL  = time.Minute
)

// withDefaults returns the config with its defaults, and all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	c.TTL = cmp.Or(c.TTL, 3*time.Second)
	c.Margin = cmp.Or(c.Margin, c.TTL/4)
	var errs []error
	if node, opening, ok := strings.Cut(string(c.Self), "/"); !ok || node == "" || opening == "" {
		errs = append(errs, fmt.Errorf("topology: Self is %q: it must be an incarnation of a node", c.Self))
	}
	if c.TTL < leastTTL || c.TTL > mostTTL {
		errs = append(errs, fmt.Errorf("topology: TTL is %v: it must be from %v to %v", c.TTL, leastTTL, mostTTL))
	}
	if c.Margin < 0 || c.Margin > c.TTL {
		errs = append(errs, fmt.Errorf("topology: Margin is %v: it must be above 0 and at most the TTL, %v", c.Margin, c.TTL))
	}
	return c, errors.Join(errs...)
}

// Topology is who the members are, as this node knows it. Step changes it; nothing else does.
type Topology struct {
	self           messages.Incarnation
	period, margin time.Duration
	// nodes has the newest incarnation of each name. Its bound is the length of an answer, and Remembered.
	nodes map[messages.NodeID]*Node
	// links has the incarnations that this node is connected to, the last one of each name. Its bound is the number of connections.
	links   map[messages.NodeID]messages.Incarnation
	version uint64
	frozen  bool
	// taken is when the last answer that was taken had been sent.
	taken time.Time
	// last is when the last good answer was received; zero: none has come since Consul was away. returned is when the first one was.
	last, returned time.Time
}

// Node is the newest incarnation of a name.
type Node struct {
	Incarnation  messages.Incarnation
	Announcement Announcement
	// State is how the last answer that was taken shows it. Leaving: it said that it leaves, when it was last shown.
	State   State
	Leaving bool
	// Member and Gone tell whether it is a member, and whether it may be fenced. It may be neither: it was not passing yet.
	Member, Gone bool
	// Since is when it became what it is, and Reason why.
	Since  time.Time
	Reason Reason
	// Missed is when the first of the good answers was received that have it out of sight without anything else in between.
	Missed time.Time
}

// counts returns what counts of its announcement.
func (n *Node) counts() Announcement {
	a := n.Announcement
	if n.Leaving {
		a.Weight = 0
	}
	return a
}

// Reason is why a topology has changed.
type Reason string

// The reasons.
const (
	Seen       Reason = "it was seen, and was not passing yet"
	Admitted   Reason = "it is passing"
	Announced  Reason = "what it announces has changed"
	Left       Reason = "it said that it leaves"
	Dead       Reason = "it is critical, and there is no link to it"
	Silent     Reason = "it was critical for a period, though there is a link to it"
	Missing    Reason = "it was out of sight for a period, and Consul does not have it"
	Superseded Reason = "there is a newer incarnation"
)

// Change is one of the topology.
type Change struct {
	Incarnation messages.Incarnation
	Reason      Reason
}

// New makes a topology that has no members.
func New(c Config) (*Topology, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &Topology{
		self: c.Self, period: c.TTL + c.Margin, margin: c.Margin,
		nodes: map[messages.NodeID]*Node{}, links: map[messages.NodeID]messages.Incarnation{},
	}
	// So incarnations of this node that were before it are gone, before Consul says so.
	t.nodes[c.Self.Node()] = &Node{Incarnation: c.Self, Reason: Seen}
	return t, nil
}

// Version rises with each change of the members.
func (t *Topology) Version() uint64 { return t.version }

// Member is a node of the cluster. Its weight is 0 if it is leaving.
type Member struct {
	Incarnation  messages.Incarnation
	Announcement Announcement
}

// Members returns all members, sorted by name.
func (t *Topology) Members() []Member {
	var members []Member
	for _, n := range t.sorted() {
		if n.Member {
			members = append(members, Member{Incarnation: n.Incarnation, Announcement: n.counts()})
		}
	}
	return members
}

// Nodes returns all that is known of nodes, sorted by name, for people.
func (t *Topology) Nodes() []Node {
	var nodes []Node
	for _, n := range t.sorted() {
		nodes = append(nodes, *n)
	}
	return nodes
}

func (t *Topology) sorted() []*Node {
	return slices.SortedFunc(maps.Values(t.nodes), func(a, b *Node) int {
		return strings.Compare(string(a.Incarnation.Node()), string(b.Incarnation.Node()))
	})
}

// Gone tells whether an incarnation may be fenced: it was removed, or there is a newer one. Of one that was neither shown nor found it
// says no.
func (t *Topology) Gone(in messages.Incarnation) bool {
	n := t.nodes[in.Node()]
	return n != nil && (in < n.Incarnation || in == n.Incarnation && n.Gone)
}

// Due returns from when on an answer may remove a node, so that one has to be asked for then; zero: no node is out of sight, or the
// last answer was not good.
func (t *Topology) Due() time.Time {
	var due time.Time
	for _, n := range t.nodes {
		if n.Gone || n.Missed.IsZero() {
			continue
		}
		at := n.Missed.Add(t.period)
		if n.State == Critical && (n.Leaving || !t.linked(n)) {
			at = t.returned.Add(t.period)
		}
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

func (t *Topology) linked(n *Node) bool { return t.links[n.Incarnation.Node()] == n.Incarnation }
