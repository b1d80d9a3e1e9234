//go:build race

package pebble

// slow is how much less to try: the engine checks itself in many ways when it is built with the race detector.
const slow = 10
