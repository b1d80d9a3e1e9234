// Package cluster says which node owns which partition, and so where its orders are.
//
// Single serves a node that is alone: it owns every partition. Member serves one of several: the shell round three pure packages, with
// what they decide on from Consul (package consul) and from the other nodes (package remoting).
//
//	consul ── answers of Consul ──► topology ── members ──► placement ── rank ──► who takes what ──► host: Take, Give
//	   └───── evidence ───────────► lease ── stop, freeze, exit                        ▲
//	remoting ── what peers have, what they have seen ──────────────────────────────────┘
//	consul, remoting ◄── what the journal has confirmed: Watermarks ──► the journal, which uses no database that shows less
//
// A member goes through these states; its lease tells (package lease):
//
//	joining ──► member ◄──► drained: an operator wants it to take nothing; it gives up what it has, and stays
//	               ├──────► leaving: it takes nothing, and gives up what it has ──► gone
//	               └──────► over: it must stop before others take over from it, and the process ends
//
// All messages to an order go by one table, which says for each partition the actor here that has it, or the node to ask: who says that
// it has it, or else who is to have it. The table is replaced, never changed, and read without a lock.
//
// How it fails. What nodes tell each other may be lost or late: messages then go to who does not have the partition any more, says so,
// and they are sent again. Consul may be away: nobody's place changes, and work goes on. A node that others may believe dead stops
// dispatching, and ends.
//
// What it is not: it does not make sure that there is one owner. That is the journal's check, and a claim is the journal's to grant.
package cluster
