// Package journaltest is what every backend of the journal must pass. It holds the contract of package persistence
// against a store that it opens, crashes and cripples at will, and against a model of a few maps.
//
// A backend's test calls Run with a Backend. What a backend can't simulate, it leaves out: a Store that is not a
// Crasher, or not a Breaker, skips the tests that need one, and they say so.
//
// It is imported by tests only.
package journaltest
