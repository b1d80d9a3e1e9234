// Package stage runs the processes that a scenario needs: nodes, Consul, adapters, downstream systems. It starts them, tells
// when they are ready, what they use, and kills them when the scenario wants that.
//
//	start ──► running ──► ended by itself, or killed ──► started again (Restart), or else the stage fails
//	             │
//	             └──────► stopping (the stage stops, or its context ended) ──► gone
//
// How it fails: the context of a stage ends with the reason, the last lines of the process's log included. Every
// process is a child that dies with this process. The output of each goes to a file of its own in the stage's folder,
// NAME.log.
//
// Processes may be on hosts of their own, of a Network, which can be cut off from each other, and unplugged. That needs Linux, root,
// and the programs ip and nft: NoNetwork says so. A network that a process has left, as it was killed, is removed when the next one
// is made.
//
// What it is not: a supervisor for production; it is a few conveniences around supervision.Process.
package stage
