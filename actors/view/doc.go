// Package view is the read side: what orders are, as immutable values that are made once and handed to whoever asks. It reads the
// journal, and asks activities and partitions for what only they know.
//
// What it is not: it changes nothing, and knows no transport.
package view
