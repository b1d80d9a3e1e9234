// Package gateway serves the public API: orders, definitions, and the streams of adapters. It checks what comes in,
// turns it into messages to the engine, and answers when the engine has made it durable. It keeps nothing.
//
// An adapter's stream:
//
//	          hello is good                adapter closes its side: what is left is sent
//	(open) ─────────────────► connected ─────────────────────────────────────────────────► (ended)
//	   │                          │  silent, not reading, broken message                      ▲
//	   │ hello is wrong           ├───────────────────────────────────────────────────────────┤
//	   └──────────────────────────┤  node is about to stop: drain is sent                     │
//	                              └───────────────────────────────────────────────────────────┘
//
// How it fails: a call that can't be answered gets an error from one table, with a reason, the fields at fault, and when to
// try again. A panic in a call is that call's error. A client that goes away takes nothing with it but its waiting; an
// adapter that does, nothing that the journal does not know.
//
// What it is not: it is no administration, which has a listener of its own, and it knows nothing of other nodes.
package gateway
