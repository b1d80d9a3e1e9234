// Package tokens has what both ends know of tokens: how one looks, what a node keeps of it, and how a client sends it.
//
// A token is `hf_` and 256 random bits. Nodes keep its SHA-256 alone, so that whoever reads what they keep can't use it. A client sends it
// with each call, as `authorization: Bearer hf_…`. So it may also be a JSON Web Token of an issuer that the nodes trust: what is sent is
// the same.
//
// How it fails: a token is not sent over a connection in plain text to another machine, unless that is said: the call fails with
// UNAUTHENTICATED, and nothing has left the process. A file with a token that has changed is read again; if it can't be read then, calls
// fail until it can.
//
// What it is not: it does not know who has a token, nor what that caller may do. That is actors/access.
package tokens
