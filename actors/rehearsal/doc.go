// Package rehearsal runs cases of definitions: each of them one order, with the children that it runs, on the machines that nodes run too,
// without a node. Authors of definitions test them so. It has no I/O, clock, chance or goroutine: the time of a case is its own, and passes
// at once when nothing is left to be done before.
//
//	file of cases ──Read──► Case ─┐
//	                              ├─Run──► Result: what was expected and is not so, the path, the histories
//	Definitions ──────────────────┘
//
// What is round the machine of an order in a node is here, as small as can be:
//
//	adapters           stubs of the case answer for activities, at their time. An attempt that no stub answers for fails the case
//	children           run for real if their definition is there, or are answered for by stubs
//	correlation slots  the machine of package slot, in which what orders emit and what the case publishes meets who listens
//	order keys         one order of a key runs at a time, in the order in which they were accepted
//	time               the next of: a due time of an order or a slot, an answer of a stub, something that the case says
//
// A case ends when all of its orders have ended, when nothing can happen any more (an order may wait for an event that nobody publishes),
// when an attempt or a child has no stub, or at a bound: Limits.Steps for what loops without waiting, Limits.Time for what waits for ever.
//
// How it fails: a file of cases that is wrong tells all mistakes at once, with their places, as a definition does. A case that fails says
// what was expected and what was found. A panic of the machine is a broken invariant, for the caller to contain.
//
// What it is not: it interprets nothing of the language, reads no files, and prints nothing.
package rehearsal
