// Package runtime is what the actor system leaves to us: mailboxes that are bounded and never block, goroutines that actors share, and
// the asks that have no answer yet.
//
// How it fails: a mailbox that is full refuses, and whoever sent the message is told; an ask whose message gets lost
// ends at its deadline. An actor that hangs holds up no actor on another goroutine: the watchdog is told its name.
//
// What it is not: it knows no order, no message and no journal.
package runtime
