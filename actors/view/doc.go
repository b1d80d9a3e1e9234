// Package view is the read side: it tells how orders stand, by immutable values. It reads the journal, and asks activities and partitions
// for what only they know.
//
// Who waits for one order is told of each commit of it: Waiters. Who watches a list keeps a Listing, and is told where to look:
//
//	commit ──► Changes, the last ones ──► Listing: what concerns the list is read in the journal ──► told, when there is room
//	              (hints)                    │ overrun: the list is read anew
//	                                         │ the journal does not answer: the watching ends
//
// A partition that is not here is another node's. An order there is awaited by one ask to its owner, however many wait for it here; the
// owner answers with the first word, or after some seconds that there is none. Whenever an ask fails, and when the partition has come here,
// the journal is looked at. Lists are read anew each second as long as any partition is not here.
//
// How it fails: a node that is lost, or a message, holds word up until the ask's deadline, some 15 seconds. Who waits is not told of it. A
// journal that does not answer is asked again, with backoff, for those who wait for orders, and ends the watching of lists.
//
// What it is not: it changes nothing, and knows no transport: asks go by the post.
package view
