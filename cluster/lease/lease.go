package lease

import (
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// State is where a lease stands.
type State uint8

// The states.
const (
	Joining  State = iota + 1 // it never had evidence, or is part of no topology: it has nothing to lose
	Held                      // it has evidence
	Asking                    // its evidence ran out, and its peers are asked whether they have any; it still works
	Frozen                    // Consul is lost for all: it works, and the placement stays as it is
	Stopping                  // others may take over soon: it does not dispatch, and will be over, if nothing better is heard
	Over                      // it has to exit; nothing changes that
)

func (s State) String() string {
	return []string{
		Joining: "joining", Held: "held", Asking: "asking", Frozen: "frozen", Stopping: "stopping", Over: "over",
	}[s]
}

type (
	// Input is what happens to a lease. The times in it have a monotonic reading, as now has.
	Input interface{ isInput() }
	// Renewed says that Consul has confirmed a refresh, or a registration, which was sent at a time.
	Renewed struct{ Sent time.Time }
	// Read says what the servers of Consul have answered to a read that was sent at a time. A read without an answer is no input.
	Read struct {
		Sent  time.Time
		Shows Shown
	}
	// Topology says which nodes the cluster has, this one perhaps among them.
	Topology struct{ Members []messages.Incarnation }
	// Answered says what came of an inquiry, when all have answered, or the time for it was over.
	Answered struct {
		Number uint64
		Said   []Testimony
	}
	// Tick says that time has passed.
	Tick struct{}
)

func (Renewed) isInput()  {}
func (Read) isInput()     {}
func (Topology) isInput() {}
func (Answered) isInput() {}
func (Tick) isInput()     {}

// Shown is how a read shows this node.
type Shown uint8

const (
	// Missing says that Consul does not have the node, as it was wiped, or has it without its check. That is no evidence, and takes
	// none away: others do not act on it before one TTL and a margin.
	Missing Shown = iota + 1
	// Critical says that others may take over now. Evidence of before counts no more.
	Critical
	// Passing says that the node is passing.
	Passing
)

// Testimony is what a peer has answered.
type Testimony struct {
	Node messages.Incarnation
	// Answered: it can be reached.
	Answered bool
	// Seen: it has evidence, which is dated, by the clock of this node.
	Seen  bool
	Dated time.Time
}

type (
	// Output is what is to be done.
	Output interface{ isOutput() }
	// Ask asks for an inquiry of peers; it is answered by Answered, with its number, within a time, and a moment for the way.
	Ask struct {
		Number uint64
		Peers  []messages.Incarnation
		Within time.Duration
	}
	// Hurry says that the registration must be refreshed now, and not when it is time, and be read of as soon as that is confirmed.
	Hurry struct{}
	// StopDispatching says that nothing new must be begun. It is so before the first ResumeDispatching, too.
	StopDispatching struct{}
	// ResumeDispatching says that work goes on.
	ResumeDispatching struct{}
	// Freeze says that the placement must stay as it is.
	Freeze struct{}
	// Thaw says that it may change again.
	Thaw struct{}
	// Exit says that the process has to end, before others may take over from it, and to come back as a new member.
	Exit struct {
		Reason Reason
		By     time.Time
	}
)

func (Ask) isOutput()               {}
func (Hurry) isOutput()             {}
func (StopDispatching) isOutput()   {}
func (ResumeDispatching) isOutput() {}
func (Freeze) isOutput()            {}
func (Thaw) isOutput()              {}
func (Exit) isOutput()              {}

// Reason is why a lease is over.
type Reason uint8

const (
	// CutOff says that a peer has evidence, so that Consul works, and this node alone is cut off from it.
	CutOff Reason = iota + 1
	// NoQuorum says that no quorum of the nodes could be reached.
	NoQuorum
	// Late says that the process was paused, or did not turn, until it was too late to ask.
	Late
)

func (r Reason) String() string {
	return []string{CutOff: "cut off from Consul", NoQuorum: "no quorum of the nodes can be reached", Late: "paused for too long"}[r]
}

// Lease tells whether a node may go on: a step function, which a model can drive. Its methods other than Step and Testify change nothing.
type Lease struct {
	set  Settings
	self messages.Incarnation
	// peers are the other nodes of the last topology; member tells whether this one is part of it.
	peers  []messages.Incarnation
	member bool

	state State
	// seen is when the last read was sent that had this node passing, renewed when the last refresh was that Consul confirmed.
	seen, renewed time.Time
	// read is when the last read was sent that was answered. void: it had this node as critical, so that evidence of before is none.
	read time.Time
	void bool
	// settled is from when on this node may remove others.
	settled time.Time
	// asked is when a peer asked first of those that have asked since the last evidence was sought. denied: one was told that there is
	// none, though it is not older than Lull.
	asked  time.Time
	denied bool

	dispatching, frozen bool
	inquiry             inquiry
}

// New makes the lease of a node that joins.
func New(self messages.Incarnation, s Settings) (*Lease, error) {
	s, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Lease{set: s, self: self, state: Joining}, nil
}

// State returns where the lease stands.
func (l *Lease) State() State { return l.state }

// Testify returns what a peer is told that asks: when the newest evidence was asked for that came; seen is false if there is none. hurry:
// newer evidence must be looked for at once, as after Hurry. If there is none when half of Inquiry is over, and a peer asks again, Consul
// may be lost by now for this node, too, whatever it has seen before: it says so, and removes nobody before it has newer evidence.
func (l *Lease) Testify(now time.Time) (dated time.Time, seen, hurry bool) {
	switch {
	case l.seen.IsZero() || l.void || l.denied:
		return time.Time{}, false, false
	case l.seen.After(l.asked):
		l.asked, hurry = now, true
	case now.Sub(l.asked) >= l.set.Inquiry/2:
		l.denied = true
		return time.Time{}, false, false
	}
	return l.seen, true, hurry
}

// MayDispatch tells whether work may begin. It says no where a step is late that would have said so.
func (l *Lease) MayDispatch(now time.Time) bool { return l.dispatching && now.Before(l.stops()) }

// MayRenew tells whether the node may refresh its registration. A node that was paused until others may have taken over must not be
// seen passing once more.
func (l *Lease) MayRenew(now time.Time) bool {
	return l.state == Joining || l.state != Over && now.Before(l.ends())
}

// MayRemove tells whether what Consul says of other nodes may be acted upon. After Consul was away, the others need time to be passing
// again; and whoever was told that this node has no evidence relies upon it that they get this time.
func (l *Lease) MayRemove(now time.Time) bool {
	return l.state == Held && !l.denied && l.evident(now) && now.Sub(l.seen) < l.set.Lull && !now.Before(l.settled)
}

// dated is from when on one TTL counts until others may take over.
func (l *Lease) dated() time.Time {
	if l.renewed.Before(l.seen) {
		return l.renewed
	}
	return l.seen
}

// evident tells whether there is evidence that has not run out.
func (l *Lease) evident(now time.Time) bool {
	return !l.void && now.Before(l.dated().Add(l.set.TTL-l.set.Margin))
}

// lapses is from when on others may take over.
func (l *Lease) lapses() time.Time {
	return latest(l.dated().Add(l.set.TTL), l.inquiry.lost.Add(l.set.TTL+l.set.Margin))
}

// ends is when the lease is over.
func (l *Lease) ends() time.Time { return l.lapses().Add(-l.set.Guard) }

// stops is when dispatching stops.
func (l *Lease) stops() time.Time {
	until := l.lapses()
	if l.void {
		until = l.inquiry.lost.Add(l.set.TTL + l.set.Margin)
	}
	return until.Add(-l.set.Margin / 2)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Step takes an input, and returns what is to be done, in this order. A step that comes late sees first that it is late: what the
// input says came too late, too.
func (l *Lease) Step(in Input, now time.Time) []Output {
	if l.state == Over {
		return nil
	}
	if l.state != Joining && !now.Before(l.ends()) {
		if l.member {
			return l.end()
		}
		l.seen, l.renewed = time.Time{}, time.Time{} // it begins anew
	}
	switch in := in.(type) {
	case Renewed:
		l.renewed = latest(l.renewed, in.Sent)
	case Read:
		l.see(in, now)
	case Topology:
		l.member = slices.Contains(in.Members, l.self)
		l.peers = slices.DeleteFunc(slices.Clone(in.Members), func(n messages.Incarnation) bool { return n == l.self })
	case Answered:
		l.hear(in)
	case Tick:
	}
	return l.settle(now)
}

// see takes an answer of Consul. One that was asked for before another says nothing new.
func (l *Lease) see(r Read, now time.Time) {
	if !r.Sent.After(l.read) {
		return
	}
	l.read = r.Sent
	switch r.Shows {
	case Critical:
		l.void = true
	case Passing:
		if l.void || l.denied || now.Sub(l.seen) >= l.set.Lull {
			l.settled = now.Add(l.set.TTL + l.set.Margin)
		}
		l.seen, l.void = r.Sent, false
		l.denied = l.denied && !r.Sent.After(l.asked)
	default:
	}
}

// settle decides where the lease stands.
func (l *Lease) settle(now time.Time) []Output {
	switch {
	case l.evident(now):
		l.inquiry.rest()
		return l.turn(Held)
	case !l.member || l.state == Joining:
		l.inquiry.rest()
		return l.turn(Joining)
	}
	asked := l.ask(now)
	s := Asking
	switch {
	case now.Before(l.inquiry.lost.Add(l.set.TTL)) && l.inquiry.found != noQuorum:
		s = Frozen
	case l.inquiry.found == peerHas, l.inquiry.found == noQuorum, !now.Before(l.stops()):
		s = Stopping
	}
	return append(l.turn(s), asked...)
}

// turn goes to a state, and says what changes with it.
func (l *Lease) turn(s State) []Output {
	l.state = s
	var out []Output
	if frozen := s == Frozen || l.frozen && s != Held && s != Joining; frozen != l.frozen {
		l.frozen = frozen
		if frozen {
			out = append(out, Freeze{})
		} else {
			out = append(out, Thaw{})
		}
	}
	dispatching := s == Held || s == Frozen || s == Asking && l.dispatching
	switch {
	case dispatching && !l.dispatching:
		out = append(out, ResumeDispatching{})
	case l.dispatching && !dispatching:
		out = append(out, StopDispatching{})
	}
	l.dispatching = dispatching
	return out
}

// end ends the lease.
func (l *Lease) end() []Output {
	reason := Late
	switch l.inquiry.found {
	case peerHas:
		reason = CutOff
	case noQuorum:
		reason = NoQuorum
	default:
	}
	return append(l.turn(Over), Exit{Reason: reason, By: l.lapses()})
}

// Next returns when a Tick is due, if nothing else happens before; false: none is.
func (l *Lease) Next() (time.Time, bool) {
	switch l.state {
	case Held:
		return l.dated().Add(l.set.TTL - l.set.Margin), true
	case Frozen, Asking, Stopping:
		due := []time.Time{l.ends(), l.asks()}
		if l.state == Frozen {
			due = append(due, l.inquiry.lost.Add(l.set.TTL))
		}
		if l.state == Asking {
			due = append(due, l.stops())
		}
		return slices.MinFunc(due, time.Time.Compare), true
	default:
		return time.Time{}, false
	}
}
