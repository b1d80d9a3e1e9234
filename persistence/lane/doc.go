// Package lane is where what is asked of a journal waits until it is done: commits, releases and checks, in the order in
// which they came, a batch at a time. Every backend has one or more of them; what is done with a batch is the backend's.
//
//	Put ──► waiting ──► batch ──► Answer of each
//	  │
//	  └── beyond the bound ──► answered persistence.ErrBusy
//
// A lane is bounded by number and by bytes. Acceptances have half of it, those of orders that are not interactive three
// quarters of that half: running orders go on when new ones must wait.
//
// How it fails: it does not. A panic of who makes a batch is the backend's to catch.
//
// What it is not: a thread. Run is called by a goroutine of the backend, which decides what a turn is.
package lane
