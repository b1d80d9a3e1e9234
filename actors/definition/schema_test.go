package definition

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	from := time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"PT0S":                        "2024-01-31T12:00:00Z",
		"PT1.5S":                      "2024-01-31T12:00:01.5Z",
		"PT0.000000003S":              "2024-01-31T12:00:00.000000003Z",
		"PT90M":                       "2024-01-31T13:30:00Z",
		"P1D":                         "2024-02-01T12:00:00Z",
		"P1W":                         "2024-02-07T12:00:00Z",
		"P0.5D":                       "2024-02-01T00:00:00Z",
		"P1M":                         "2024-02-29T12:00:00Z",
		"P13M":                        "2025-02-28T12:00:00Z",
		"P1Y":                         "2025-01-31T12:00:00Z",
		"P1Y1M1DT1H":                  "2025-03-01T13:00:00Z",
		"{days: 1, milliseconds: 5}":  "2024-02-01T12:00:00.005Z",
		"{hours: 25}":                 "2024-02-01T13:00:00Z",
		`'${ "PT\(.minutes)M" }'`:     "2024-01-31T12:15:00Z",
		`'${ .text }'`:                "2024-02-01T12:00:00Z",
		`'${ .minutes }'`:             "error",
		`'${ "soon" }'`:               "error",
		`'${ "-PT5S" }'`:              "error",
		`'${ "P200Y" }'`:              "error",
		`'${ error("x") }'`:           "error",
		"P100Y":                       "2124-01-31T12:00:00Z",
		"PT0.0000000001S":             "2024-01-31T12:00:00Z",
		"P99Y11MT12H":                 "2124-01-01T00:00:00Z",
		"{days: 36599, hours: 23}":    "2124-04-16T11:00:00Z",
		`'${ "P" + "1M" }'`:           "2024-02-29T12:00:00Z",
		"{seconds: 1.0}":              "2024-01-31T12:00:01Z",
		"PT3600S":                     "2024-01-31T13:00:00Z",
		"P1DT":                        "mistake",
		"P1H":                         "mistake",
		"{seconds: '${ 1 }'}":         "mistake",
		`'${ .nosuch | unknown(1) }'`: "mistake",
	} {
		def, _ := Compile([]byte(head+"do: [{a: {wait: "+text+"}}]"), Limits{})
		if def == nil {
			if want != "mistake" {
				t.Errorf("%s is a mistake", text)
			}
			continue
		}
		got := "error"
		at, err := as[*workflow.WaitFor](t, def.Tasks["/do/0/a"]).Time.After(from, value(`{"minutes":15,"text":"P1D"}`), &workflow.Args{})
		if err == nil {
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	def := deploy(t, head+`
input:
  schema:
    document:
      type: object
      required: [id]
      properties:
        id: {type: string, pattern: '^[a-z]+$'}
        n: {type: integer, minimum: 1}
        items: {type: array, items: {$ref: '#/$defs/item'}}
      additionalProperties: false
      $defs:
        item: {type: object, properties: {price: {type: number, multipleOf: 0.01}, items: {type: array, items: {$ref: '#/$defs/item'}}}}
do: [{a: {set: {x: 1}}}]
`, Limits{})
	for in, want := range map[string]string{
		`{"id":"abc","n":5,"items":[{"price":1.25}]}`: "",
		`{"n":5}`:              "missing property 'id'",
		`{"id":5}`:             "at /id: got number, want string",
		`{"id":"A"}`:           "at /id: 'A' does not match pattern '^[a-z]+$'",
		`{"id":"a","x":1}`:     "additional properties 'x' not allowed",
		`{"id":"a","n":1e999}`: `the number "1e999" is too large or too small`,
		`{"id":"a","n":1e2}`:   "",
		`{"id":"a","n":0,"items":[{},{"price":"x"}]}`: "at /n: minimum: got 0, want 1; at /items/1/price: got string, want number",
		`[1]`: "got array, want object",
		`{"id":"a","n":` + strings.Repeat("9", 2000) + `}`: "a number has more than 1000 digits",
	} {
		got := ""
		if err := def.Input.Schema.Validate(value(in), nil); err != nil {
			got = err.Error()
		}
		// Properties are checked in no order.
		if got != want && (!strings.Contains(want, ";") || len(got) != len(want)) {
			t.Errorf("%s: %q, want %q", shorten(in, 80), got, want)
		}
	}
}

// TestLongValues: of a value that is too long to be told it is told what is wrong with it all the same.
func TestLongValues(t *testing.T) {
	t.Parallel()
	def := deploy(t, head+"input: {schema: {document: {properties: {a: {pattern: '^(a+)+$'}}}}}\ndo: [{a: {set: {x: 1}}}]\n", Limits{})
	for _, long := range []string{strings.Repeat("b", 100_000), strings.Repeat("ä", 100_000), strings.Repeat("bä€", 100)} {
		err := def.Input.Schema.Validate(value(`{"a":"`+long+`"}`), nil)
		if err == nil || !strings.HasSuffix(err.Error(), "does not match pattern '^(a+)+$'") || len(err.Error()) > 400 || !utf8.ValidString(err.Error()) {
			t.Errorf("%v", err)
		}
	}
	_, mistakes := Compile([]byte(head+"input: {schema: {document: {pattern: '"+strings.Repeat("a", maxPattern+1)+"'}}}\ndo: [{a: {set: {x: 1}}}]\n"), Limits{})
	if len(mistakes) != 1 || !strings.HasSuffix(mistakes[0].GetMessage(), "the regular expression has more than 10000 bytes: shorten it") {
		t.Errorf("%v", mistakes)
	}
}

// TestSchemaBombs checks schemas that double the work with each level: values that are small enough pass, others are
// refused at once.
func TestSchemaBombs(t *testing.T) {
	t.Parallel()
	var chain strings.Builder
	for i := range 40 {
		fmt.Fprintf(&chain, "        s%d: {allOf: [{$ref: '#/$defs/s%d'}, {$ref: '#/$defs/s%d'}]}\n", i, i+1, i+1)
	}
	for name, schema := range map[string]string{
		"same value": "$ref: '#/$defs/s0'\n      $defs:\n" + chain.String() + "        s40: {type: object}",
		"deeper":     "allOf: [{properties: {a: {$ref: '#'}}}, {properties: {a: {$ref: '#'}}}]",
		"not":        "not: {anyOf: [{properties: {a: {$ref: '#'}}, required: [b]}, {properties: {a: {$ref: '#'}}, required: [c]}]}",
	} {
		def := deploy(t, head+"input:\n  schema:\n    document:\n      "+schema+"\ndo: [{a: {set: {x: 1}}}]\n", Limits{})
		deep := strings.Repeat(`{"a":`, 60) + "{}" + strings.Repeat("}", 60)
		start := time.Now()
		err := def.Input.Schema.Validate(value(deep), nil)
		if err == nil || !strings.Contains(err.Error(), "too large or too deep") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if name == "deeper" {
			if err := def.Input.Schema.Validate(value(`{"a":{"a":{}}}`), nil); err != nil {
				t.Errorf("a small value is refused: %v", err)
			}
		}
	}
}

// TestFormats checks that formats count alike in all drafts.
func TestFormats(t *testing.T) {
	t.Parallel()
	for name := range drafts {
		def := deploy(t, head+`
input:
  schema:
    format: `+name+`
    document:
      properties:
        at: {type: string, format: date-time}
        mail: {format: email}
        pattern: {format: regex}
        number: {type: integer, format: int64}
        own: {format: msisdn}
do: [{a: {set: {x: 1}}}]
`, Limits{})
		for in, want := range map[string]string{
			`{"at":"2026-01-31T12:30:00Z","mail":"a@example.com","pattern":"^a+$","number":5,"own":"x"}`: "",
			`{"at":"2026-01-31"}`:   "at /at: '2026-01-31' is not valid date-time",
			`{"mail":"a"}`:          "at /mail: 'a' is not valid email",
			`{"mail":5,"number":5}`: "",
			`{"pattern":"("}`:       "at /pattern: '(' is not valid regex",
		} {
			got := ""
			if err := def.Input.Schema.Validate(value(in), nil); err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s: %s: %q, want %q", name, in, got, want)
			}
		}
	}
}
