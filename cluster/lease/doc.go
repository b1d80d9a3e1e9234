// Package lease tells whether a node may go on: whether it has evidence that Consul keeps it passing, and what to do without. It is a
// step function; the shell round it brings what Consul and the peers say, and the time, and does what comes of it.
//
// # Terms
//
// A node refreshes its registration every third of the TTL, and reads every quarter whether the servers of Consul have it as passing:
// such an answer is evidence. Consul shows the node as critical one TTL after the last refresh that reached it, and others take over
// then. So they do no sooner than one TTL after
//
//	the older of: when the last refresh was sent that Consul confirmed, and when the last read was sent that had the node passing
//
// The refresh alone says when the agent gives the node up; but it may be cut off from the servers. The read alone says that the servers
// had it passing then; but that the last refresh was up to one TTL before. A lease is dated by both, and lapses one TTL later.
//
//	 0      1/4      1/3      1/2                  3/4       7/8   11/12    1 TTL
//	 ├───────┼────────┼────────┼────────────────────┼─────────┼──────┼──────┤
//	dated   read   refresh                        peers    no more  over  others may
//	                                            are asked   work           take over
//	                                             └ Margin: half ┘   └ Guard ┘
//
// # States
//
//	          evidence                  it runs out            a quorum is reached, and none has evidence
//	joining ────────────► held ───────────────────────► asking ──────────────────────────────────────────► frozen
//	   ▲                   ▲ ▲                            │                                               ▲    │
//	   │                   │ │   a peer has evidence ·    │       a quorum is reached, none has evidence  │    │ no quorum · a peer
//	   │ not in the        │ │   no quorum is reached ·   ▼ ──────────────────────────────────────────────┘    │ has had evidence
//	   │ topology          │ └──────────────────────── stopping ◄──────────────────────────────────────────────┘ for one TTL
//	   │                   │        evidence              │
//	   └── any but over    └── frozen, on evidence        ▼ it lapses within Guard
//	                                                     over
//
// Held and frozen nodes work; one that asks works on until half of the Margin is over. From over, nothing leads back: the process exits, by
// the time at which others may take over, and comes back as a new member. A node that joins, or that the topology does not have, owns
// nothing: it has nothing to lose, asks nobody, does not freeze, does not exit, and waits for evidence.
//
// # What the peers say
//
// A question counts that was sent after the evidence had run out. A peer has evidence if that is not older, when it answers, than Lull. As
// Consul may have been back for a moment only, a peer that is asked looks for newer evidence at once (Testify): if it finds none within
// half of Inquiry, and is asked again, it has none either. Who has none may not remove anybody (MayRemove) before it had evidence again for
// one TTL and the Margin. This is what a frozen node relies upon: each inquiry by which a quorum, itself included, has no evidence is worth
// as much, counted from when it was sent.
// So a node that is frozen when Consul comes back has the time to be refreshed, and that somebody else was faster is no harm. What Consul
// has forgotten, as it was wiped, is no reason for anything: a node that Consul does not have goes on as long as its lease lasts, or
// is frozen like one that Consul does not answer.
//
// If Consul shows the node as critical before its time, because an agent has restarted, or an operator wants that, others may take over
// at once: it stops at once, and asks its peers; it is over when the lease lapses, unless evidence comes first, or nobody has any.
//
// # A pause
//
// The time of a step is compared first: a process that was paused past its lease is over, whatever has come meanwhile. As work may begin
// before the step, whoever begins some asks MayDispatch, and whoever refreshes asks MayRenew.
//
// # How it fails
//
// It doesn't; it may be wrong. It takes for granted that clocks run alike within a twentieth, that agents keep a check passing for one
// TTL, that Consul does not give up a living agent in less, and that a node's registration stays with one agent. It does not protect from:
//
//   - A pause in the middle of work: what was begun before goes on after it. A commit of it is refused, as the journal fences who was
//     removed; and an adapter refuses its tasks, whose epoch is lower than the new owner's.
//   - A quorum that is cut off together from Consul, and from those that still reach it: it is frozen, and they take over. The journal's
//     fence decides. So it is of two nodes, or of one, that are a quorum by themselves and are joined by nodes that they never heard of.
//   - An agent that has restarted and says critical at once, as long as the node has not read of it: a refresh and a read at most.
//
// Nor can it tell everything apart: if Consul is lost, back for less than a TTL, and lost again, just as evidence runs out, a node that
// has missed it takes itself for cut off, and exits.
//
// What it is not: a lock. Two owners can't both commit because the journal says so, never because of a clock. It does not say who is a
// member, or who owns what; it tells only when such a decision must not be made here (Freeze, MayRemove).
package lease
