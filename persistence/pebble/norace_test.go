//go:build !race

package pebble

// slow is how much less to try.
const slow = 1
