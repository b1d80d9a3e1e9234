// Package clock says what time it is by a server's clock, as seen from a process whose own clock shows something else: two step functions.
//
//	readings ──► Estimate: from when to when ──► Course: what is shown, never less than before
//
// A Reading is what the server's clock showed at some time between a question and its answer, both by a clock of the process that nobody
// sets: time since it began. From one reading it is known for good that the server's clock shows at least what was read, and what has
// passed since the answer; and at most that, and what has passed since the question. An Estimate keeps the last readings, and goes by the
// best of them on each side. It allows for clocks that do not run alike. Where a reading can't go with those before, one of the clocks was
// set, or the process was suspended: those before are forgotten.
//
// What is shown is the earliest that it can be: a timer never strikes before its time by the server's clock, and late by the least round
// trip of late. When that turns out to be less than was shown, the course goes on at half the pace until it is right.
//
// How it fails: a server that is not read for long makes the bounds wider, by a second in half an hour; what is shown falls behind by so
// much. A server whose clock is wrong is believed.
//
// What it is not: it reads no clock, locks nothing and waits for nobody. It knows one server.
package clock
