package rehearsal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/messages"
)

// mostDifferences is how many differences of two values are told, and mostShown how much of a value, in bytes.
const (
	mostDifferences = 20
	mostShown       = 400
)

// differences tells where a value is not as it is expected to be, a line for each place; none: it is. A nil comparison is of anything.
func (c *Comparison) differences(found []byte) []string {
	if c == nil {
		return nil
	}
	d := &differ{subset: c.Subset}
	d.compare("", decoded(c.Value), decoded(found))
	if more := len(d.lines) - mostDifferences; more > 0 {
		d.lines = append(d.lines[:mostDifferences], fmt.Sprintf("and %d more differences", more))
	}
	return d.lines
}

// differ compares two values.
type differ struct {
	subset bool
	lines  []string
}

// missing stands for what is not there.
type missing struct{}

func (d *differ) compare(at string, want, found any) {
	switch w := want.(type) {
	case map[string]any:
		f, is := found.(map[string]any)
		if !is {
			break
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			x, has := f[name]
			if !has {
				x = missing{}
			}
			d.compare(at+"/"+messages.EscapePointer(name), w[name], x)
		}
		for _, name := range slices.Sorted(maps.Keys(f)) {
			if _, has := w[name]; !has && !d.subset {
				d.add(at+"/"+messages.EscapePointer(name), missing{}, f[name])
			}
		}
		return
	case []any:
		f, is := found.([]any)
		if !is {
			break
		}
		for i := range max(len(w), len(f)) {
			item := at + "/" + strconv.Itoa(i)
			switch {
			case i >= len(w):
				d.add(item, missing{}, f[i])
			case i >= len(f):
				d.add(item, w[i], missing{})
			default:
				d.compare(item, w[i], f[i])
			}
		}
		return
	case json.Number:
		if f, is := found.(json.Number); is && sameNumber(w, f) {
			return
		}
	default:
		if want == found { // a text, true, false or null
			return
		}
	}
	d.add(at, want, found)
}

func (d *differ) add(at string, want, found any) {
	if at == "" {
		at = "the value"
	}
	d.lines = append(d.lines, fmt.Sprintf("%s: expected %s, found %s", at, shown(want), shown(found)))
}

// shown is a value for people.
func shown(v any) string {
	if _, is := v.(missing); is {
		return "nothing"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return clipped(bytes.TrimSpace(b.Bytes()))
}

func clipped(raw []byte) string { return messages.Clip(string(raw), mostShown) }

// precision is that in which numbers are compared, in bits: more digits than they may have.
const precision = 4096

// sameNumber tells whether two numbers are equal, however they are written.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, _, errX := big.ParseFloat(a.String(), 10, precision, big.ToNearestEven)
	y, _, errY := big.ParseFloat(b.String(), 10, precision, big.ToNearestEven)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// decoded decodes JSON, which is valid. Numbers keep their digits.
func decoded(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return missing{}
	}
	return v
}

func indented(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, "  "+l)
	}
	return out
}
