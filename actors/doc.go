// Package actors runs orders: it is the shell round the pure machine of actors/workflow.
//
// Every order is a virtual actor, the instance: cluster kind "order", activated by the first message to it and gone from
// memory when it has nothing to do. Its parent is its partition, through which all messages reach it, and which keeps
// its due time while it is away.
//
//	            first message                   events committed
//	(away) ───────────────────► loading ──► idle ◄──────────────► committing
//	   ▲                                      │    messages come       │ conflict, fence, unknown outcome:
//	   └──────── released by its partition ───┘                        └─► state dropped, loaded again
//
// An instance decides, commits, and only then acts and answers. Messages that come during a commit wait, and are decided
// together. What needs no reading is decided in the partition's turn; an instance that has to be loaded holds up no other.
//
// A dispatcher per activity is the shell round actors/dispatch: it holds the tasks that wait for adapters. There is room for
// so many of each priority; the others overflow, as is decided before they are committed, and their orders leave memory. The
// activity's backlog has them handed over when there is room:
//
//	                 no room                         refill, by priority, partitions in turn
//	scheduled ──────────────► on disk, in an index ─────────────────────────────────────────► in the dispatcher's queue
//	    │                                                                                        ▲
//	    └────────────────────────────────────────────────────────────────────────────────────────┘ room
//
// How it fails. Any message may be lost. Who sends one keeps it until it is answered: clients their orders, adapters their
// results, the partition its due times, the journal the tasks that are under way; and whoever asks for something gets an
// answer, if only that it was interrupted. A commit that fails drops the state, which is loaded again and taken up where
// the journal says. A panic restarts the instance from the journal; an order that panics again and again is faulted, but
// when many do, the partition is restarted in their place. A partition that fails is read anew. One that fails too often,
// or a dispatcher that fails at all, ends the process: the next one takes everything up.
//
// What hangs can't be ended, only named. Partitions and dispatchers are loops that show that they turn, and a partition
// also which order it is at; the goroutines that run orders by themselves are looked at from outside. The watchdog tells
// whoever supervises the process, which ends it.
//
// What it is not: it decides nothing about an order, which is the machine's affair, and reads no documents and no network.
package actors
