// Package dispatch decides which adapter gets which task. It is pure: a Queue is told what happens and when, and
// answers with what is to be done. One Queue serves one activity.
//
// A task is in one of these states:
//
//	         Offer           credit              Confirm: its ledger is journaled             Done
//	(none) ────────► ready ────────► journaling ────────────────────────────────► in flight ─────► (none)
//	   │               ▲                  │                                         │    ▲
//	   │               ├──────────────────┘ Refuse, stream lost         stream lost │    │ its adapter is back, and has it
//	   │               │                                                            ▼    │
//	   │               └────── its adapter is back, or the grace is over ───────── orphaned
//	   │                                                                            ▲
//	   └────────────────────────────────────────────────────────────────────────────┘
//	     Offer of what was sent to a ledger that is not here
//
// A task of an idempotent activity goes in flight from ready: its ledger need not be journaled. So does a task for an adapter that
// reports what it is about to begin with: that task is in flight and held, from Send until SendConfirm, and its ledger is journaled
// in between. A task that is held is known not to have begun.
//
// Owned has the tasks of a partition that were offered before wait, as if their adapters were away, until the adapters have said which
// of them they have, or a time has come.
//
// Cancel drops what is ready or journaling, and asks the adapter about what is in flight. Withdraw drops only what nobody has
// begun with; the rest goes on. What was offered to a queue that is gone, such as before a restart, waits for either until an adapter
// has come back with it, or the grace is over. Whoever waits is told of each task that the queue drops: NotDone if certainly nobody has
// begun with it, else InDoubt. Done and DropPartition drop a task from any state, without a word.
//
// When a process is lost, all that it may have been executing are suspects: each is sent again alone, in turn, to a
// process that executes nothing else meanwhile. A process that is lost with such a task has died of it, and of nothing else; when
// enough have, the task is set apart. When the process comes back after all, that is taken back.
//
// What adapters say that they have counts as under way, also what was not offered yet; to send it again begins nothing, and no limit
// holds it back.
//
// Ready tasks go to streams with credit in turn, those of a higher priority first, and within one in the order in which they
// were offered; what comes back from a lost stream goes first, and what has waited long gets a share of the sends. A Limit
// holds tasks back whatever the credit. Some tasks are bound, and wait for one stream's credit alone:
//
//   - An adapter that says that it is executing a key, or holds its result, gets a task with that key.
//   - A task that was sent to a ledger, for an activity that is not idempotent, goes to that ledger again. If the ledger is
//     not here, it is orphaned, as if its stream had just been lost. When the grace is over, it goes anywhere, marked
//     as maybe started: to an adapter that can find out what came of it, if there is one.
//
// How it fails: it doesn't. It is not durable: the journal knows every task, and offers it again after a restart. It does
// not bound itself: Load tells its caller, who has the rest wait elsewhere.
//
// What it is not: it knows no connections, results or orders, and holds no clock: an order's deadline is the adapter's and
// the order's affair.
package dispatch
