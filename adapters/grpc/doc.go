// Package grpc is the adapter that makes the calls of "call: grpc". It offers two activities: call, for methods that can be called again,
// and callOnce, for those that can't.
//
//	task ──► unseal secrets ──► authenticate ──► allowed? ──► describe ──► encode ──► call ──► wait, authenticate anew ──► classify, decode
//	                                                                                  ▲             │
//	                                                                                  └─────────────┘
//
// What it gets is an object that the engine has made of the properties of the call, with those expressions that name secrets left in the
// property sealed. In it is a description of the method and its messages, by which arguments are encoded and answers decoded; where the
// definition has none, the server is asked for it (reflection), if the adapter is told to do so.
//
// Where a call may go, who it says that it comes from, and when it has to wait, package outbound knows. There is one connection to each
// host and certificate, which all calls share. Those that nobody uses end when they are idle, and are given up when there are too many.
//
// How it fails: a call that was not sent, or whose server refuses it, was not done; one that was sent and not answered, or answered by a
// status that leaves it open, is in doubt. See statuses. gRPC itself sends a call again only if the server has said that it has not looked
// at it. What a server sends is bounded in size, also in what is made of it, and in time.
//
// What it is not: it makes no calls that send a stream of messages, and retries nothing by itself but what a server has refused to do for
// now.
package grpc
