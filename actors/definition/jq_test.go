package definition

import (
	"os"
	"strings"
	"testing"
)

// TestAsJQ compares with what jq 1.8 gave.
func TestAsJQ(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/jq-1.8")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for c := range strings.SplitSeq(string(text), "\n\n") {
		program, want, ok := strings.Cut(strings.TrimSpace(c), "\n")
		if strings.HasPrefix(program, "# ") || !ok {
			continue
		}
		cases++
		got, err := eval(t, "["+program+"]", "null")
		switch {
		case err != nil && want != "error":
			t.Errorf("%s: %v, want %s", program, err, want)
		case err == nil && (want == "error" || !sameJSON(t, got, want)):
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
	if cases < 300 {
		t.Errorf("there are only %d cases", cases)
	}
}

// TestNotAsJQ is the list of what differs from jq 1.8 on purpose, which docs/language.md gives the reasons for.
func TestNotAsJQ(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ program, want, jq string }{
		// Objects have no order.
		{`{"b":1,"a":2} | keys_unsorted`, `["a","b"]`, `["b","a"]`},
		{`{"b":1,"a":2} | [.[]]`, `[2,1]`, `[1,2]`},
		{`{"b":1,"a":2} | [to_entries[].key]`, `["a","b"]`, `["b","a"]`},
		{`{"b":1,"a":2} | [paths]`, `[["a"],["b"]]`, `[["b"],["a"]]`},
		{`{"b":1,"a":2} | tojson`, `"{\"a\":2,\"b\":1}"`, `"{\"b\":1,\"a\":2}"`},
		{`{"b":1,"a":2} | [..]`, `[{"a":2,"b":1},2,1]`, `[{"b":1,"a":2},1,2]`},
		{`{"b":1,"a":2} | [tostream]`, `[[["a"],2],[["b"],1],[["b"]]]`, `[[["b"],1],[["a"],2],[["a"]]]`},
		// Integers are exact.
		{`9007199254740993 + 0`, `9007199254740993`, `9007199254740992`},
		{`100000000000000000000 + 1`, `100000000000000000001`, `1e+20`},
		// Numbers are written as JavaScript does.
		{`1e-7 + 0 | tostring`, `"1e-7"`, `"1e-07"`},
		{`1e17 + 0 | tostring`, `"100000000000000000"`, `"1e+17"`},
		{`[1.50]`, `[1.5]`, `[1.50]`},
		// An offset from UTC counts.
		{`"2015-03-05T23:51:47+0100" | strptime("%Y-%m-%dT%H:%M:%S%z") | mktime`, `1425595907`, `1425599507`},
		{`"2015-03-05T23:51:47+01:00" | fromdate`, `1425595907`, `error`},
		{`"10:20" | strptime("%H:%M") | .[0]`, `1900`, `1970`},
		// Text of errors.
		{`try (1 | .a) catch .`, `"expected an object but got: number (1)"`, `"Cannot index number with string (\"a\")"`},
		{`try ("s" | .[0]) catch .`, `"can't take an element or property of the string \"s\": a list or an object was expected"`, ``},
		// What is left out, or was added.
		{`"nan" | tonumber`, `error`, `null`},
		{`"test" | test("T"; "ix")`, `error`, `true`},
		{`{"a": 1} | {"\("a")"}`, `error`, `{"a":1}`},
		{`[1, 2] | .[[2]]`, `error`, `[1]`},
		{`{"a": [1]} | [leaf_paths]`, `[["a",0]]`, `error`},
		{`uuid`, `error`, ``},
		{`env`, `error`, ``},
		{`input_line_number`, `error`, ``},
	} {
		got, err := eval(t, c.program, "null")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", c.program, got, err, c.want)
		}
		if got == c.jq {
			t.Errorf("%s: as in jq by now: move it to the cases that don't differ", c.program)
		}
	}
	got, err := eval(t, "[\n  $__loc__.line, # $__loc__\n\"$__loc__ \\({$__loc__}.__loc__\n.line)\", if true then 1 elif $__loc__ then 2 else 3 end,\n$__loc__.line]", "null")
	if err != nil || got != `[2,"$__loc__ 3",1,5]` {
		t.Errorf("lines are %s, %v", got, err)
	}
	if got, err := eval(t, `[5, -0.5, 1] | map(gamma) | map(. * 1000 | round)`, "null"); err != nil || got != "[3178,1266,0]" {
		t.Errorf("gamma: %s, %v", got, err)
	}
}
