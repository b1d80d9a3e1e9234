// Package players has the adapters that the rows of verify put on the stage, each a process of its own: it is the verify program
// again, told by its first argument which part to play.
//
//	sleeper  takes its time, and writes down each execution
//	echoer   returns its input, under whatever name it is given
//	frail    has its effect half-way, and ends as its input says: well, late, in a panic, unreported
//	mortal   writes down what it does, and dies of what is poison
//	gauge    writes down when it executes what
//	tally    writes down each effect that it has, and each that it undoes
//
// What they have done is in files of JSON lines that outlive them: ReadLines reads those for the judges.
//
// How they fail: with status 1 and the reason on the standard error, when their log can't be written or the adapter ends with an
// error; with status 2 when they are told what they don't understand. Otherwise they run until they are told to stop, or die as
// their parts want it.
//
// What it is not: adapters that talk to nodes as nobody should; a row that lies speaks the protocol itself.
package players
