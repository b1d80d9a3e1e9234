// Package runtime is what the actor system leaves to us: mailboxes that are bounded and never block, goroutines that actors share, and
// the asks that have no answer yet.
//
// How it fails: a mailbox that is full refuses, and whoever sent the message is told; a message that gets lost ends the ask that it
// is at its deadline. An actor that hangs holds up none but those of its turn: it is named to the watchdog.
//
// What it is not: it knows no order, no message and no journal.
package runtime
