// Package partition has a node own partitions: it claims them, recovers what is open in them, is the parent of their orders, and
// gives all that up again, when somebody else is to own them or does already.
//
//	             claim                  open rows read            another is to own it
//	(not ours) ───────► recovering ───────────────────► owning ───────────────────────────► draining ──► released
//	     ▲                  │                             │  fence: a commit says that the epoch is old      │
//	     └──────────────────┴─────────────────────────────┴──────────────────────────────────────────────────┘
//
// The lifecycle is a step function (Lifecycle); Ownership is the shell round it. What belongs to a partition hangs on it and ends
// with it: its actor and that one's orders, its loop, its asks, what activities keep of it, its counts.
//
// The partition's actor brings messages to its orders, activates them, keeps their due times while they are away, and lets one order
// of each key run at a time. Recovery first fires what has become due meanwhile, a few at a time, and then pages the index of open orders,
// and resumes those that can act now, a few at a time; the rest stay rows. Few partitions read at once.
//
// Orders that other nodes have accepted are in the intake. The partition is told of them, or a sweep or recovery finds them, and has
// them resumed: they are taken up so, and counted from then on.
//
// How it fails. An order that panics is restarted, and faulted if it panics again and again; when many do, the partition is restarted
// in their place, and if that fails too often, the process ends. A journal that does not answer for a partition is waited for: nothing of
// that is claimed, read or resumed meanwhile. A fence stops the partition at once.
//
// What it is not: it does not say who is to own what.
package partition
