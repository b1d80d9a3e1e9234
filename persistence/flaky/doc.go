// Package flaky is a journal that can be told not to answer, for tests of parts that need a journal. It stands before another one:
//
//	Up ──► Away     everything is refused at once, as by a store that can't be reached
//	 ▲ └─► Silent   nothing is answered, as by a store that hangs: reads wait until their time is over, commits until it is up
//	 └──── either, whenever it is told
//
// Of commits that come meanwhile some are made all the same, and their outcome is not known. Those that came before are answered
// as though nothing were.
//
// It may be told so for some of its shards alone, of which it has as many as it is told to.
//
// What it is not: a store. It keeps nothing but the commits that wait for an answer, and those have no bound but what their callers
// have under way.
package flaky
