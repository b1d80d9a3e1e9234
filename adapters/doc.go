// Package adapters is the kit with which activity actors are written in Go. An adapter is a process that offers
// activities, functions that talk to the systems downstream, and executes them for the nodes:
//
//	func main() {
//		a := adapters.New("hss")
//		adapters.Handle(a, "createSubscriber", createSubscriber, adapters.Idempotent(), adapters.Concurrency(8))
//		adapters.Main(a)
//	}
//
//	func createSubscriber(ctx context.Context, t adapters.Task, in Subscriber) (Profile, error)
//
// A definition calls it as hss.createSubscriber.
//
// # What it promises
//
// Work is identified by its idempotency key. This process executes a key once at a time; asked again, it joins what is
// under way, or answers with what came of it. A result is kept until a node has confirmed that it is journaled. Beyond the
// process nobody can promise that work is done once only: it is attempted at least once, with the same key, so the
// downstream system should be given the key. A task whose activity is not Idempotent is executed once the node has
// confirmed that it is about to be, and one that may have killed a process while nothing else is. What may have been
// started by another process is never executed on a guess: only if the activity is Idempotent; else Recover finds out, or
// the outcome is in doubt.
//
// # What an error means
//
//	plain error, Transient   not done, trying again may help
//	Permanent                not done, and trying again is of no use
//	InDoubt                  may have been done
//	end of the context       may have been done: a plain error is no news of that then
//	a timeout                may have been done, if a call of the activity says so: its request may have arrived
//	panic                    may have been done
//
// That goes for Idempotent activities, too. Where attempts before this one may have done the work, only Permanent says that it
// was not done. An activity that returns no error has done its work, also if its output can't be encoded, or is too long:
// its task then fails with ErrorTypeUnreported, and is not retried.
//
// Problem sets what the workflow's error handlers see. Dirty, around any of them, also replaces the actor's resource.
//
// # Inside
//
//	Run
//	├── link per node       keeps a stream: one goroutine reads, one writes what has gathered unsent
//	├── hub                 ledger, credits, what is unsent: pure parts behind one lock
//	├── disk                writes the ledger's records, if it has a folder
//	└── pool per activity   a supervisor actor
//	    └── worker …        an activity actor: owns its resource, executes one task at a time
//
// Each partition of orders has one node that owns it, and that may change while a task is executed. The owner of each result is found
// by what the nodes say: see move.go.
//
// How it fails: an activity that panics, a dirty resource, or one that can't be opened restarts its actor alone, after a
// delay; an actor that fails too often ends Run with an error, and Main with exit code 1, so that whoever supervises the
// process decides. A stream that breaks is replaced; execution goes on meanwhile. A node that breaks the protocol loses
// its stream. A process that is killed loses its ledger, unless that has a folder: the nodes know, and mark what it may have
// started. A folder that can't be written ends Run with an error.
//
// What it is not: it retries nothing by itself (nodes do, as the definition says), and knows
// nothing about orders but their ids.
package adapters
