// Package attack has clients and adapters that do to a node what nobody should: within the protocols, and against them, down to single
// frames of HTTP/2. Run makes a process of its own an attacker, told by its first argument, so that what it costs can be confined, and
// its node's memory is not its own:
//
//	attacker -attack NAME[,NAME] -server ADDRESS -admin ADDRESS -report FILE
//
// It attacks until it is told to stop. Then it writes what it did and how it was refused, a Report for each attack, as lines of JSON.
// Frames, Floods and Liar are for those who attack in their own process.
//
// How it fails: what the node does to an attacker, be it a refusal or a connection that ends, is what it is there for, and is counted. A
// report that can't be written ends the process with status 1, arguments that it doesn't understand with status 2.
//
// What it is not: a judge. What the node and others made of it is seen by whoever starts it.
package attack
