// Command verify checks that Holdfast shows what it must show, a row of docs/benchmarks.md at a time: speed, survival of
// kill -9, sagas, restarts, full disks and damaged ones, refusal of bad input, the demo. It runs the real binaries, as
// processes, through the public API.
//
//	verify [-row NAME] [-scale full|ci] [-seed N]
//
// It prints one line of JSON for each row, and exits 1 if a bar was missed:
//
//	{"row":"w3","measured":{…},"bar":{…},"pass":true,"seconds":42.1,"seed":7}
//
// A bar names a measured figure and says how small or large it may be; an aim in it is only told. At the scale ci a row
// takes a minute at most: shorter runs, fewer orders and rounds, the same bars, except those that need the longer time.
// What chance decides, such as when a process is killed, follows from the seed.
//
// How it fails: a row that can't be measured, or whose figures can't be right, is missed, and says why as "error"; data and
// logs of a missed row stay in its folder, which is named on the standard error.
//
// What it is not: part of the tests of a package; those take seconds and run under the race detector.
package main
