package constructs

import (
	"slices"
	"strings"
)

// Cases has a case for each construct of the language, and for each of its properties that changes what an order does. Each is in a
// namespace of its own.
func Cases() []Case {
	all := slices.Concat(
		flow(), directives(), loops(), failures(), retries(), times(), data(), undoing(), processes(), requests(), events(), schedules(),
	)
	for i := range all {
		c := &all[i]
		replace := strings.NewReplacer("NAMESPACE", c.Name, "COMMUNICATION", communication)
		c.Document = replace.Replace(c.Document)
		if !strings.HasPrefix(c.Document, "document:") {
			c.Document = "document: {dsl: '1.0.3', namespace: " + c.Name + ", name: case, version: '1.0.0'}\n" + strings.TrimPrefix(c.Document, "\n")
		}
		for n, need := range c.Needs {
			c.Needs[n] = replace.Replace(need)
		}
	}
	return all
}

// communication is the type of the errors of stubs.
const communication = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"

type did = []string

// flow are cases of do, set, switch and if.
func flow() []Case {
	return []Case{
		{Name: "do", Document: `
do:
- outer:
    do:
    - a: {call: stub.apply, with: {name: a}}
    - b: {call: stub.apply, with: {name: b}}
- c: {call: stub.apply, with: {name: c}}
`, Want: Want{Output: `{"done":"c"}`, Path: "outer>a>b>c", Did: did{"a", "b", "c"}}},
		{Name: "set", Input: `{"a": 1}`, Document: `
do:
- s: {set: {sum: '${ .a + 1 }', text: plain, list: ['${ .a }', 2], inner: {a: '${ .a }'}}}
`, Want: Want{Output: `{"sum":2,"text":"plain","list":[1,2],"inner":{"a":1}}`, Path: "s"}},
		{Name: "set-expression", Input: `{"a": 1}`, Document: `
do:
- s: {set: '${ {b: .a, by: $workflow.definition.document.name, of: $task.name} }'}
`, Want: Want{Output: `{"b":1,"by":"case","of":"s"}`}},
		{Name: "switch-case", Input: `{"n": 11}`, Document: switching, Want: Want{
			Output: `{"done":"big"}`, Path: "choose>big", Did: did{"big"},
		}},
		{Name: "switch-default", Input: `{"n": 1}`, Document: switching, Want: Want{
			Output: `{"done":"small"}`, Path: "choose>small", Did: did{"small"},
		}},
		{Name: "switch-none", Input: `{"n": 1}`, Document: `
do:
- choose: {switch: [{big: {when: .n > 10, then: end}}], then: last}
- passed: {call: stub.apply, with: {name: passed}}
- last: {call: stub.apply, with: {name: last}}
`, Want: Want{Output: `{"done":"last"}`, Path: "choose>last", Did: did{"last"}}},
		{Name: "if", Input: `{"go": false}`, Document: `
do:
- passed: {if: .go, call: stub.apply, with: {name: passed}, then: end}
- last: {if: '${ .go == false }', call: stub.apply, with: {name: last}}
`, Want: Want{Output: `{"done":"last"}`, Path: "last", Did: did{"last"}}},
	}
}

// directives are cases of what comes next after a task, of extensions and of the mode of expressions.
func directives() []Case {
	return []Case{
		{Name: "then-continue", Document: `
do:
- a: {call: stub.apply, with: {name: a}, then: continue}
- b: {call: stub.apply, with: {name: b}}
`, Want: Want{Output: `{"done":"b"}`, Path: "a>b", Did: did{"a", "b"}}},
		{Name: "then-exit", Document: `
do:
- outer:
    do:
    - a: {call: stub.apply, with: {name: a}, then: exit}
    - b: {call: stub.apply, with: {name: b}}
- c: {call: stub.apply, with: {name: c}}
`, Want: Want{Output: `{"done":"c"}`, Path: "outer>a>c", Did: did{"a", "c"}}},
		{Name: "then-end", Document: `
do:
- outer:
    do:
    - a: {call: stub.apply, with: {name: a}, then: end}
    - b: {call: stub.apply, with: {name: b}}
- c: {call: stub.apply, with: {name: c}}
`, Want: Want{Output: `{"done":"a"}`, Path: "outer>a", Did: did{"a"}}},
		{Name: "then-back", Document: `
do:
- start: {set: {n: 0}}
- more: {call: stub.apply, with: {name: '${ "n\(.n)" }', value: {n: '${ .n + 1 }'}}}
- again: {switch: [{yes: {when: .n < 3, then: more}}, {no: {then: end}}]}
- never: {call: stub.apply, with: {name: never}}
`, Want: Want{Output: `{"n":3}`, Path: "start>more>again>more>again>more>again", Did: did{"n0", "n1", "n2"}}},
		{Name: "then-of-composite", Document: `
do:
- outer: {do: [{a: {call: stub.apply, with: {name: a}}}], then: c}
- b: {call: stub.apply, with: {name: b}}
- c: {call: stub.apply, with: {name: c}}
`, Want: Want{Output: `{"done":"c"}`, Path: "outer>a>c", Did: did{"a", "c"}}},
		{Name: "extensions", Document: `
use:
  extensions:
  - log:
      extend: call
      when: $task.name != "quiet"
      before: [{tell: {call: stub.apply, with: {name: '${ "before " + $task.name }'}}}]
      after: [{tell: {call: stub.apply, with: {name: '${ "after " + $task.name }'}}}]
do:
- loud: {call: stub.apply, with: {name: loud}}
- quiet: {call: stub.apply, with: {name: quiet, value: '${ . }'}}
`, Want: Want{Output: `{"done":"loud"}`, Did: did{"before loud", "loud", "after loud", "quiet"}}},
		{Name: "extension-in-place", Document: `
use:
  extensions:
  - mock:
      extend: call
      when: $task.with.name == "real"
      before: [{mocked: {set: {mocked: true}, then: exit}}]
do:
- a: {call: stub.apply, with: {name: real}}
- b: {call: stub.apply, with: {name: b, value: '${ . }'}}
`, Want: Want{Output: `{"mocked":true}`, Did: did{"b"}}},
		{Name: "loose", Input: `{"a": 1}`, Document: `
evaluate: {mode: loose}
do:
- s: {set: {sum: .a + 1, text: no expression}}
`, Want: Want{Output: `{"sum":2,"text":"no expression"}`}},
	}
}

// switching is a definition with a choice.
const switching = `
do:
- choose: {switch: [{big: {when: .n > 10, then: big}}, {other: {then: small}}]}
- big: {call: stub.apply, with: {name: big}, then: end}
- small: {call: stub.apply, with: {name: small}}
`

// loops are cases of for and fork.
func loops() []Case {
	return []Case{
		{Name: "for", Input: `{"lines": ["a", "b", "c"]}`, Document: `
do:
- lines:
    for: {each: line, in: .lines, at: n}
    while: $n < 2
    do:
    - book: {call: stub.apply, with: {name: '${ "\($line) \($n)" }', value: {sum: '${ (.sum // 0) + 1 }'}}}
`, Want: Want{Output: `{"sum":2}`, Path: "lines>book>book", Did: did{"a 0", "b 1"}}},
		{Name: "for-default-names", Input: `["a", "b"]`, Document: `
do:
- lines:
    for: {in: .}
    do:
    - book: {call: stub.apply, with: {name: '${ "\($item) \($index)" }'}}
`, Want: Want{Output: `{"done":"b 1"}`, Did: did{"a 0", "b 1"}}},
		{Name: "for-none", Input: `{"lines": []}`, Document: `
do:
- lines: {for: {in: .lines}, do: [{book: {call: stub.apply, with: {name: a}}}]}
`, Want: Want{Output: `{"lines":[]}`, Path: "lines"}},
		{Name: "for-exit", Input: `{"lines": ["a", "b"]}`, Document: `
do:
- lines:
    for: {each: line, in: .lines}
    do:
    - book: {call: stub.apply, with: {name: '${ $line }'}, then: exit}
    - never: {call: stub.apply, with: {name: never}}
`, Want: Want{Output: `{"done":"b"}`, Path: "lines>book>book", Did: did{"a", "b"}}},
		{Name: "for-parallel", Input: `{"lines": ["a", "b", "c"]}`, Document: `
do:
- lines:
    for: {each: line, in: .lines}
    do: [{book: {call: stub.apply, with: {name: '${ $line }'}}}]
    metadata: {holdfast: {parallel: 2}}
`, Want: Want{
			Output: `[{"done":"a"},{"done":"b"},{"done":"c"}]`, Beside: true, Path: "lines>book>book>book", Did: did{"a", "b", "c"},
		}},
		{Name: "fork", Document: `
do:
- both:
    fork:
      branches:
      - a: {call: stub.apply, with: {name: a}}
      - b: {do: [{c: {call: stub.apply, with: {name: c}}}, {d: {call: stub.apply, with: {name: d}}}]}
`, Want: Want{Output: `[{"done":"a"},{"done":"d"}]`, Beside: true, Path: "both>a>b>c>d", Did: did{"a", "c", "d"}}},
		{Name: "fork-compete", Document: `
do:
- both: {fork: {compete: true, branches: [{slow: {wait: PT1H}}, {quick: {call: stub.apply, with: {name: quick}}}]}}
`, Want: Want{Output: `{"done":"quick"}`, Beside: true, Path: "both>slow>quick", Did: did{"quick"}}},
		{Name: "fork-error", Document: `
do:
- both: {fork: {branches: [{slow: {wait: PT1H}}, {bad: {call: stub.apply, with: {name: bad, times: 1, status: 404}}}]}}
`, Want: Want{Fault: &Fault{Type: "/communication", Status: 404}, Did: did{"failed bad"}}},
	}
}

// missing is a task that fails once.
const missing = `{call: stub.apply, with: {name: x, times: 1, status: 404}}`

// retries are cases of retry.
func retries() []Case {
	retried := func(name, retry string) Case {
		return Case{Name: name, Document: `
do:
- t:
    try: [{x: {call: stub.apply, with: {name: x, times: 2, status: 503}}}]
    catch: {errors: {with: {type: COMMUNICATION, status: 503}}, retry: ` + retry + `}
`, Want: Want{Output: `{"done":"x"}`, Path: "t>x>x>x", Did: did{"failed x", "failed x", "x"}}}
	}
	return []Case{
		retried("retry-constant", "{delay: PT0.1S, backoff: {constant: {}}, limit: {attempt: {count: 2}}}"),
		retried("retry-linear", "{delay: PT0.1S, backoff: {linear: {}}, jitter: {from: PT0S, to: PT0.05S}}"),
		retried("retry-exponential", "{delay: {milliseconds: 100}, backoff: {exponential: {}}, limit: {duration: PT10M}}"),
		retried("retry-when", "{when: $error.status == 503, delay: PT0.1S, limit: {attempt: {count: 2, duration: PT10M}}}"),
		{Name: "retry-reusable", Document: `
use: {retries: {soon: {delay: PT0.1S, limit: {attempt: {count: 2}}}}}
do:
- t:
    try: [{x: {call: stub.apply, with: {name: x, times: 1, status: 503}}}]
    catch: {retry: soon}
`, Want: Want{Output: `{"done":"x"}`, Path: "t>x>x", Did: did{"failed x", "x"}}},
		{Name: "retry-limit", Document: `
do:
- t:
    try: [{a: {call: stub.apply, with: {name: a}}}, {x: {call: stub.apply, with: {name: x, times: 9, status: 503}}}]
    catch:
      retry: {delay: PT0.1S, limit: {attempt: {count: 1}}}
      do: [{told: {set: {status: '${ $error.status }'}}}]
`, Want: Want{Output: `{"status":503}`, Path: "t>a>x>a>x>told", Did: did{"a", "failed x", "a", "failed x"}}},
		{Name: "retry-except-when", Document: `
do:
- t:
    try: [{x: ` + missing + `}]
    catch: {retry: {exceptWhen: $error.status == 404, delay: PT0.1S}, do: [{told: {set: {a: 1}}}]}
`, Want: Want{Output: `{"a":1}`, Path: "t>x>told", Did: did{"failed x"}}},
	}
}

// failures are cases of try, catch and raise.
func failures() []Case {
	return []Case{
		{Name: "try-catch", Document: `
do:
- t:
    try: [{x: ` + missing + `}]
    catch:
      errors: {with: {status: 404}}
      as: e
      do: [{told: {set: {was: '${ $e.status }', at: '${ $e.instance }'}}}]
`, Want: Want{Output: `{"was":404,"at":"/do/0/t/try/0/x"}`, Path: "t>x>told", Did: did{"failed x"}}},
		{Name: "try-catch-nothing", Input: `{"a": 1}`, Document: `
do:
- t: {try: [{x: ` + missing + `}], catch: {}}
`, Want: Want{Output: `{"a":1}`, Path: "t>x", Did: did{"failed x"}}},
		{Name: "try-not-caught", Document: `
do:
- t: {try: [{x: ` + missing + `}], catch: {errors: {with: {status: 500}}, do: [{never: {set: {a: 1}}}]}}
`, Want: Want{Fault: &Fault{Type: "/communication", Status: 404}, Path: "t>x", Did: did{"failed x"}}},
		{Name: "catch-when", Document: `
do:
- t: {try: [{x: ` + missing + `}], catch: {when: $error.status == 404, do: [{told: {set: {a: 1}}}]}}
`, Want: Want{Output: `{"a":1}`, Path: "t>x>told", Did: did{"failed x"}}},
		{Name: "catch-except-when", Document: `
do:
- t: {try: [{x: ` + missing + `}], catch: {exceptWhen: $error.status == 404, do: [{never: {set: {a: 1}}}]}}
`, Want: Want{Fault: &Fault{Type: "/communication", Status: 404}, Path: "t>x", Did: did{"failed x"}}},
		{Name: "try-in-try", Document: `
do:
- outer:
    try: [{inner: {try: [{x: ` + missing + `}], catch: {errors: {with: {status: 500}}}}}]
    catch: {do: [{told: {set: {status: '${ $error.status }'}}}]}
`, Want: Want{Output: `{"status":404}`, Path: "outer>inner>x>told", Did: did{"failed x"}}},
		{Name: "raise", Input: `{"n": 7}`, Document: `
do:
- bad:
    raise:
      error:
        type: https://example.com/errors/no-credit
        status: 402
        title: No credit
        detail: '${ "of \(.n)" }'
`, Want: Want{Path: "bad", Fault: &Fault{Type: "https://example.com/errors/no-credit", Status: 402, Title: "No credit", Detail: "of 7"}}},
		{Name: "raise-reusable", Document: `
use: {errors: {none: {type: 'urn:example:none', status: 404, title: None}}}
do:
- t:
    try: [{bad: {raise: {error: none}}}]
    catch: {errors: {with: {type: 'urn:example:none'}}, do: [{told: {set: {title: '${ $error.title }'}}}]}
`, Want: Want{Path: "t>bad>told", Output: `{"title":"None"}`}},
	}
}
