package messages

import (
	"strings"
	"unicode/utf8"
)

// Cut returns the longest beginning of a text that has at most so many bytes, and ends with a whole character.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Clip makes a text that anybody may have chosen fit to be told: what is no UTF-8 is replaced, and of what has more bytes than
// that the beginning is left, with a mark.
func Clip(s string, most int) string {
	clipped := len(s) > most
	s = strings.ToValidUTF8(Cut(s, most), "\uFFFD") // it may be very long before
	if len(s) > most {
		s, clipped = Cut(s, most), true
	}
	if clipped {
		s += "…"
	}
	return s
}
