// Package schedule is the machine of a schedule: it has orders of the latest version of a definition come into being as that says. It has
// no I/O, clock, chance, goroutine or context; time enters with each command, everything else is in the schedule's history.
//
//	Decide  (state, time, command) → events   asks the definition for times, filters and schemas; evolves the state by each event it makes
//	Evolve  (state, event) → state            asks nothing
//
// A schedule is one of three:
//
//	times   every, cron:  armed ──► due ──► fired, or passed over ──► due …
//	after                 armed ──► due ──► fired ──► its order ends ──► due …
//	on                    armed ──► listens ──► collects events ──► fired …   goes on to listen
//
// What an order is accepted with, as its definition says, is decided with its firing. If its input does not fit that, it is passed over.
//
// A firing is in the history before its order is submitted, under an id that follows from what it is for: its due time, or the first of its
// events. So it may be submitted again and again, and comes into being once. Who needs to know when it ends is its parent.
//
// A due time that nothing could fire at is missed. What becomes of it the definition says: the last one is made up for, all are, or none
// is, but for one that is late by no more than a grace.
//
// Events that belong to one order are collected: an event goes to the first collection that lacks it and agrees with its correlations, or
// begins one.
//
// A schedule that is paused passes over what becomes due, and does not listen: what is published then is kept as what nobody waits for.
//
// How it fails: what there is no room for is refused, and comes again. Evolve panics on a history that was not made by this package.
//
// What it is not: it does not submit orders, nor wait for them, nor listen: it says what is outstanding of that.
package schedule
