// Package activity gets attempts executed: it is the shell round actors/dispatch.
//
// A dispatcher per activity holds the tasks that wait for adapters, and knows the adapters' streams. The calls that ask for the same
// version of an activity are a demand, with a room that bounds the tasks of each priority that wait in memory. An order reserves room
// before it commits that a task is scheduled; a task that gets none overflows to disk. A backlog refills the room from there, as it
// becomes free:
//
//	                 no room                         refill, by priority, partitions in turn
//	scheduled ──────────────► on disk, in an index ─────────────────────────────────────────► in the dispatcher's queue
//	    │                                                                                        ▲
//	    └────────────────────────────────────────────────────────────────────────────────────────┘ room
//
// A partition that this node takes over may have tasks that adapters were sent by the owner before. Their adapters, if they can, are asked
// for the keys that they have of it, and answer on their streams; see Owns. A result is taken by the owner of its partition alone: an
// adapter that knows other nodes is told where else to go with it.
//
// What adapters have, offer and list takes memory, of which each stream has a share: see memory. A stream whose share is full, or whose
// adapter does not read, gets nothing more, whatever credit it has.
//
// An activity is known as long as somebody uses it, and for a while after; then its dispatcher and its backlogs end:
//
//	        offered, called, limited              nothing for a while, and nobody is about to use it
//	(none) ──────────────────────────► known ◄────────────────────────────────────────────► closing ───► (none)
//	                                     ▲    somebody uses it, or a backlog has something       all are quiet
//	                                     ▼
//	                                  resting: nothing to do until it is told something, or may be forgotten
//
// The limit of an activity is divided into shares (package share). Each dispatcher asks for one at the owner of the activity's partition,
// whose granter answers: see Share. Without a limit there is none of that.
//
// What is kept here of a partition (its tasks in queues, and how far the backlogs have read those on disk) ends with its owner: see
// Leave.
//
// How it fails: a dispatcher or backlog that fails has lost what it knew of the adapters: the process ends, and the next one takes
// everything up from the journal.
//
// What it is not: it does not know orders; it tells them what came of their attempts, and asks them for those on disk.
package activity
