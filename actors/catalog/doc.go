// Package catalog holds what is deployed: definitions, and the limits of activities. It is read from the journal, and compiled
// when it is first used.
//
// How it fails: what the journal can't tell now is an error of the call that needs it.
package catalog
