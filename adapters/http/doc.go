// Package http is the adapter that sends the requests of "call: http". It offers two activities: request, for what can be sent again,
// and requestOnce, for what can't.
//
//	task ──► unseal secrets ──► authenticate ──► allowed? ──► send ──► follow, wait, authenticate anew ──► classify, decode
//	                                              ▲                         │
//	                                              └─────────────────────────┘
//
// What it gets is an object that the engine has made of the properties of the call, with those expressions that name secrets left in
// the property sealed. Secrets are files of a folder, one folder for each namespace of definitions; what is read of them is never
// logged, and no part of an output or error that this package makes.
//
// Where a request may go is said by an allow-list, of names and of addresses. Names are checked before each request and at each
// redirect; addresses when a connection is made, so that no name can lead elsewhere. Without a list all is allowed but loopback,
// link-local, multicast and unspecified addresses, and those at which clouds tell about themselves.
//
// How it fails: what was not sent, or was answered by a refusal, was not done; what was sent and not answered, or answered by a
// failure that leaves it open, is in doubt. See classify. A request that waits as its server asks for it (Retry-After) does so for a
// bounded time. What a server sends is bounded in size and time.
//
// What it is not: it keeps no cookies and no cache, and retries nothing by itself but what a server has refused to do for now.
package http
