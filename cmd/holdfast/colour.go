package main

import (
	"io"
	"slices"
	"strings"
)

// What a terminal is told before and after a text that has a colour.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// colours tells whether what goes to w may have colours: it is a terminal that knows them, and whoever uses it wants them.
func (a *app) colours(w io.Writer) bool {
	return a.terminal(w) > 0 && a.variable("NO_COLOR") == "" && a.variable("TERM") != "dumb"
}

// variable returns a variable of the environment; the last one counts, as for a shell.
func (a *app) variable(name string) string {
	for _, v := range slices.Backward(a.environ()) {
		if value, found := strings.CutPrefix(v, name+"="); found {
			return value
		}
	}
	return ""
}

// styleOf is the colour of a status, or of an event: by its last word.
func styleOf(cell string) string {
	word, _, _ := strings.Cut(cell, ",")
	word = word[strings.LastIndexByte(word, '.')+1:]
	switch word {
	case "completed", "succeeded":
		return green
	case "faulted", "failed":
		return red
	case "suspended", "cancelled":
		return yellow
	default:
		return ""
	}
}
