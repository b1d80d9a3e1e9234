// Package access knows who calls a node and decides what that caller may do.
//
// A caller is known by one of three things, in this order: a token that the call bears (one that operators have made, or one of an issuer
// that is trusted), or else the certificate that the connection has shown. Of a certificate the subject alternative names count, and never
// the common name. One who bears a token that is not good is refused, whatever certificate he shows.
//
// What a caller may do is said by roles, each in namespaces of definitions: see Role. One table, rules, says for every method of the nodes'
// services, and for every page of the administration, which roles suffice and what says in which namespaces they are needed. What is not in
// the table nobody may do.
//
// All of it is said by a file, which is read again when it has changed:
//
//	            is good                     is bad: it is told once
//	(file) ───────────────► Policy in force ──────────────────────► the same Policy stays in force
//	                          │      ▲
//	                          └──────┘ has changed for the better: streams of callers that may do less now, or are not known any more, end
//
// How it fails: an issuer that can't be reached leaves its tokens unknown, and nobody else; tokens of its that were good are taken until
// they expire. A node without a file asks nobody who he is: that is for loopback addresses, or where certificates are asked for.
//
// What it is not: it does not refuse calls itself, which is what gateway does with its decisions, and it reads no orders: who asks says in
// which namespaces something is.
package access
