// Package dispatch decides which adapter gets which task. It is pure: a Queue is told what happens and when, and
// answers with what is to be done. One Queue serves one activity.
//
// A task is in one of these states:
//
//	          Offer                      Credit                   Sent (journaled)
//	(none) ─────────► ready ──┬──────────────────────────────────────────────► in flight ──► (none)
//	                    ▲     │ not idempotent: Reserve ─► reserved ─────────►    │  Done
//	                    │     └───────────────────────────────────────────────    │
//	                    └──────────── stream lost, and not claimed in time ───────┘
//
// A task for an activity that was not declared idempotent is sent only after the ledger that it goes to was journaled,
// and after that only to this ledger, or marked as maybe started.
//
// It is not durable: the journal knows every task, and offers it again after a restart.
package dispatch
