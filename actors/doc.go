// Package actors is the engine that runs the orders of one node: it puts together what is in the rooms beside it, and does nothing
// else.
//
//	workflow     what an order is and does next: pure
//	definition   from a document to a compiled workflow
//	dispatch     which task goes to which adapter when: pure
//	runtime      mailboxes, goroutines, asks: knows no order
//	catalog      what is deployed
//	history      how histories are read
//	failure      why something was not done, as data
//	post         brings messages to orders and partitions, wherever they are
//	order        the instance: decide, commit, perform, answer
//	partition    ownership, and what belongs to a partition: residents, keys, due times, recovery
//	activity     dispatchers, backlogs, the adapters' streams
//	view         the read side, as immutable values
//	gateway      the gRPC services: check, translate, answer
//
// How it fails. Any message may be lost. Who sends one keeps it until it is answered: clients their orders, adapters their results,
// orders what they have to tell each other, the partition its due times, the journal the tasks that are under way. A partition that
// fails is read anew. One that fails too often, or a dispatcher that fails at all, ends the process: the next one takes everything
// up. A journal that does not answer is waited for: the node is alive, and not ready.
//
// What hangs can't be ended, only named. Partitions and dispatchers are loops that show that they turn, and a partition also which
// order it is at; the goroutines that run orders by themselves are looked at from outside. The watchdog tells whoever supervises the
// process, which ends it.
package actors
