package definition

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/itchyny/gojq"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// eval compiles and evaluates one expression.
func eval(tb testing.TB, text, input string) (string, error) {
	tb.Helper()
	return evalWith(tb, Limits{}, text, input)
}

func evalWith(tb testing.TB, limits Limits, text, input string) (string, error) {
	tb.Helper()
	e, err := newPrograms(limits.WithDefaults()).compile(text, placeTaskExport, []string{"error"})
	if err != nil {
		return "", err
	}
	v, err := e.Eval(workflow.NewValue([]byte(input)), &workflow.Args{
		Context: workflow.NewValue([]byte(`{"c":1}`)),
		Vars:    []workflow.Var{{Name: "error", Value: workflow.NewValue([]byte(`{"status":503}`))}},
	})
	if err != nil {
		return "", err
	}
	return string(v.JSON()), nil
}

// TestSameAsJQ compares what expressions give with what the interpreter gives by itself: the budget must change nothing.
func TestSameAsJQ(t *testing.T) {
	t.Parallel()
	const input = `{"a":{"b":[1,2,{"c":"x"}],"n":null,"f":false},"s":"héllo wörld, hello","list":[3,1,2,1],"num":2.50,
		"big":123456789012345678901234567890,"items":[{"id":"p1","price":10,"tags":["a","b"]},{"id":"p2","price":5.5,"tags":[]}],
		"t":"2024-01-31T12:30:00Z","csv":[1,"a\"b",null,true],"deep":[[1,[2]],[3]]}`
	for program := range strings.Lines(samePrograms) {
		program = strings.TrimSpace(program)
		if program == "" {
			continue
		}
		got, err := eval(t, program, input)
		want, wantErr := reference(t, program, input)
		switch {
		case (err != nil) != wantErr:
			t.Errorf("%s: error %v, and by itself %v", program, err, wantErr)
		case err == nil && !sameJSON(t, got, want):
			t.Errorf("%s: %s, and by itself %s", program, got, want)
		}
	}
}

const samePrograms = `
.
.a
.a.b
.a.b[0]
.a.b[-1].c
.a.b[7]
.a["b"]
.["a"]
."a"
.a.x.y
.s.x
.list.x
.a[0]
.num
.big
.big + 1
.big * .big
-.big
"lit"
42
-1.5
null
true
1, 2
empty
.a.b | length
.items[]
[.items[] | .id]
.items | map(.price) | add
[.items[].tags[]]
{x: .a.b[0], "y": .s, (.s): 1, "z\(.num)": 2}
{a}
{"a"}
.list | sort
.list | unique
.list | group_by(. % 2)
.items | sort_by(.price)
.items | min_by(.price), max_by(.price)
[.items | min_by(.price), max_by(.price)]
.items | unique_by(.tags | length)
.list | min, max
[.list | min, max]
.list - [1]
.list + [4]
.a + {z: 1}
.a * {b: 2, n: {q: 1}}
"ab" * 3
3 * "ab"
"a,b" / ","
.s | split(" ")
.s | split("l+"; null)
.s | [splits("o")]
.s | test("WÖR"; "i")
.s | [match("l+"; "g")]
.s | [match("(?<first>h)(x)?"; "g")]
.s | capture("(?<a>h.)(?<b>l+)")
.s | [scan("l+")]
.s | [scan("(h)(.)")]
.s | sub("l+"; "L")
.s | gsub("l+"; "L")
.s | gsub("(?<x>[aeiouéö])"; "<\(.x)>")
.s | gsub("^"; ">")
.s | ascii_upcase
.s | ascii_downcase
.s | explode | implode
.s | ltrimstr("hé") | rtrimstr("lo")
.s | @base64 | @base64d
.s | @uri
.s | @html
.csv | @csv
.csv | @tsv
.csv | @sh
@json "x\(.a)y"
@text "x\(.list)y"
"\(.s)\(.num) \(.a.n)"
.a | tojson | fromjson
.num | tostring
"12.5" | tonumber
[.list[] | tostring] | join("-")
.csv[:2] | join("/")
.list | index(1), rindex(1)
[.list | index(1), rindex(1), indices(1), indices([2, 1])]
[.s | index("l"), rindex("l"), indices("l")]
.list | contains([3])
.s | contains("wör")
.a | contains({b: [1]})
[3] | inside([1, 2, 3])
.list | reverse
.a | keys
.list | keys
.a | to_entries
.a | to_entries | from_entries
.a | with_entries(.value |= type)
.a | map_values(type)
.list | map_values(. + 1)
.list | map_values(empty)
.a | map_values(select(. != null))
.deep | flatten
.deep | flatten(1)
[[1, 2], [3]] | transpose
[range(5)]
[range(2; 10; 3)]
[limit(3; repeat(1))]
[.list[] | select(. > 1)]
first(.list[])
last(.list[])
[nth(1; .list[])]
.list | nth(1)
.list | first, last
[.list | first, last]
[.[] | numbers, strings]
[.. | numbers]
[paths]
[paths(type == "number")]
[path(.a.b[])]
[path(..)]
getpath(["a", "b", 2, "c"])
setpath(["a", "z", 1]; 5)
setpath(["list", 1]; "x")
setpath(["list", -1]; "x")
setpath(["list", 6]; "x")
setpath(["list", {start: 1, end: 3}]; ["x"])
delpaths([["a", "b"], ["list", 0], ["list", 2]])
delpaths([["list", {start: 1, end: 3}]])
del(.a.b[0], .list[1:], .s)
del(.list[-1])
del(.nothing.at.all)
del(.s.x)
del(.)
del(.list[] | select(. == 1))
.a.b[0] = 9
.a.b[0] |= . + 1
.list[] += 1
.list[] |= . * 2
.list[] |= empty
.list[] = 7
.items[].tags[] = "t"
.list[] = (1, 2)
[.list[] = (1, 2)]
.list[:-0.5] = ["x"]
.list[-1.5:] = ["x"]
.list[nan:] = ["x"]
del(.list[1:][:2][1:])
del(.list[1:][0], .list[0])
del(.list[1:]["x"])
[setpath(["a"], ["b"]; 1, 2)]
[(-1, 0, 1e300) * ""]
.items[].price *= 2
.items[] |= del(.tags)
(.items[] | select(.id == "p1")).price = 0
.a.q //= 5
.a.n //= 5
.num -= 1
.num /= 2
.list[1:3] = ["x"]
.list[1:3] |= map(. + 1)
.s.x = 1
.list.x = 1
.a[0] = 1
(.a, .list)[0]? = 1
.. |= (if type == "number" then . + 1 else . end)
to_entries
pick(.a.b[0], .num)
[tostream]
fromstream(tostream)
[.a | tostream] | fromstream(.[])
[1 | truncate_stream(1; [[0], 1], [[1, 0], 2])]
reduce .list[] as $x (0; . + $x)
[foreach .list[] as $x (0; . + $x; [$x, .])]
. as {a: {b: [$x, $y]}, $num} | [$x, $y, $num]
. as {$a, s: $z} | [$a.n, $z]
.items[0] as {"id": $i, ("pr" + "ice"): $p} | [$i, $p]
[.items[] as {id: $i, $price} | {($i): $price}] | add
. as [$x] ?// {num: $x} | $x
def f(g; $x): g + $x; f(.num; 1)
def fac: if . <= 1 then 1 else . * (. - 1 | fac) end; 20 | fac
def length: 5; .s | length
def join(x): "mine"; .list | join(",")
def add: "mine"; [1, 2] | add
[.list[] as $x | .list[] as $y | $x * $y] | add
label $out | foreach .list[] as $x (0; . + $x; if . > 3 then ., break $out else empty end)
try error("x") catch .
try error({a: 1}) catch .a
[.[] | try (. + 1) catch "no"]
error("stop")
error({a: 1})
error(null)
.a?
.s.x?
[.s.x?]
.list[]?
[.s[]?]
.s[]
.a // "d"
.a.n // "d"
(.a.n, .a.f) // "d"
first(empty) // "d"
if .a.f then 1 elif .a.n then 2 else 3 end
if .a then "y" end
[.list[] | if . > 2 then "big" else "small" end]
.list | any(. > 2), all(. > 2)
[.list | any(. > 2), all(. > 2)]
[true, false] | any, all
[[true, false] | any, all]
[.list[] | . == 1]
.list == [3, 1, 2, 1]
.a < .list
"a" < "b"
[.a == .a, .a != .a, 1 <= 2, 2 >= 3, "a" > "b"]
.list[1:]
.list[:-1]
.s[1:4]
.s[-5:]
.list[.list[1]]
.[.s[0:0] + "num"]
.list[1, 2]
[.list[1, 2]]
.list | walk(if type == "number" then . + 1 else . end)
walk(if type == "object" then del(.tags) else . end)
[[1, 2], [3, 4]] | [combinations]
[[0, 1] | combinations(2)]
.t | fromdate
.t | strptime("%Y-%m-%dT%H:%M:%SZ") | mktime
1706704200 | todate
1706704200 | strftime("%A, %B %d, %Y")
1706704200.5 | gmtime
[1, 2.5, -3] | map(floor)
[4, 9] | map(sqrt)
pow(2; 10)
[1, 4] | bsearch(4)
[.items[] | {id}] | INDEX(.id)
.items | INDEX(.id, .price)
.items | INDEX(empty)
.items | INDEX(.tags[])
INDEX(.items[]; .id, "x")
.items | group_by(.id, .price)
.items | unique_by(.price, .id)
.items | sort_by(.price, .id)
.items | min_by(.price, .id)
.items | map_values(.id, .price)
.items[0] | with_entries(., .key += "x")
.items | [JOIN(INDEX(.id); .[]; .id)]
[IN(.list[]; 1, 2)]
.list | IN([3, 1, 2, 1])
[JOIN({"1": "one"}; .list[]; tostring)]
.list | isempty(.[])
[.list[] | not]
.list | tojson
@json
@base64
ltrimstr(1)
.s | trim
"  x " | ltrim, rtrim
["  x " | ltrim, rtrim]
.s | startswith("h")
[splits("a")]
.s | utf8bytelength
[.[] | type]
.list | has(1)
has("a")
1 as $x | 2 as $y | [$x, $y, $x + $y]
(1, 2) + (10, 20)
[(1, 2) + (10, 20)]
[(1, 2) * (3, 4)]
[(1, 2) < (2, 1)]
[.a, .b] == [(.a, .b)]
$context
$context.c
$context.c + 1
$error.status
[$error, $context]
[., 1] | .[1]
.a.b as [$x] | $x
[1, [2]] | getpath([1, 0])
{} | .a.b.c = 1
null | .[2] = 1
[] | .[1] += 1
[limit(0; 1, 2)]
[skip(1; 1, 2, 3)]
[until(. > 100; 5)]
1 | [until(. > 100; . * 2)]
1 | [while(. < 100; . * 2)]
[1 | recurse(if . < 3 then . + 1 else empty end)]
2 | [recurse(if . < 20 then . * . else empty end; . < 20)]
[1, null, 2] | map(values)
{"a": [1, 2]} | .a[1] as $x | $x
ascii_downcase
nan < 1
[nan] | sort
infinite
[1, 1.0, 1e2, 0.1]
1.000
[.num, .num + 0]
"\u00e9\n\t\"\\"
.["s"] | length
."s"
.a."b"[0]
.a | .["b"] | .[0]
..
[..] | length
add
.list | add(. [])
add(.list[])
[.items[] | .price] | add / length
.items | map(select(.tags | length > 0) | .id)
.items | map({(.id): .price}) | add
.items | map(.price > 6) | any
.items | [.[] | .tags | join("+")]
.items[0] | "\(.id): \(.price)"
. as $dot | .list | map($dot.num + .)
.s | ascii
limit(1; .list[])
.csv | map(tojson) | join(" ")
splits
toarray
getpath(["a", 0])
.a | del(.b, .n)
tojson | length
[.deep[] | .[0]]
.deep[0][1][0]
.list | to_entries | map(.key)
`

// reference evaluates a program without rewriter and budget.
func reference(t *testing.T, program, input string) (string, bool) {
	t.Helper()
	q, err := gojq.Parse(program)
	if err != nil {
		return "", true
	}
	code, err := gojq.Compile(q, gojq.WithVariables([]string{"$context", "$error"}))
	if err != nil {
		return "", true
	}
	var in any
	d := json.NewDecoder(strings.NewReader(input))
	d.UseNumber()
	if err := d.Decode(&in); err != nil {
		t.Fatal(err)
	}
	iter := code.Run(in, map[string]any{"c": 1}, map[string]any{"status": 503})
	v, ok := iter.Next()
	if !ok {
		return "", true
	}
	if _, isErr := v.(error); isErr {
		return "", true
	}
	if _, more := iter.Next(); more {
		return "", true
	}
	out, err := gojq.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), false
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	decode := func(s string) any {
		var v any
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return v
	}
	return gojq.Compare(decode(a), decode(b)) == 0
}
