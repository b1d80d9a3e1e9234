// Package catalog holds what is deployed: definitions, and the limits of activities. It is read from the journal, and compiled
// when it is first used.
//
// Several nodes may change it. What this one changes it knows at once. What another one has changed it notices by the version of the
// catalogue in the journal, for which it asks every second; then it reads all again, and takes over what is different. A
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
