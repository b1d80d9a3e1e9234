// Package login has a person log in at an issuer, by OpenID Connect, and keeps the token that nodes take for that person.
//
//	           by a code, on any device       ┌─ it has not expired: sent with each call
//	Log in ──► or a browser of this machine ──► Login, in a file
//	                                          └─ it has: renewed, and kept; or log in again
//
// A login is in a file that its owner alone can read. What is sent to nodes is the ID token, which is for the client that was registered at
// the issuer: nodes take it whose audience for this issuer is that client.
//
// How it fails: a token that can't be renewed any more makes calls fail with what to do. An issuer that can't be reached does so once the
// token has expired, and not before.
//
// What it is not: it does not decide whether a token is good for anything, which nodes do, and it starts no browser.
package login
