// Package catalog holds what is deployed: definitions, and the limits of activities. It is read from the journal. Of a definition
// little is kept, and not the document. What is compiled is in a cache that is bounded by bytes:
//
//	                     somebody asks for it                      compiled
//	(not in memory) ──────────────────────────► being loaded ──────────────────────► in the cache
//	    ▲    ▲                                       │                                │
//	    │    └───── the journal does not answer ─────┘       others need the room     │
//	    │                                                                             ▼
//	    └───────────────── the last order that runs it has left memory ◄───────── kept by orders alone
//
// Asking never blocks: what is not in memory is ErrNotLoaded, and Look and Await wait for it. It is read and compiled once, however many
// wait, and two at a time at the most. What is kept by orders alone is found as if it were in the cache.
//
// Several nodes may change it. What this one changes it knows at once. What another one has changed it notices by the version of the
// catalogue in the journal, for which it asks every second; then it reads what has changed. A
// definition that is missed is asked for at once, before anybody is told that there is none: all who miss one at a time share one look,
// and one look follows the other after a pause that keeps them to a tenth of the time.
//
//	             a second is over, or somebody misses a definition
//	(at rest) ──────────────────────────────────────────────────► looking ── the version has risen ──► reading
//	    ▲                                                            │                                     │
//	    └──────────── those who missed one look again, or learn why the journal could not tell ◄───────────┘
//
// How it fails: while the journal can't be read, calls that need it fail, and what is known stays as it is. The next look comes all the
// same.
//
// What it is not: agreement. For up to a second a node may start orders with what was the latest version, or with a definition that was
// retired elsewhere, and may keep to a limit that was changed.
package catalog
