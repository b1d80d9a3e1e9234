// Package client is how Go programs talk to Holdfast's nodes: one list of addresses, one way to dial, and what a client has
// to do when nodes go away and come back.
//
//	                  ┌─ Orders, Definitions, Admin   the generated clients; what is safe is asked again
//	New(Config) ► Client ─ NewSubmitter               many orders on streams that are renewed when they break
//	                  ├─ Watch                        an order to its end, over as many streams as that takes
//	                  └─ WatchList                    the orders that match, as they change, likewise
//
// Several addresses: the client holds a connection to each that answers, spreads calls over them, and passes over a node as soon
// as its connection breaks. A node that is gone without a word is noticed by keepalives.
//
// To the owner: a client that submits much asks the nodes which of them owns which partition (owners.go), and what is about one order goes
// to its owner from then on, also at addresses that it was not given; to any other node, if the owner is not known or not connected.
// What it was told may be wrong at any time, and then costs time alone.
//
// Asking again: a call that failed with UNAVAILABLE may have been carried out all the same, since its answer may be what was
// lost. So only calls are repeated that do no harm when they are carried out twice; repeat.go lists them all, with the reason of
// each. A call is first repeated at once, as often as there are other addresses, and then with growing delays, for as long as its
// Patience and its deadline allow. RESOURCE_EXHAUSTED is repeated where the node says when to come back.
//
// A Submitter gives each order that it was handed exactly one last answer: what was not answered when its stream broke is submitted
// again, under the same id and with the same content, which changes nothing about what was accepted. Orders of the same key are
// accepted in the order in which they were handed in. What it holds is bounded; beyond the bound Submit waits. It has a stream to each
// owner (routes.go), and one to any node, for what has no owner that is known and connected:
//
//	           stream opens            all answered
//	(idle) ───────────────► submitting ───────────► (idle)
//	   ▲                       │    ▲
//	   │                       │    │ opened again: what is unanswered is submitted again
//	   │   Close, nothing left │    │
//	(ended) ◄── patience over ─┴────┘ the stream breaks
//
// How it fails: errors are those of gRPC, with the nodes' details; StatusText, Reason and Details read them, and Advice and its
// sisters say what a person can do. A GaveUpError says that patience was over.
//
// What it is not: a cache, or a queue on disk. Whoever submits orders and dies must submit them again, under the same ids.
package client
