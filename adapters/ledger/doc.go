// Package ledger remembers, by idempotency key, what an adapter is doing, what came of it, and what the nodes have
// confirmed. It is a step function: every method is one input, changes the ledger, and returns what its caller must do.
// It has no clock, lock, goroutine or I/O; time enters as nanoseconds.
//
// The states of a key:
//
//	                         NotDone, or Finish before Begin
//	                      ┌───────────────────────────────────┐
//	          Offer       │         Begin           Finish    ▼      Ack
//	unknown ─────────► waiting ────────────► executing ────► held ────────► settled
//	   ▲                                                      │ │ ▲            │
//	   │         Ack of anything that may change when retried │ │ └────────────┘
//	   ├──────────────────────────────────────────────────────┘ │   Offer: answered anew
//	   │         Offer of a later attempt of such               │
//	   └────────────────────────────────────────────────────────┘
//
// Waiting and executing are work in progress: the same key offered again joins it. Work that the node has to confirm is
// announced by its first Begin, and stays waiting until Confirm; a second Begin then has it executed. If its stream ends
// before, it is unknown again: Lost. A held result was not acknowledged yet: it is sent again after a reconnect and
// after a time. A settled one was acknowledged, and succeeded or failed permanently: it answers late repeats, until it falls
// out of a memory that is bounded in number, bytes and age.
//
// The caller's duties, in order: do what a Verdict asks; call Begin before the activity is executed, and obey it; call
// Begin again for what Resume names; call Finish once for everything that is executed; send every Result that it is given;
// call Due from time to time.
//
// A ledger may be durable: then it makes records of its steps, and another process that has Replay take them, in their order,
// knows what this one knew. What is recorded as begun, and not as ended, was started by a dead process: it is neither waiting nor
// executing, its key is told to the nodes, and when it is offered again it may have been done. Whoever writes the records may
// lose any number of the last ones, but none that is Begun whose work is executed, be it of this process or of one before.
//
// How it fails: it doesn't. It forgets settled results beyond its bounds, and everything when the process ends, unless it is
// durable; the node knows the latter by the ledger's id, and marks such tasks as maybe started.
//
// What it is not: it writes nothing, it executes nothing, and it knows neither streams nor credits.
package ledger
