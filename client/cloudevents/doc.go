// Package cloudevents takes events by HTTP, as the HTTP protocol binding of CloudEvents 1.0.2 has it, and publishes them at nodes.
//
//	POST /events/NAMESPACE   an event with its attributes in headers (binary mode), or whole in the body (structured mode); or many (batched)
//
//	(request) ─► token, path, query ─► body, within bounds ─► a place ─► events ─► published by a node ─► 204
//	                    │                    │                   │          │               │
//	                    └────────────────────┴───────────────────┴──────────┴───────────────┴──► a problem (RFC 9457), which says why
//
// A request is answered with 204 when its events are durable wherever somebody may listen for them. Whoever gets another answer, or none,
// sends the same again, which changes nothing that was published: a node knows events by their source and id.
//
// The token of a request is passed on to the nodes, which decide whose it is and what that caller may do. The package knows no callers, and
// has no token of its own.
//
// It also answers the validation handshake of the specification HTTP 1.1 Web Hooks for Event Delivery, if it is told from whom.
//
// How it fails: it keeps nothing, and may be killed at any time. What is under way is bounded, by the requests that are being published and
// by the bytes of all bodies. At the bound of bytes whoever has been sending its body for longest gives way, so that slow clients keep out
// nobody.
//
// What it is not: a server. Whoever serves it bounds connections, headers, and the time in which a request has to come.
package cloudevents
