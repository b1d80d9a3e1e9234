// Package order is the shell round the machine of actors/workflow: the virtual actor that an order is, the instance.
//
//	          first message                   events committed
//	(away) ─────────────────► loading ──► idle ◄──────────────► committing
//	   ▲                                    │    messages come       │ conflict, fence, unknown outcome:
//	   └─────── released by its partition ──┘                        └─► state dropped, loaded again
//
// An instance decides, commits, and only then acts and answers. Messages that come during a commit wait, and are decided together.
// Its parent is its partition, which brings it its messages, activates it with the first of them, and keeps its due time while it is
// away.
//
// Most decisions are made in the turn of the partition. One that is heavy work is not; nor is one that turns out to be, which is made anew.
//
// Room for an attempt is reserved in the memory of its activity before the attempt is committed: see Activities. What an order
// has to tell its children and its parent is part of its state; it is asked again until it is answered.
//
// The Acceptor accepts orders of partitions that are elsewhere. It inserts them, and knows nothing of them afterwards: the owner takes
// each up, with whatever it is told first, before it decides anything else about it.
//
// How it fails. A commit that fails drops the state, which is loaded again and taken up where the journal says. A fence is told to
// the partition. A panic restarts the instance from the journal; whoever waits for an answer is told that it was interrupted.
//
// What it is not: it decides nothing about an order, which is the machine's affair. It touches the journal, the catalogue, its
// partition and the activities only through the interfaces that it declares.
package order
