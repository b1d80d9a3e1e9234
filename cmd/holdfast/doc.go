// Command holdfast is all of Holdfast in one binary: the node, its adapters, and the client with which people and
// scripts work. This package is wiring only: it reads flags, environment and configuration, makes the parts, and prints.
// Nobody imports it.
//
// Each command stands in a file of its own and is made by a function that newRoot calls. Flags that may also come from
// the environment or the configuration file are marked with setting; precedence is flag, HOLDFAST_* variable, file.
//
// What goes to the standard output is the answer and nothing else, a table for people or, with -o json, one JSON value a
// line. Progress, logs and errors go to the standard error. The exit status is 0 if it went well, 1 after an error, 2 if
// the command was used wrongly, and for commands that wait for the end of an order 3 if it faulted, 4 if it was cancelled,
// and 5 if the time given was over first.
package main
