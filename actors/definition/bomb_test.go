package definition

import (
	"testing"
	"time"
)

// TestBombs evaluates expressions that would take all memory or time. Each must end soon, with an error.
func TestBombs(t *testing.T) {
	t.Parallel()
	for _, program := range bombs {
		start := time.Now()
		out, err := evalWith(t, Limits{Time: time.Second}, program, `{"list":[1,2,3],"s":"x"}`)
		took := time.Since(start)
		if err == nil {
			t.Errorf("%s: no error but %d bytes", program, len(out))
		}
		t.Logf("%s: %s, %v", program, took.Round(time.Millisecond), err)
		if took > 10*time.Second {
			t.Errorf("%s: took %s", program, took)
		}
	}
}

var bombs = []string{
	`"x" * 1e9`,
	`1e9 * "x"`,
	`reduce range(40) as $i ("x"; . + .)`,
	`reduce range(40) as $i ([1]; . + .)`,
	`reduce range(40) as $i ("x"; "\(.)\(.)")`,
	`reduce range(40) as $i ("x"; [., .] | add)`,
	`reduce range(40) as $i ("x"; [., .] | join(","))`,
	`reduce range(40) as $i (1; [., .])`,
	`reduce range(40) as $i (1; [., .]) | tojson`,
	`reduce range(40) as $i (1; [., .]) | error`,
	`reduce range(40) as $i (1; [., .]) | . == .`,
	`reduce range(40) as $i (1; [., .]) | flatten`,
	`reduce range(40) as $i (1; [., .]) | "\(.)"`,
	`reduce range(40) as $i (1; [., .]) | [., .] | sort`,
	`reduce range(40) as $i (1; [., .]) | [., .] | unique`,
	`reduce range(40) as $i (1; [., .]) | . - .`,
	`reduce range(40) as $i (1; [., .]) | contains(.)`,
	`reduce range(40) as $i (1; [., .]) | @base64`,
	`reduce range(40) as $i (1; [., .]) | [..] | length`,
	`reduce range(40) as $i (1; [., .]) | del(.[0])| tojson`,
	`reduce range(40) as $i ({}; {a: ., b: .}) | . * .`,
	`reduce range(40) as $i (10; . * .)`,
	`[foreach range(100000) as $i (1; . + .)] | length`,
	`[foreach range(100000) as $i (""; . + "x")] | length`,
	`[limit(1000000000; repeat(1))]`,
	`[range(1000000000)]`,
	`range(1000000000)`,
	`[repeat(.)]`,
	`def f: f; f`,
	`def f: 1 + f; f`,
	`def f: f, f; f`,
	`def f: [f]; f`,
	`def f(g): f(g | g); f(.)`,
	`def f: first(f); f`,
	`def f: path(f); f`,
	`[range(20000)] | [range(100) as $i | [paths]] | length`,
	`[range(20000)] | [.[] as $i | .[$i] = 0] | length`,
	`[range(2000)] | .[range(2000)] |= [range(2000)]`,
	`null | .[range(2000)][range(1000)] = 1 | tojson`,
	`[range(1000)] | reduce range(100000) as $i (.; .[$i % 1000] |= [., .])`,
	`[limit(300000; repeat({a: 1}))] | map(to_entries) | length`,
	`last(repeat(1))`,
	`until(false; .)`,
	`reduce repeat(1) as $x (0; 1)`,
	`[.[500000000] = 1]`,
	`[] | .[500000000] = 1`,
	`null | setpath([500000000]; 1)`,
	`[range(1000) as $i | null | .[65535] = 1] | length`,
	`reduce range(1000000) as $i (1; [.]) | tojson`,
	`reduce range(1000000) as $i (1; [[[[[[[[[[.]]]]]]]]]]) | length`,
	`reduce range(20000) as $i (1; [.]) | [paths] | length`,
	`[range(5000)] as $a | def f: $a[] | f; f`,
	`[range(5000)] as $a | def f: $a | map(f); f`,
	`[range(3000)] | [combinations(3)]`,
	`[range(100)] | [combinations(6)] | length`,
	`[range(20000)] | . - .`,
	`[range(20000)] | [.[] as $x | index($x)] | length`,
	`[range(3000)] | indices([range(1500)])`,
	`("x" * 100000) | [match(""; "g")] | length`,
	`("x" * 100000) | gsub(""; "yyyyyyyyyyyyyyyyyyyyy")| gsub(""; "yyyyyyyyyyyyyyyyyyyyy")`,
	`("x" * 1000000) | test("(((x{1,30}){1,30}){1,30})y")`,
	`"x" | test("((x{100}){100}){100}")`,
	`[range(100000) | tostring | test("a" + .)]`,
	`("x" * 1000000) | [range(1000) as $i | explode] | length`,
	`("%9999Y" * 100000) as $f | 0 | strftime($f)`,
	`[range(1000) | ("x" * 100000)] | length`,
	`[range(1000)] | [range(1000) as $i | .[$i] = 1 | .] | [.[] | tojson] | add`,
	`("9" * 100000) | tonumber`,
	`("9" * 100000) | fromjson`,
	`("[" * 20000) | fromjson`,
	`[range(2000)] | [range(2000) as $i | sort] | length`,
	`[range(2000) | [range(2000)]] | transpose | length`,
	`[range(1000) | {(tostring): 1}] | add | [range(1000) as $i | keys] | length`,
	`[range(1000) | {(tostring): 1}] | add | [range(1000) as $i | . + {x: $i}] | length`,
	`[limit(100000; repeat([range(1000)]))] | length`,
	`{} | [range(500) as $i | .["a\($i)"] = ("x" * 100000)] | length`,
	`[range(100000)] | [.[] |= .] | tojson | [range(100) as $i | fromjson] | length`,
}
