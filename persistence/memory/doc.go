// Package memory is a journal in memory, for tests: of what uses a journal, and of several nodes at once. One Store may be
// open many times, each time as another incarnation, as a database is that nodes share. What was committed is kept until the
// Store is gone.
//
// It is written to be simple, so that it shows what the contract means: whatever a journal finds by an index is here found by
// looking at all open orders of a partition, or at all orders. Tens of thousands of them are fine.
//
//	Open ──► committing, one goroutine for each opening ──► Close
//	                      │
//	                      └── fenced by another: every commit under an epoch fails, until Close
//
// It fails when it is told to: Config.Faults may have any commit and any read end otherwise than well. Nothing is written
// anywhere: a process that ends loses everything.
package memory
