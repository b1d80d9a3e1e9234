// Package history reads the histories of orders: it folds them to what they have come to, and knows how records are made so that a
// long history can be read from somewhere in it on.
package history
