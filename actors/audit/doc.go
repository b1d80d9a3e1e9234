// Package audit is what the audit of a node is made of: entries that are chained by their hashes, heads of chains that are signed, and the
// check of what is stored. It is pure: it reads no clock and no file, and keeps nothing.
//
// A chain belongs to the name of a node. Each entry has the hash of the one before, and is stored behind its own:
//
//	┌──────────┬───────────────────────┐   ┌──────────┬───────────────────────┐
//	│ SHA-256 ─┼► entry 7, previous …  │◄──┼──────────┼─ entry 8, previous    │ ◄── head: chain, 8, SHA-256, at, signature
//	└──────────┴───────────────────────┘   └──────────┴───────────────────────┘
//
// The bytes themselves are hashed as they were written first, so that no version has to encode an entry as another one did.
//
// How it fails: a Verifier tells whatever is not as it should be, and goes on. What it can't tell by the chain alone, it tells by what was
// kept elsewhere: by the public keys, that a whole chain was made anew; by a head, that the end of one was cut.
//
// What it is not: it does not keep anybody from changing what is stored, and it can't tell what an entry said that is gone.
package audit
