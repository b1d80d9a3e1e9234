package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages/jsonscan"
)

func TestCheckNames(t *testing.T) {
	t.Parallel()
	many := func(n int, last string) string {
		var b strings.Builder
		b.WriteString(`{"o":{`)
		for i := range n {
			fmt.Fprintf(&b, `"n%d":{"x":%d},`, i, i)
		}
		return b.String() + `"` + last + `":1}}`
	}
	for value, want := range map[string]string{
		`{"a":"bad","a":2}`:                   `names the property "a" twice: name it once`,
		`{"a":1,"b":{"a":1},"c":[{"a":1}]}`:   "",
		`[{"x":[0,{"y/z":{"b":1,"b":1}}]}]`:   `names the property "b" twice at /0/x/1/y~1z: name it once`,
		` { "a" : 1 , "\u0061" : 2 } `:        `names the property "a" twice: name it once`,
		`{"\ud800":1,"\ud801":2}`:             `names the property "` + "\uFFFD" + `" twice: name it once`,
		`{"a":"}","a ":"\"","A":"a","":0}`:    "",
		`{"":1,"":2}`:                         `names the property "" twice: name it once`,
		`{"a":{},"b":[],"c":null,"d":[[{}]]}`: "",
		`"{\"a\":1,\"a\":2}"`:                 "",
		"5":                                   "",
		"[]":                                  "",
		many(15, "n3"):                        `names the property "n3" twice at /o: name it once`,
		many(16, "n3"):                        `names the property "n3" twice at /o: name it once`,
		many(500, "n499"):                     `names the property "n499" twice at /o: name it once`,
		many(500, "n500"):                     "",
		`{"` + strings.Repeat("é", 200) + `":1,"` + strings.Repeat("é", 200) + `":2}`: `names the property "` +
			strings.Repeat("é", 100) + `…" twice: name it once`,
	} {
		got := ""
		if err := jsonscan.CheckNames([]byte(value)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", value[:min(len(value), 60)], got, want)
		}
	}
}

// FuzzCheckNames compares with the decoder: a value has a name twice if writing what was read has fewer of them.
func FuzzCheckNames(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"a":2}`, `[{"a":{"b":[]}},{"a":1}]`, `{"\u0061":1,"a":[1,"x\"]"]}`, "5", `{"a"`, "", "{", "[", `{"a":}`, "[,",
		strings.Repeat("[", 20_000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := jsonscan.CheckNames(data)
		if !json.Valid(data) {
			return
		}
		read, written := 0, 0
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			return
		}
		count(json.NewDecoder(bytes.NewReader(data)), &read)
		encoded, _ := json.Marshal(v)
		count(json.NewDecoder(bytes.NewReader(encoded)), &written)
		if deep := strings.Contains(fmt.Sprint(err), "deep"); !deep && (read != written) != (err != nil) {
			t.Errorf("%s: %v, but %d parts of %d remain", data, err, written, read)
		}
	})
}

// count counts the tokens of a value.
func count(d *json.Decoder, n *int) {
	d.UseNumber()
	for {
		if _, err := d.Token(); err != nil {
			return
		}
		*n++
	}
}

// TestLongTexts checks that what is escaped takes no longer than other text, and that nothing is passed beyond the end.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{`\\`, `\"`, `\n`, "x"} {
		s := jsonscan.Scanner{Data: []byte(`"` + strings.Repeat(unit, 1<<21) + `",`)}
		if !s.Skip() || s.Peek() != ',' {
			t.Errorf("a text of %s was not passed", unit)
		}
	}
	for _, text := range []string{`"`, `"\`, `"\"`, `"x`} {
		s := jsonscan.Scanner{Data: []byte(text)}
		if s.Skip() || s.At > len(s.Data) {
			t.Errorf("%s: was passed, to %d", text, s.At)
		}
	}
}

// BenchmarkCheckNames compares with the check that comes before.
func BenchmarkCheckNames(b *testing.B) {
	value := []byte("[" + strings.TrimSuffix(strings.Repeat(
		`{"id":"order-1","msisdn":"491701234567","price":12.50,"tags":["a","b"],"address":{"city":"Bonn","zip":"53111"}},`, 100),
		",") + "]")
	b.Run("names", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			if err := jsonscan.CheckNames(value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("valid", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		for b.Loop() {
			if !json.Valid(value) {
				b.Fatal("not JSON")
			}
		}
	})
}
