// Package memory is a journal in memory, for tests: of parts that use a journal, and of several nodes at once. One Store may be open many
// times, each time as another incarnation, like a database that nodes share. What was committed is kept until the Store is gone.
//
// It is written to be simple, so that it shows what the contract means. Where other journals use an index, it looks at all open orders of
// a partition, or at all orders. Tens of thousands of them are fine.
//
//	Open ──► committing, one goroutine for each opening ──► Close
//	                      │
//	                      └── fenced by another: every commit under an epoch fails, until Close
//
// How it fails: as it is told to. Config.Faults may let any commit and any read fail. Nothing is written anywhere: a process that ends
// loses everything.
package memory
