package definition

import (
	"strconv"
	"strings"

	"github.com/itchyny/gojq"
)

// locationVariable stands for the place where it is written. Parsed programs know no places, so they are looked for in the
// text.
const locationVariable = "$__loc__"

// locations returns the lines on which a program says $__loc__, in order of appearance.
func locations(text string) []int {
	var lines []int
	if !strings.Contains(text, locationVariable) {
		return nil
	}
	var parentheses []int // open ones of each program around, of which all but the first stand in strings
	open, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			if i++; i < len(text) && text[i] == '(' {
				parentheses, open, inString = append(parentheses, open), 0, false
			}
		case c == '"':
			inString = !inString
		case inString:
		case c == '#':
			if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(text)
			}
		case c == '(':
			open++
		case c == ')':
			if open--; open < 0 && len(parentheses) > 0 {
				last := len(parentheses) - 1
				parentheses, open, inString = parentheses[:last], parentheses[last], true
			}
		case strings.HasPrefix(text[i:], locationVariable):
			lines = append(lines, 1+strings.Count(text[:i], "\n"))
		}
	}
	return lines
}

// location is the value of the next $__loc__.
func (r *rewriter) location() *gojq.Term {
	line := 1
	if len(r.places) > 0 {
		line, r.places = r.places[0], r.places[1:]
	}
	text := func(s string) *gojq.Query {
		return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeString, Str: &gojq.String{Str: s}}}
	}
	number := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNumber, Number: strconv.Itoa(line)}}
	return &gojq.Term{Type: gojq.TermTypeObject, Object: &gojq.Object{KeyVals: []*gojq.ObjectKeyVal{
		{Key: "file", Val: text("<top-level>")}, {Key: "line", Val: number},
	}}}
}
