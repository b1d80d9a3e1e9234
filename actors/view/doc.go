// Package view is the read side: it tells how orders stand, by immutable values. It reads the journal, and asks activities and partitions
// for what only they know.
//
// Who waits for one order is told of each commit of it: Waiters. Who watches a list keeps a Listing, and is told where to look:
//
//	commit ──► Changes, the last ones ──► Listing: what concerns the list is read in the journal ──► told, when there is room
//	              (hints)                    │ overrun: the list is read anew
//	                                         │ a partition is not here, the journal does not answer: the watching ends
//
// Hints may come twice, late or in vain, so over several nodes each may send its own to the others, as data: what got lost on the way
// is an overrun. Until nodes do so, one that does not have all partitions lets no list be watched.
//
// What it is not: it changes nothing, and knows no transport.
package view
