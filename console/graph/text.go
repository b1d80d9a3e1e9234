package graph

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Sizes of texts, in pixels.
const (
	nameSize = 13
	lineSize = 11
)

// widths are those of the characters from ' ' to '~' in Helvetica and in fonts that are as wide, such as Arial, in thousandths of the
// size.
var widths = [...]int{
	278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, // space to /
	556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, // 0 to ?
	1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, // @ to O
	667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, // P to _
	333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, // ` to o
	556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584, // p to ~
}

// Other fonts are wider than Helvetica, and bold ones still wider: so much is added, in hundredths.
const (
	otherFonts = 112
	boldFonts  = 120
)

// runeWidth is how wide a character is, in thousandths of the size; what is not in the table is taken to be wide rather than narrow.
func runeWidth(r rune) int {
	switch {
	case ' ' <= r && r <= '~':
		return widths[r-' ']
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 1000
	default:
	}
	if r < 0x250 {
		return 722
	}
	return 1000
}

// textWidth is how wide a text of a size is, in pixels, rounded up.
func textWidth(s string, size int, bold bool) int {
	sum := 0
	for _, r := range s {
		sum += runeWidth(r)
	}
	font := otherFonts
	if bold {
		font = boldFonts
	}
	return (sum*size*font + 99_999) / 100_000
}

// fit cuts a text to a width in pixels, with a mark.
func fit(s string, size int, bold bool, most int) string {
	if textWidth(s, size, bold) <= most {
		return s
	}
	const mark = "…"
	room := most - textWidth(mark, size, bold)
	var b strings.Builder
	for _, r := range s {
		if room -= textWidth(string(r), size, bold); room < 0 {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ") + mark
}
