// Package activity gets attempts executed: it is the shell round actors/dispatch.
//
// A dispatcher per activity holds the tasks that wait for adapters, and knows the adapters' streams. There is room for so many tasks
// of each priority; the others overflow, as is decided before they are committed. The backlog of their lane has them handed over
// when there is room:
//
//	                 no room                         refill, by priority, partitions in turn
//	scheduled ──────────────► on disk, in an index ─────────────────────────────────────────► in the dispatcher's queue
//	    │                                                                                        ▲
//	    └────────────────────────────────────────────────────────────────────────────────────────┘ room
//
// What is kept of a partition here, tasks in queues and places of its tasks on disk, ends with its owner: see Leave.
//
// How it fails: a dispatcher or backlog that fails has lost what it knew of the adapters: the process ends, and the next one takes
// everything up from the journal.
//
// What it is not: it does not know orders; it tells them what came of their attempts, and asks them for those on disk.
package activity
