// Package rude has servers of HTTP that behave as no server should: they reset connections, send without an end, lie about what they send,
// say nothing, and lead elsewhere. A Server serves one Manner, which is given each connection:
//
//	Serve ──► accept ──► Manner: read a request, answer as nobody should ──► the connection is closed ──► Close
//
// What came, and when, is counted by Server, for judges.
//
// How it fails: what a client does to a connection, such as hanging up in the middle of an answer, is what it may do, and ends the manner
// alone. An address that can't be listened at is an error of Serve.
//
// What it is not: a server that anybody should ask for anything else.
package rude
