// Package consul is a node's membership by Consul: it keeps the node registered there, and hands on what Consul says of all nodes.
//
// Four things go on, none of which waits for another, or shares a connection with it:
//
//	registration  the node is a service with a TTL check, which is refreshed every third of the TTL. What Consul does not know (it was
//	              wiped, its agent restarted, another address answers now) is registered again
//	evidence      every quarter of the TTL a short consistent read asks the servers whether they have this node as passing
//	watch         consistent blocking queries, none longer than the TTL, ask for all nodes
//	leaving       the node says that it is critical, which others act on at once, and a moment later it is no longer there
//
// The states of the registration:
//
//	            registered and refreshed                 Leave
//	unknown ──────────────────────────────► kept ────────────────► critical ──► deregistered
//	   ▲                                      │
//	   └──────────────────────────────────────┘
//	     the agent does not know the check · the servers do not have the node · another address · another announcement
//
// Beside it, Watermarks is what nodes publish of what the journal has confirmed to them, and read of each other. It is there for a node
// that is no member yet, and stays when a node leaves.
//
// How it fails: what can't be asked is an Observation with a failure, and is asked again, with a backoff of at most two seconds; every
// request is bounded in time, and every answer in size. Consul may be away for as long as it likes: nothing here ends for that. A node
// that stops refreshing is critical after one TTL; Consul removes it by itself long after that, if nobody else did.
//
// What it is not: a judge. An answer is handed on with its index, the time at which it was asked for, and what it says; whether it
// means that a node is dead, that Consul is, or that this node must stop, is for others to tell, from observations alone. Nor does
// anything here keep two nodes from owning a partition: that is the journal's check.
package consul
