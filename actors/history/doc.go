// Package history reads the histories of orders: it folds them to states, and makes records so that a long
// history can be read from somewhere in the middle on.
package history
