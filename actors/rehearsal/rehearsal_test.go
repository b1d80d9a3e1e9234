package rehearsal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	const nothing = ""
	tests := map[string]struct {
		want, found string
		subset      bool
		differences string // lines
	}{
		"the same":              {`{"a":[1,"x",null,true]}`, `{"a": [1.0, "x", null, true]}`, false, nothing},
		"numbers":               {`[1e2, 0.1, 89490200001234567890]`, `[100, 1e-1, 89490200001234567891]`, false, "/2: expected 89490200001234567890, found 89490200001234567891"},
		"small numbers":         {`1e-400`, `1e-401`, false, "the value: expected 1e-400, found 1e-401"},
		"numbers without end":   {`[1e1000000000]`, `[1e1000000001]`, false, nothing}, // beyond what is told apart
		"a text is no number":   {`"1"`, `1`, false, `the value: expected "1", found 1`},
		"null is not nothing":   {`{"a":null}`, `{}`, false, "/a: expected null, found nothing"},
		"more":                  {`{"a":1}`, `{"a":1,"b/c":{"d":[]}}`, false, `/b~1c: expected nothing, found {"d":[]}`},
		"more is in the subset": {`{"a":{"b":1}}`, `{"a":{"b":1,"c":2},"d":3}`, true, nothing},
		"a list is as long":     {`[{"a":1}]`, `[{"a":1,"b":2},{}]`, true, "/1: expected nothing, found {}"},
		"other kinds":           {`{"a":[1],"b":{"c":1},"d":1}`, `{"a":{},"b":[],"d":"<"}`, true, "/a: expected [1], found {}\n/b: expected {\"c\":1}, found []\n/d: expected 1, found \"<\""},
		"many":                  {`{}`, `[` + strings.Repeat("1,", 30) + `1]`, false, "the value: expected {}, found [" + strings.Repeat("1,", 30) + "1]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Comparison{[]byte(test.want), test.subset}
			if got := strings.Join(c.differences([]byte(test.found)), "\n"); got != test.differences {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.differences)
			}
		})
	}
	many := (&Comparison{Value: []byte(`[]`)}).differences([]byte(`[` + strings.Repeat("1,", 29) + `1]`))
	if len(many) != mostDifferences+1 || many[mostDifferences] != "and 10 more differences" {
		t.Errorf("of 30 differences, these are told: %v", many)
	}
	if got := (*Comparison)(nil).differences([]byte("1")); got != nil {
		t.Errorf("what is not looked at differs: %v", got)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for want, d := range map[string]time.Duration{
		"PT0S": 0, "P1D": day, "PT1H": time.Hour, "P30DT7H2M5S": 30*day + 7*time.Hour + 2*time.Minute + 5*time.Second,
		"PT0.1S": 100 * time.Millisecond, "PT10S": 10 * time.Second, "PT1M0.000000001S": time.Minute + 1,
	} {
		if got := Text(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	var all []*workflow.Definition
	for _, version := range []string{"1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"} {
		all = append(all, &workflow.Definition{Ref: messages.DefinitionRef{Namespace: "a", Name: "b", Version: version}})
	}
	all = append(all, &workflow.Definition{Ref: messages.DefinitionRef{Namespace: "a", Name: "c", Version: "1.0.0-rc.1"}})
	d := NewDefinitions(all...)
	for ref, want := range map[string]string{
		"a/b": "1.10.0", "a/b:latest": "1.10.0", "a/b:1.9.0": "1.9.0", "a/b:2.0.0-rc.1": "2.0.0-rc.1", "a/b:3.0.0": "", "a/c": "1.0.0-rc.1", "a/d": "",
	} {
		parsed, err := messages.ParseDefinitionRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if def := d.Find(parsed); def != nil {
			got = def.Ref.Version
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
}

// fuzzTime is how long one file may take, however slow the machine.
const fuzzTime = 10 * time.Second

// FuzzRead: no file of cases makes Read or Run panic, or take long; either there are cases or there are mistakes, with places within the file.
func FuzzRead(f *testing.F) {
	transcripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(transcripts) == 0 {
		f.Fatal("no files to begin with")
	}
	for _, name := range transcripts {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(text), "\n\n") {
			verb, rest, _ := strings.Cut(part, "\n")
			cases, _, _ := strings.Cut(rest, "\n----")
			if strings.HasPrefix(verb, "cases") {
				f.Add([]byte(cases))
			}
		}
	}
	def, mistakes := definition.Compile([]byte(`
document: { dsl: '1.0.3', namespace: test, name: test, version: '1.0.0' }
do:
- create: { call: hss.create, metadata: { holdfast: { compensate: { call: hss.delete } } } }
- bill: { run: { workflow: { namespace: test, name: child, version: 1.0.0 } } }
- number: { call: http, with: { method: get, endpoint: "https://example.com" } }
- hear: { listen: { to: { one: { with: { type: paid } } } }, timeout: { after: PT1H } }
- saga:
    try: [ { late: { call: a.b, timeout: { after: PT1M }, metadata: { holdfast: { runWithin: PT10S, startWithin: PT20S } } } } ]
    catch: { retry: { delay: PT1S, limit: { attempt: { count: 2 } } } }
`), definition.Limits{})
	if len(mistakes) > 0 {
		f.Fatal(mistakes)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		start := time.Now()
		limits := Limits{Steps: 1000}
		cases, mistakes := Read(document, def, NewDefinitions(def), limits)
		if (len(cases) == 0) == (len(mistakes) == 0) {
			t.Errorf("%d cases and %d mistakes", len(cases), len(mistakes))
		}
		for _, m := range mistakes {
			if lines := strings.Count(string(document), "\n") + strings.Count(string(document), "\r") + 2; m.GetMessage() == "" ||
				int(m.GetLine()) > lines+strings.Count(string(document), "\u0085")+strings.Count(string(document), "\u2028")+strings.Count(string(document), "\u2029") {
				t.Errorf("mistake at line %d of %d: %q", m.GetLine(), lines, m.GetMessage())
			}
		}
		for _, c := range cases[:min(len(cases), 5)] {
			r := Run(c, def, NewDefinitions(def), limits)
			for _, failure := range r.Failures {
				if failure.What == "" {
					t.Errorf("case %q fails, and does not say why", c.Name)
				}
			}
		}
		if took := time.Since(start); took > fuzzTime {
			t.Errorf("it took %v", took)
		}
	})
}
