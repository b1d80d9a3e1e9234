// Package recorder writes the audit of a node into the journal: what people and programs have changed, and whom the node has refused.
//
// One goroutine adds to the chain of the node; what is to be added at one moment is one write.
//
//	Begin, End ──► queue ──► loop: chain each, one write ──► answer each
//	Refused ──► counts of the minute ──┘ │
//	                                     └── by the clock: sign what is new, tell the head to the log, remove what is old
//
// A change is begun and ended by an entry each. The first is durable before anything is done, so that a crash between leaves a trace; a
// change that can't be begun is not made.
//
// A node that starts again goes on with the chain of its name, behind an entry that says so. Nobody owns a chain: the journal takes an
// entry only behind the last one that is there. If somebody else has added to it, the recorder reads the end again.
//
// How it fails: as long as the journal does not answer, Begin and End fail within their contexts, and refusals are counted on, in what
// memory is set aside for them. If the last entry was changed behind the node's back, the chain goes on behind it, and whoever verifies it
// is told of that entry.
//
// What it is not: it decides nothing about who may do what, and it does not verify what is stored.
package recorder
