package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
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

// statusWord is a status in the words of the Open Workflow Specification.
func statusWord(s orderv1.Status) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_"))
}

// statusWords are all statuses.
func statusWords() []string {
	var words []string
	for _, n := range slices.Sorted(maps.Keys(orderv1.Status_name)) {
		if s := orderv1.Status(n); s != orderv1.Status_STATUS_UNSPECIFIED {
			words = append(words, statusWord(s))
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

// jsonTime is a time for JSON, or null.
func jsonTime(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

// timeLayout is how times are written for people.
const timeLayout = "2006-01-02T15:04:05.000Z"

// textTime is a time for people.
func textTime(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(timeLayout)
}

// jsonValue embeds a JSON value that came from a node. What is no JSON becomes a string.
func jsonValue(raw []byte) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	if !json.Valid(raw) {
		text, err := json.Marshal(string(raw))
		if err != nil {
			return nil // can't be: a string
		}
		return text
	}
	return raw
}

// problemJSON is an error of an order or task.
type problemJSON struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int32  `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
}

func jsonProblem(p *problemv1.Problem) *problemJSON {
	if p == nil {
		return nil
	}
	return &problemJSON{
		Type: p.GetType(), Title: p.GetTitle(), Status: p.GetStatus(), Detail: p.GetDetail(), Instance: p.GetInstance(),
	}
}

// textProblem is an error in one line: what is known of title, status, detail and instance.
func textProblem(p *problemv1.Problem) string {
	if p == nil {
		return ""
	}
	text := p.GetTitle()
	if text == "" {
		text = p.GetType()
	}
	if p.GetStatus() != 0 {
		text += fmt.Sprintf(" (%d)", p.GetStatus())
	}
	if p.GetDetail() != "" {
		text += ": " + p.GetDetail()
	}
	if p.GetInstance() != "" {
		text += ", at " + p.GetInstance()
	}
	return text
}
