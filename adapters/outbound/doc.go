// Package outbound is what the adapters have in common that send requests for definitions: where these may go, who they say that they come
// from, and when they have to wait.
//
//	call ──► open secrets ──► authenticate ──► allowed? ──► gate of the host ──► connection, to an address that is allowed
//
// An Exit has all of it. The allow-list holds for names before a request is sent, and for addresses when a connection is made: so no name
// server, and no redirect, leads elsewhere. Tokens are got over HTTP, through the same list, and are held until they are over or refused.
// A host that asks to be left alone is left alone by all requests of the adapter.
//
// How it fails: what it refuses was not sent, and is an error of the type authorization, validation or authentication; what it could not
// do for now is a transient failure. Secrets are in no error that it makes.
//
// What it is not: it sends no requests of definitions, and does not know what an answer means. The adapters do that.
package outbound
