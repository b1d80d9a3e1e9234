// Package slot is the machine of a correlation slot: the place where events of a type, or those of them with one correlation, meet those
// who listen for them. It has no I/O, clock, chance, goroutine or context; time enters with each command, everything else is in the slot's
// history.
//
//	Decide  (state, time, command) → events   evaluates filters; evolves the state by each event it makes
//	Evolve  (state, event) → state            evaluates nothing
//	Offers  (state) → who is to be asked whether they take which event
//
// An event, in a slot:
//
//	            nobody's filter matches                                   its time is over
//	published ───────────────────────────► kept ────────────────────────────────────────────► gone
//	    │                                   │ ▲
//	    │ a filter matches                  │ │ all decline, and nobody else's filter matches
//	    ▼                 somebody comes    ▼ │
//	 offered, to all whose filters match ◄──┘ │
//	    │                                     │
//	    ├─────────────────────────────────────┘
//	    └──► taken by one of them, answered by all ──► gone
//
// A listener gets one event at a time, in the order in which they were published, and the next one when it has answered: taken, declined,
// or over, if it listens no more. One that wants a single event is gone when it has taken one. Who listens is another instance, an order or
// a schedule, which keeps what it has consumed: an offer that is repeated is answered as before.
//
// An event that somebody has left goes to all others who match, those too who were busy or not there when it was published, and even if its
// time is over by then. Whoever has got later ones already gets it after these.
//
// An event is known by its source and id, for a while also when it is gone: who publishes it again changes nothing.
//
// A slot lasts. When much has happened in it, its history gets a summary of what the slot holds, from which on it is read.
//
// How it fails: a filter that can't be evaluated on an event does not match it. What the slot has no room for is refused. Evolve panics on
// a history that was not made by this package: a broken invariant, for the caller to contain.
//
// What it is not: it does not know how filters are written, nor which slots an event belongs to: see package event.
package slot
