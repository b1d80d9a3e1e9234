// Package pgserver runs a PostgreSQL server of one's own, on this host and for as long as somebody needs it: tests of the journal have
// one, and whoever measures it.
//
//	Make, Standby, Backup ──► made ──► Start ──► answers ──► Stop, Kill, or this process ends ──► ended ──► Start …
//	                                              │    ▲                                            ▲
//	                                        Pause ▼    │ Resume                                     │
//	                                          stands still ──► Lose ────────────────────────────────┘
//
// How it fails: what a program of PostgreSQL says is part of the error; what the server says while it runs is in its log. A server dies
// with the process that has started it, as in a crash.
//
// What it is not: for data that anybody wants to keep. Everybody on this host may use it without a password.
package pgserver
