package main

import (
	"fmt"
	"strings"
)

// What is said of an expression that takes too much.
var (
	muchSteps  = []string{"too many steps", "too much memory", "took too long"}
	muchMemory = []string{"too much memory", "too many steps", "more than 1048576 bytes"}
	muchDeep   = []string{"nests more than", "too much memory", "too many steps"}
)

// evilPrograms are expressions that are refused when they are deployed.
func evilPrograms() []*evil {
	of := func(name, expression string) *evil {
		return refusedFor(name, oneTask(expression), "nests more than", "more than the 16384", "too deep")
	}
	deep := func(name, expression string) *evil {
		return &evil{name: name, document: oneTask(expression), input: []byte("{}"), says: muchDeep, allowed: true}
	}
	return []*evil{
		of("an expression of 900 KiB", strings.Repeat("1+", 450<<10)+"1"),
		of("brackets that nest", nested(8000, "(", "1", ")")),
		of("lists that nest in an expression", nested(8000, "[", "1", "]")),
		of("pipes that nest", strings.Repeat(".|", 8000)+"."),
		of("sums that nest", strings.Repeat("1+", 8000)+"1"),
		deep("signs that nest", strings.Repeat("-", 16_000)+"1"),
		of("texts that nest", nested(3000, `"\(`, "1", `)"`)),
		deep("branches that nest", nested(700, "if . then 1 else ", "1", " end")),
		deep("functions that nest", nested(900, "def f: ", "1", "; f")),
		of("tries that nest", strings.Repeat("try ", 4000)+"1"),
		deep("reductions that nest", nested(600, "reduce . as $x (0; ", "1", ")")),
	}
}

// evilEvaluations are expressions that are deployed, and take too much when they are evaluated. At the scale ci there are fewer.
func evilEvaluations(s *site) []*evil {
	var all []*evil
	of := func(says []string, expressions ...string) {
		for _, e := range expressions {
			all = append(all, &evil{name: "the expression " + e, document: oneTask(e), input: []byte(`{"list":[1,2,3],"s":"x"}`), says: says})
		}
	}
	of(muchSteps, `[repeat(1)]`, `last(range(1e12))`, `[limit(1e9; repeat(1))]`, `until(false; .)`, `def f: f; f`,
		`("x" * 1000000) | test("(((x{1,9}){1,9}){1,9})y")`)
	of(muchMemory, `"x" * 1e9`, `[range(1e12)]`, `reduce range(40) as $i ("x"; . + .)`, `[[] | .[500000000] = 1]`, `[range(1000000)]`)
	of(muchDeep, `reduce range(1000000) as $i (1; [.])`)
	of([]string{"repeat count"}, `("x" * 1000000) | test("(((x{1,30}){1,30}){1,30})y")`)
	of([]string{"max depth"}, `("[" * 20000) | fromjson`)
	if s.ci() {
		return all
	}
	of(muchSteps, `def f: 1 + f; f`, `def f: f, f; f`, `def f(g): f(g | g); f(.)`, `def f: path(f); f`, `reduce repeat(1) as $x (0; 1)`,
		`[range(3000)] | [combinations(3)]`, `[range(20000)] | [.[] as $x | index($x)] | length`, `[range(20000)] | [range(100) as $i | [paths]]`)
	of(muchMemory, `reduce range(40) as $i (1; [., .]) | tojson`, `reduce range(40) as $i ([1]; . + .)`,
		`[range(1000) | ("x" * 100000)] | length`,
		`[foreach range(100000) as $i (""; . + "x")] | length`, `("x" * 100000) | gsub(""; "yyyyyyyyyyyyyyyyy") | gsub(""; "yyyyyyyyyyyyyyyyy")`,
		`[range(20000)] | [.[] as $i | .[$i] = 0] | length`, `[range(2000) | [range(2000)]] | transpose | length`)
	return all
}

// evilInputs are definitions and orders that take too much in other ways than by one expression.
func evilInputs(maxEvents int) []*evil {
	long := func(size int) []byte { return []byte(`{"s":"` + strings.Repeat("x", size) + `"}`) }
	twice := []byte(`{` + strings.Repeat(`"a":1,`, 100_000) + `"a":1}`)
	tooLong := []string{"limit of", "larger than"}
	return []*evil{
		{name: "an input of 5 MiB", document: tasks, input: long(5 << 20), says: tooLong},
		{name: "an input of 32 MiB", document: tasks, input: long(32 << 20), says: tooLong},
		{name: "an input that nests", document: tasks, input: []byte(nested(200_000, "[", "1", "]")), says: []string{"max depth"}},
		{name: "an input that nests less", document: tasks, input: []byte(nested(5000, "[", "1", "]")), says: []string{"limit of 64"}},
		{name: "an input with a name twice", document: tasks, input: twice, says: []string{"twice"}},
		{
			name: "an input of 100,000 names", document: tasks, input: []byte(`{` + lines(50_000, `"a%d":1,`) + `"a":1}`), allowed: true,
		},
		{
			name: "a number of 100,000 digits", document: oneTask(".n + 1"), input: []byte(`{"n":` + strings.Repeat("9", 100_000) + `}`),
			says: []string{"digits", "too large"},
		},
		{
			name: "a loop through too much", document: "do:\n- a: {for: {in: 'range(1e12)'}, do: [{b: {set: {c: 1}}}]}", input: []byte("{}"),
			says: append([]string{"more than one value"}, muchMemory...),
		},
		{
			name:     "a loop through more than a history has room for",
			document: fmt.Sprintf("do:\n- a: {for: {in: '[range(%d)]'}, do: [{b: {set: {c: 1}}}]}", maxEvents), input: []byte("{}"),
			says: []string{fmt.Sprintf("more than %d events", maxEvents)},
		},
		{
			name: "a loop that goes through much at a time", input: []byte("{}"), says: []string{fmt.Sprintf("more than %d events", maxEvents)},
			document: fmt.Sprintf("do:\n- a: {for: {in: '[range(%d)]'}, do: [{b: {wait: PT1S}}], metadata: {holdfast: {parallel: 1000}}}",
				maxEvents),
		},
		{
			name: "texts that add up", input: long(900_000), says: []string{"more than 1048576 bytes"},
			document: "do:\n- a: {set: {t: '${ .s + .s }'}}",
		},
		{
			name: "steps that add up", input: []byte("{}"), says: muchSteps,
			document: "do:\n- a:\n    set:\n" + lines(900, "      p%d: '${ [range(100000)] | length + %[1]d }'"),
		},
	}
}
