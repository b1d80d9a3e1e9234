package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Values of --output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// printJSON prints a value as one line of JSON.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	line := append(escape(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n')
	if _, err := a.stdout.Write(line); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// isControl tells whether a character may change how a terminal shows others, or can't be seen.
func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// escape writes control characters in JSON, which stand in strings only, as their escapes: the value stays the same.
func escape(line []byte) []byte {
	if bytes.IndexFunc(line, isControl) < 0 {
		return line
	}
	out := make([]byte, 0, len(line)+32)
	for _, r := range string(line) {
		switch {
		case !isControl(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r1, r2 := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, r1, r2)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// clean makes a text safe to show on a terminal, in one line: control characters are shown as their escapes.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		if isControl(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// textValue is a JSON value in one line.
func textValue(value []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return string(value) // what is no JSON is shown as it is
	}
	return b.String()
}

// cleanLines does so with a text of several lines, and keeps those and its tabs.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		cells := strings.Split(strings.TrimSuffix(line, "\r"), "\t")
		for j, cell := range cells {
			cells[j] = clean(cell)
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}

// statusWords are all statuses.
func statusWords() []string {
	var words []string
	for _, n := range slices.Sorted(maps.Keys(orderv1.Status_name)) {
		if s := orderv1.Status(n); s != orderv1.Status_STATUS_UNSPECIFIED {
			words = append(words, shown.StatusWord(s))
		}
	}
	return words
}

func parseStatus(word string) (orderv1.Status, error) {
	n, ok := orderv1.Status_value["STATUS_"+strings.ToUpper(word)]
	if !ok || n == 0 {
		return 0, usagef("--status is %q, and must be one of %s", word, strings.Join(statusWords(), ", "))
	}
	return orderv1.Status(n), nil
}
