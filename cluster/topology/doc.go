// Package topology says which nodes are the members of the cluster, and which incarnations are gone, from what Consul answers. It is a
// step function: an input and the time change the topology, and the changes are returned. It has no clock, lock, goroutine or I/O.
//
// The states of an incarnation, as this node sees it:
//
//	        passing                 critical, at once · out of sight for a period
//	unseen ─────────► member ─────────────────────────────────────────────────────► gone
//	  │                  ▲                                                          │  ▲
//	  │ otherwise        │                  passing: it was not dead                │  │
//	  └─────────► seen ──┴──────────────────────────────────────────────────────────┘  │
//	               └───────────────────────────────────────────────────────────────────┘
//	                      critical, at once · out of sight for a period
//
//	from each of them, when a newer incarnation of the name is seen ──► gone, for good
//
// A node is out of sight while it is critical, or not in the answers. A period is one TTL and the margin.
//
// Which answers count. One that was sent before another one that was taken is not taken. A good answer shows this node as passing, is
// not empty, comes of an index that has not fallen, and was taken soon after it was received. Only good ones are ground for a removal.
// Whatever else comes, or a failure, ends all periods: who is out of sight is so anew from the next good answer on. Good answers also
// begin anew when Consul was away: after a fallen index, after a freeze, or when none came for longer than a period. From the first one
// on, all removals wait for a period.
//
// Who is removed:
//
//	critical, and says that it leaves, or has no link   at once: by the answer that says so
//	critical, and has a link                            after a period: an agent that restarted, or was wiped, may say so of nodes that live
//	not in the answer                                   after a period: who leaves says so, and a Consul that was wiped does not know
//	of an older incarnation                             at once, whatever Consul says of it, and by whatever answer that is taken
//
// A period is over when an answer lacks the node that was sent at least so long after the first such answer was received. So removals
// come of answers alone, and not of time that passes. Due says when to ask.
//
// Superseded are also those whose successor Consul has not shown: it was found in the journal, or answers where they lived.
//
// Others: warning keeps a member, and admits none. A member that says that it leaves has weight 0. While Consul is lost for all, the
// topology is frozen: answers change nothing.
//
// Gone tells which incarnations may be fenced. One that the journal has as an owner, and that no answer has shown, is looked for from
// when it is found there, and gone after a period in which no answer has it: it may have joined so lately that the last answer could not
// have it.
//
// Memory is bounded: of each name the newest incarnation is kept; of those that are gone and not in the answers, the last Remembered. Who
// is forgotten is as one that was never seen. A node without good answers forgets nobody, but the lease does not let it live on for long.
//
// How it fails: it doesn't. A node that is removed but lives is a member again when it is passing; if it was fenced, the journal tells it,
// and it comes back as a new incarnation. Observers that hear different things, or have other links, differ for a while: they agree when
// each of them has had good answers for a period, but for nodes that are in warning all the time.
//
// What it is not: it does not judge whether this node itself may work; that is the lease. It moves nothing, and fences nobody. Nor does
// safety depend on it: two nodes that disagree about the members are kept apart by the journal's check.
package topology
