// Package supervision keeps things running: actors, loops and operating-system processes. Whatever fails is restarted
// from a known state, after a delay that grows, a bounded number of times in a period; then the failure is handed up.
//
// Four parts, one policy of delays (Backoff):
//
//   - Policy.Strategy supervises the children of an actor, one for one.
//   - Watchdog tells whether every loop of a process still turns. It is what /livez answers from.
//   - Systemd tells the service manager the same, which restarts a process that gives no sign of life.
//   - Process supervises an operating-system process: it restarts it when it exits or no longer makes progress.
//
// The states of a Process:
//
//	      start fails, or the child exits
//	    ┌─────────────────────────────────┐
//	    ▼                                 │
//	waiting ───────── delay over ────► running ── liveness fails ──► killed ──► waiting
//	    │                                 │
//	    │ context ends                    │ context ends
//	    ▼                                 ▼
//	 stopped ◄──────────────────────── stopping (SIGTERM; SIGKILL after the grace)
//
// How it fails: a Process never gives up by itself, it goes on at the longest delay; an actor that fails more often than
// its Policy allows is stopped, and its parent is told; a Watchdog only tells, it never ends anything. Output that
// nobody takes is dropped and counted (Relay), so that a terminal that was paused can't stop a child; a process that uses
// one for its own output, and calls Outlive, is neither held up nor ended by whoever reads that.
//
// What it is not: it decides nothing about orders (that an order is at fault, and not the code, is for its partition to
// tell), it doesn't daemonise, and it doesn't keep state over restarts.
package supervision
