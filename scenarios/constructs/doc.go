// Package constructs runs cases of the language against a running system, through its public API: a case is a definition, what its order
// gets, and what has to come of it. Cases has one for each construct of the language.
//
//	Case ──► deploy, publish, submit, history ──gRPC──► a node, with adapters
//	            │                                           │
//	            └── output, error, path, what was done ◄── Log ◄── stubs, and stand-ins for hosts
//
// What an order has done is in a Log: whoever is asked for something writes down by which order it was, as the idempotency key of each
// attempt tells it. So a case holds only if all was done, each thing once, also if the node was killed meanwhile.
//
// How it fails: Run returns what is not as the case says. A system that never answers makes it wait until its context ends.
//
// What it is not: it starts no processes, and kills none.
package constructs
