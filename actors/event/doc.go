// Package event takes events to where they are waited for: it publishes them in correlation slots, and is the shell round the machine of
// these, package slot.
//
// Which slots an event goes to follows from the routes of the deployed definitions of its namespace: by each, from its type and the values
// that the expressions of the route yield of it. What no definition listens for goes nowhere.
//
// A slot is an instance of a kind of its own: see package instance. It offers an event only when that is durable. An offer is an ask; one
// that fails is repeated after a while, and answered as before by who has heard it.
//
// How it fails: a definition that can't be compiled any more has filters that match nothing.
//
// What it is not: it decides nothing about events and listeners, which is the machine's affair; and it brings none in from outside.
package event
