package definition

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// deploy compiles a document that must be right.
func deploy(tb testing.TB, document string, limits Limits) *workflow.Definition {
	tb.Helper()
	def, mistakes := Compile([]byte(document), limits)
	for _, m := range mistakes {
		tb.Errorf("%d:%d %s: %s", m.GetLine(), m.GetColumn(), m.GetPath(), m.GetMessage())
	}
	if def == nil {
		tb.FailNow()
	}
	return def
}

const head = "document: {dsl: '1.0.3', namespace: test, name: eval, version: '1.0.0'}\n"

func value(s string) *workflow.Value { return workflow.NewValue([]byte(s)) }

func TestKindsOfExpression(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		".":                   "identity",
		" . ":                 "identity",
		".a":                  "path",
		".a.b[0].c":           "path",
		`.["a-b"]."c"`:        "path",
		".[-1]":               "path",
		"$context":            "path",
		"$context.a":          "path",
		"$input.a[1]":         "path",
		"$error.status":       "path",
		"$workflow.id":        "path",
		"$workflow.input.a":   "path",
		"$task.input":         "path",
		"$task.name":          "path",
		"1":                   "constant",
		"-1.5":                "constant",
		`"x"`:                 "constant",
		"null":                "constant",
		"true":                "constant",
		".a[]":                "program",
		".a?":                 "program",
		".a[1:]":              "program",
		".a + 1":              "program",
		"$workflow.startedAt": "program",
		"$runtime.name":       "program",
		`.["\(.a)"]`:          "program",
		"[1]":                 "program",
	} {
		e, err := newPrograms(Limits{}.WithDefaults()).compile(text, placeTaskExport, []string{"error"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", e), "*"), "definition.")
		if got != want {
			t.Errorf("%s is a %s, want a %s", text, got, want)
		}
	}
}

// TestPathsOnBytes checks what jq would never see: how paths deal with the bytes themselves.
func TestPathsOnBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, in, want string }{
		{".a", `{"a":1,"a":2}`, "2"},
		{".a", `{"\u0061":1}`, "1"},
		{`."é"`, `{"\u00e9":1}`, "1"},
		{".a", " {\n\t\"b\" : [1,{\"a\":9}] , \"a\" : { \"x\" : 1 } } ", `{ "x" : 1 }`},
		{".a.b", `{"a":{"b":1e400}}`, "1e400"},
		{".a", `{"a":"}]\"{"}`, `"}]\"{"`},
		{".a", `null`, "null"},
		{".a.b", `{"a":null}`, "null"},
		{".b", `{"a":1}`, "null"},
		{".[1]", `[1, [2] ,3]`, "[2]"},
		{".[-1]", `[1,2,3]`, "3"},
		{".[-4]", `[1,2,3]`, "null"},
		{".[3]", `[1,2,3]`, "null"},
		{".[0]", `[]`, "null"},
		{".a", `5`, "error"},
		{".a", `"a"`, "error"},
		{".a", `[1]`, "error"},
		{".[0]", `{"a":1}`, "error"},
		{".[0]", `true`, "error"},
		{".a", `{"a":`, "error"},
		{".a", `{"a"`, "error"},
		{".a", `{`, "error"},
		{".[1]", `[1`, "error"},
		{".[1]", `[1,`, "error"},
		{".a", ``, "null"},
	} {
		got, err := eval(t, c.path, c.in)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s on %s: %s (%v), want %s", c.path, c.in, got, err, c.want)
		}
	}
}

func TestIdentityByPointer(t *testing.T) {
	t.Parallel()
	p := newPrograms(Limits{}.WithDefaults())
	in := value(`{"a":1}`)
	args := &workflow.Args{Context: value(`[1]`), Input: value(`2`)}
	for text, want := range map[string]*workflow.Value{".": in, "$context": args.Context, "$input": args.Input} {
		e, err := p.compile(text, placeTaskExport, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Eval(in, args); err != nil || got != want {
			t.Errorf("%s doesn't give the same value back: %v", text, err)
		}
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	def := deploy(t, head+`
do:
  - a:
      set:
        z: ${ .name }
        plain: text ${ .name } text
        a: [1, 2.50, true, ~, "${ .list }", {deep: "${ .n + 1 }"}]
        "key ${ .name }": x
        empty: {}
  - b: {set: '${ .list }'}
  - c: {set: {constant: [1, {a: "é\n"}]}}
`, Limits{Result: 1000})
	in := value(`{"name":"A\u00e9","list":[1, 2],"n":12345678901234567890}`)
	for ref, want := range map[string]string{
		"/do/0/a": `{"z":"A\u00e9","plain":"text ${ .name } text","a":[1,2.50,true,null,[1, 2],{"deep":12345678901234567891}],` +
			`"key ${ .name }":"x","empty":{}}`,
		"/do/1/b": `[1, 2]`,
		"/do/2/c": `{"constant":[1,{"a":"é\n"}]}`,
	} {
		got, err := as[*workflow.Set](t, def.Tasks[ref]).Value.Eval(in, &workflow.Args{})
		if err != nil || string(got.JSON()) != want {
			t.Errorf("%s: %s, %v\nwant %s", ref, got.JSON(), err, want)
		}
	}
	if _, err := as[*workflow.Set](t, def.Tasks["/do/0/a"]).Value.Eval(value(`{"name":"`+strings.Repeat("x", 1000)+`"}`), &workflow.Args{}); err == nil {
		t.Error("a result beyond the limit was no error")
	}
	deep := strings.Repeat("[", 64) + strings.Repeat("]", 64)
	if _, err := as[*workflow.Set](t, def.Tasks["/do/0/a"]).Value.Eval(value(`{"list":`+deep+`}`), &workflow.Args{}); err == nil {
		t.Error("a result nested too deep was no error")
	}
	if ok, err := as[*workflow.Set](t, def.Tasks["/do/2/c"]).Value.Bool(in, nil); err != nil || !ok {
		t.Error("an object doesn't hold")
	}
}

func TestBool(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"true": true, "false": false, "null": false, "0": true, `""`: true, "[]": true, "{}": true,
		".t": true, ".f": false, ".n": false, ".missing": false, ".": true, ".f or .t": true, ".f and .t": false, ".o": true,
		".t | not": false, ".o | .x": false,
	} {
		e, err := newPrograms(Limits{}.WithDefaults()).compile(text, placeTask, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Bool(value(`{"t":true,"f":false,"n":null,"o":{}}`), &workflow.Args{})
		if err != nil || got != want {
			t.Errorf("%s: %t, %v, want %t", text, got, err, want)
		}
	}
}

func TestDescriptors(t *testing.T) {
	t.Parallel()
	def := deploy(t, head+`
do:
  - first:
      set: {x: 1}
      output:
        as: '[$task.name, $task.reference, $task.definition.set.x, $task.input, $task.output, $task.startedAt]'
      export:
        as: '[$workflow.id, $workflow.definition.document.name, $workflow.input, $workflow.startedAt.epoch, $output, $runtime]'
`, Limits{Runtime: "1.2.3"})
	task := def.Tasks["/do/0/first"]
	at := time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	args := &workflow.Args{
		Output:   value(`"out"`),
		Task:     &workflow.TaskArg{Task: task, Input: value(`"raw in"`), Output: value(`"raw out"`), StartedAt: at.UnixNano()},
		Workflow: workflow.WorkflowArg{ID: "order-1", Definition: def, Input: value(`{"w":1}`), StartedAt: at.UnixNano()},
	}
	for _, c := range []struct {
		e    workflow.Expr
		want string
	}{
		{task.Output.As, `["first","/do/0/first",1,"raw in","raw out",` +
			`{"epoch":{"milliseconds":1709204400123,"seconds":1709204400},"iso8601":"2024-02-29T11:00:00.123456789Z"}]`},
		{task.Export.As, `["order-1","eval",{"w":1},{"milliseconds":1709204400123,"seconds":1709204400},"out",` +
			`{"metadata":{},"name":"holdfast","version":"1.2.3"}]`},
	} {
		got, err := c.e.Eval(value(`null`), args)
		if err != nil || string(got.JSON()) != c.want {
			t.Errorf("%s, %v\nwant %s", got.JSON(), err, c.want)
		}
	}
}

// TestTogether checks that what is evaluated at once for a task is bounded together: steps, and what templates read.
func TestTogether(t *testing.T) {
	t.Parallel()
	const half = "[range(1000)] | length"
	limits := Limits{Steps: 6000}.WithDefaults()
	e, err := newPrograms(limits).compile(half, placeTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &workflow.Meter{}
	for i, want := range []string{"", "with what was evaluated for the task just before, it took too many steps", "just before"} {
		if _, err := e.Eval(value("{}"), &workflow.Args{Meter: m}); want == "" && err != nil || want != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("evaluation %d: %v, want %q", i, err, want)
		}
	}
	if _, err := e.Eval(value("{}"), &workflow.Args{Meter: &workflow.Meter{}}); err != nil {
		t.Errorf("for another task: %v", err)
	}
	var paths strings.Builder
	for i := range 300 {
		fmt.Fprintf(&paths, "p%d: '${ .a%d }', ", i, i)
	}
	large := value(`{"x":"` + strings.Repeat("x", 10_000) + `"}`)
	for set, in := range map[string]*workflow.Value{
		"a: '${ " + half + " }', b: '${ " + half + " + 1 }'": value("{}"), paths.String(): large,
	} {
		def := deploy(t, head+"do: [{a: {set: {"+set+"}}}]\n", limits)
		_, err := as[*workflow.Set](t, def.Do.Tasks[0]).Value.Eval(in, &workflow.Args{Meter: &workflow.Meter{}})
		if err == nil || !strings.Contains(err.Error(), "too many steps") {
			t.Errorf("%.60s: %v", set, err)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	clock := time.Unix(0, 0)
	ticking := func() time.Time {
		clock = clock.Add(time.Millisecond)
		return clock
	}
	for name, c := range map[string]struct {
		text   string
		limits Limits
		want   string
	}{
		"steps":       {"[range(100)]", Limits{Steps: 100}, "too many steps"},
		"memory":      {`"x" * 100`, Limits{Memory: 50}, "too much memory"},
		"time":        {"[range(10000)]", Limits{Time: 5 * time.Millisecond, Now: ticking}, "took too long"},
		"result":      {`"x" * 100`, Limits{Result: 50}, "more than 50 bytes"},
		"escaped":     {`"\u0001" * 20`, Limits{Result: 50}, "more than 50 bytes"},
		"depth":       {"[[[[1]]]]", Limits{ResultDepth: 3}, "more than 3 deep"},
		"no value":    {"empty", Limits{}, "no value"},
		"many values": {"1, 2", Limits{}, "more than one value"},
		"late error":  {`1, error("x")`, Limits{}, "x"},
		"raised":      {`error({a: 1})`, Limits{}, `{"a":1}`},
		"caught":      {`try ("x" * 100) catch "caught"`, Limits{Memory: 50}, "too much memory"},
		"long number": {".n + 1", Limits{}, "1000 digits"},
		"in variable": {"[$context.n]", Limits{}, "1000 digits"},
	} {
		p := newPrograms(c.limits.WithDefaults())
		e, err := p.compile(c.text, placeTaskExport, nil)
		if err != nil {
			t.Fatal(err)
		}
		long := value(`{"pad":"` + strings.Repeat("x", 500) + `","n":` + strings.Repeat("9", 5000) + `}`)
		if _, err = e.Eval(long, &workflow.Args{Context: long}); c.want != "1000 digits" {
			_, err = e.Eval(value(`{}`), &workflow.Args{Context: value(`{}`)})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if err := (Limits{}).Validate(); err != nil {
		t.Error(err)
	}
	err := Limits{Steps: -1, Result: -1, Depth: 5000}.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("not all mistakes were told: %v", err)
	}
}

func TestExpressionsLimit(t *testing.T) {
	t.Parallel()
	document := head + "do:\n"
	for i := range 10 {
		document += fmt.Sprintf("  - t%d: {set: {a: '${ .x + %d }', b: '${ .same + 1 }', c: '${ .path }'}}\n", i, i)
	}
	if def, m := Compile([]byte(document), Limits{Expressions: 11}); def == nil {
		t.Errorf("equal expressions and paths count: %v", m)
	}
	if def, _ := Compile([]byte(document), Limits{Expressions: 10}); def != nil {
		t.Error("the limit of expressions was not kept")
	}
}

// TestConcurrent evaluates the same expressions from many goroutines, as the instances of a definition do.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const document = head + `
do:
  - a:
      set:
        doc: ${ $workflow.definition | del(.do) | .document.name }
        m: ${ .s | gsub("(?<x>[a-z])"; "<\(.x)>") }
        dynamic: '${ [.s, "a"] | map(. as $re | "abc" | test($re)) }'
        sorted: ${ .list | sort_by(-.) | map_values(. + 1) }
        constant: {a: [1]}
`
	def := deploy(t, document, Limits{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				args := &workflow.Args{Workflow: workflow.WorkflowArg{Definition: def}}
				v, err := as[*workflow.Set](t, def.Tasks["/do/0/a"]).Value.Eval(value(`{"s":"ab","list":[1,3,2]}`), args)
				const want = `{"doc":"eval","m":"<a><b>","dynamic":[true,true],"sorted":[4,3,2],"constant":{"a":[1]}}`
				if err != nil || string(v.JSON()) != want {
					t.Errorf("%s, %v", v.JSON(), err)
				}
			}
			if def, m := Compile([]byte(document), Limits{}); def == nil {
				t.Errorf("can't be compiled again: %v", m)
			}
		})
	}
	group.Wait()
	if document, ok := def.Document.(map[string]any); !ok || document["do"] == nil {
		t.Error("an expression changed the document")
	}
}

func TestPatternsAreForgotten(t *testing.T) {
	t.Parallel()
	p := newPrograms(Limits{}.WithDefaults())
	e, err := p.compile(`[range(1000) | tostring as $re | "x" | test($re)] | any`, placeTask, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Eval(value(`null`), &workflow.Args{}); err != nil {
		t.Fatal(err)
	}
	if n := len(p.patterns.compiled); n > maxPatterns {
		t.Errorf("%d regular expressions are kept", n)
	}
}

// TestResultAgain checks that a result decoded again is the same as the one at hand: an order that is reloaded must go
// on as it would have.
func TestResultAgain(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"nan", "infinite", "-infinite", "[nan]", `{a: (1/3)}`, "1e1000", "pow(2; 70)", `"\u0000é"`, `"/+8=" | @base64d`,
		"[1, 1.5, -0, 1e17, 123456789012345678901234567890]", ".n", ".n + 0.5",
	} {
		e, err := newPrograms(Limits{}.WithDefaults()).compile(text, placeTask, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Eval(value(`{"n":1.50}`), &workflow.Args{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		live, err := v.Any()
		if err != nil {
			t.Fatal(err)
		}
		again, err := value(string(v.JSON())).Any()
		if err != nil {
			t.Fatal(err)
		}
		for _, next := range []string{"tojson", ". == .", "[., 1] | tojson", `"\(.)"`} {
			e, err := newPrograms(Limits{}.WithDefaults()).compile(next, placeTask, nil)
			if err != nil {
				t.Fatal(err)
			}
			a, err1 := e.Eval(workflow.NewDecoded(v.JSON(), live), &workflow.Args{})
			b, err2 := e.Eval(workflow.NewDecoded(v.JSON(), again), &workflow.Args{})
			if err1 != nil || err2 != nil || string(a.JSON()) != string(b.JSON()) {
				t.Errorf("%s | %s: %s live, %s decoded again", text, next, a.JSON(), b.JSON())
			}
		}
	}
}

// TestLargeDocuments compiles documents as large as allowed: time must grow with the size, not with its square.
func TestLargeDocuments(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, unit := range map[string]string{
		"numbers": "1,", "objects": `{"a":"b"},`,
	} {
		many := strings.TrimSuffix(strings.Repeat(unit, (size-300)/len(unit)), ",")
		for _, document := range []string{
			`{"document":{"dsl":"1.0.3","namespace":"a","name":"b","version":"1.0.0","metadata":{"x":[` + many +
				`]}},"do":[{"a":{"set":{"x":1}}}]}`,
			head + "do: [{a: {set: {x: 1}, metadata: {x: [" + many + "]}}}]",
		} {
			start := time.Now()
			if def, m := Compile([]byte(document), Limits{}); def == nil {
				t.Errorf("%s: %v", name, m)
			}
			if took := time.Since(start); took > 60*time.Second {
				t.Errorf("%s: took %s", name, took)
			}
		}
	}
	if _, m := Compile(make([]byte, size+1), Limits{}); len(m) != 1 || !strings.Contains(m[0].GetMessage(), "bytes") {
		t.Errorf("too large: %v", m)
	}
	if _, m := Compile([]byte("a: \"\xff\""), Limits{}); len(m) != 1 || m[0].GetColumn() != 5 {
		t.Errorf("bad UTF-8: %v", m)
	}
}
