package constructs

import (
	"context"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// times are cases of wait, and of timeouts at each level.
func times() []Case {
	late := &Fault{Type: "/timeout", Status: 408}
	return []Case{
		{Name: "wait", Input: `{"a": 1}`, Document: `
do:
- brief: {wait: {milliseconds: 200}}
- again: {wait: PT0.1S}
`, Want: Want{Output: `{"a":1}`, Path: "brief>again"}},
		{Name: "wait-expression", Input: `{"for": "PT0.1S"}`, Document: `
do:
- brief: {wait: '${ .for }'}
`, Want: Want{Output: `{"for":"PT0.1S"}`, Path: "brief"}},
		{Name: "timeout-of-call", Document: `
do:
- t:
    try: [{slow: {call: stub.put, with: {name: slow, takes: 600000}, timeout: {after: PT2S}}}]
    catch: {errors: {with: {status: 408}}, do: [{told: {set: {status: '${ $error.status }'}}}]}
`, Want: Want{Output: `{"status":408}`, Path: "t>slow>told", Perhaps: "interrupted slow"}},
		{Name: "timeout-of-wait", Document: `
do:
- long: {wait: PT1H, timeout: {after: {milliseconds: 200}}}
`, Want: Want{Fault: late, Path: "long"}},
		{Name: "timeout-of-do", Document: `
do:
- outer: {do: [{long: {wait: PT1H}}, {never: {set: {a: 1}}}], timeout: {after: PT0.2S}}
`, Want: Want{Fault: late, Path: "outer>long"}},
		{Name: "timeout-of-workflow", Document: `
timeout: {after: PT0.2S}
do:
- long: {wait: PT1H}
`, Want: Want{Fault: late}},
		{Name: "timeout-reusable", Input: `{"limit": "PT0.2S"}`, Document: `
use: {timeouts: {brief: {after: '${ .limit }'}}}
do:
- long: {wait: PT1H, timeout: brief}
`, Want: Want{Fault: late, Path: "long"}},
		// A node that is killed when the time is over does not know whether an adapter had it: the task is in doubt then.
		{Name: "start-within", Plain: true, Document: `
do:
- t:
    try: [{x: {call: nobody.there, metadata: {holdfast: {startWithin: PT0.2S}}}}]
    catch: {do: [{told: {set: {status: '${ $error.status }'}}}]}
`, Want: Want{Output: `{"status":408}`, Path: "t>x>told"}},
		{Name: "run-within", Document: `
do:
- t:
    try: [{x: {call: stub.put, with: {name: slow, takes: 600000}, metadata: {holdfast: {runWithin: PT0.2S}}}}]
    catch: {do: [{told: {set: {status: '${ $error.status }'}}}]}
`, Want: Want{Output: `{"status":408}`, Path: "t>x>told", Perhaps: "interrupted slow"}},
	}
}

// data are cases of input, output, export and schemas, and of what orders are accepted with.
func data() []Case {
	invalid := &Fault{Type: "/validation", Status: 400}
	return []Case{
		{Name: "input-and-output", Input: `{"a": {"n": 1}}`, Document: `
input: {from: .a}
output: {as: '${ {whole: .} }'}
do:
- s: {input: {from: '{m: .n}'}, set: {m: '${ .m + 1 }', raw: '${ $input.m }', context: '${ $context.n }'}, output: {as: '{left: .}'}}
`, Want: Want{Output: `{"whole":{"left":{"m":2,"raw":1,"context":1}}}`}},
		{Name: "input-schema", Input: `{"n": "x"}`, Document: `
input: {schema: {document: {type: object, properties: {n: {type: integer}}}}}
do: [{s: {set: {a: 1}}}]
`, Want: Want{Unfit: "n"}},
		{Name: "input-schema-of-task", Input: `{"n": "x"}`, Document: `
do: [{s: {input: {schema: {format: json, document: {type: object, properties: {n: {type: integer}}}}}, set: {a: 1}}}]
`, Want: Want{Fault: invalid}},
		{Name: "input-schema-elsewhere", Input: `{"n": 7}`, Document: `
input: {schema: {resource: {endpoint: 'https://shop.example.com/schema.json'}}}
do: [{s: {set: {n: '${ .n }'}}}]
`, Want: Want{Output: `{"n":7}`}},
		{Name: "output-schema", Document: `
do: [{s: {set: {a: 1}, output: {schema: {document: {type: object, required: [b]}}}}}]
`, Want: Want{Fault: invalid}},
		{Name: "output-schema-of-workflow", Document: `
output: {schema: {document: {type: object, required: [b]}}}
do: [{s: {set: {a: 1}}}]
`, Want: Want{Fault: invalid}},
		{Name: "export", Input: `{"n": 1}`, Document: `
do:
- a: {call: stub.apply, with: {name: a}, export: {as: '$context + {first: .done}'}}
- b: {call: stub.apply, with: {name: b}, export: {as: '${ $context + {second: $output.done} }'}}
- c: {set: '${ $context }'}
`, Want: Want{Output: `{"n":1,"first":"a","second":"b"}`, Did: did{"a", "b"}}},
		{Name: "export-schema", Document: `
do: [{s: {set: {a: 1}, export: {as: ., schema: {document: {type: object, required: [b]}}}}}]
`, Want: Want{Fault: invalid}},
		{Name: "expression-error", Input: `{"a": [1]}`, Document: `
do: [{s: {set: {b: '${ .a.b }'}}}]
`, Want: Want{Fault: &Fault{Type: "/expression", Status: 400}}},
		{Name: "accepted-with", Input: `{"who": "ada"}`, Document: `document:
  dsl: '1.0.3'
  namespace: NAMESPACE
  name: case
  version: '1.0.0'
  metadata: {holdfast: {orderKey: '${ .who }', priority: 3, labels: {customer: '${ .who }', channel: web}}}
do: [{s: {set: {a: 1}}}]
`, Labels: []string{"customer=ada", "channel=web"}, Want: Want{Output: `{"a":1}`}},
	}
}

// undoing are cases of compensation, and of the point of no return.
func undoing() []Case {
	const done = `
    - a:
        call: stub.apply
        with: {name: a}
        metadata: {holdfast: {compensate: {call: stub.apply, with: {name: '${ "undo " + .output.done }'}}}}
    - b: {call: stub.apply, with: {name: b}, metadata: {holdfast: {compensate: {call: stub.apply, with: {name: undo b}}}}}
`
	return []Case{
		{Name: "compensate", Document: `
do:
- t:
    try:` + done + `
    - c: {call: stub.apply, with: {name: c, times: 1, status: 404}}
    catch: {do: [{told: {set: {undone: true}}}]}
    metadata: {holdfast: {compensate: true}}
`, Want: Want{Output: `{"undone":true}`, Did: did{"a", "b", "failed c", "undo b", "undo a"}}},
		{Name: "compensate-and-retry", Document: `
do:
- t:
    try:` + done + `
    - c: {call: stub.apply, with: {name: c, times: 1, status: 503}}
    catch: {retry: {delay: PT0.1S}}
    metadata: {holdfast: {compensate: true}}
`, Want: Want{Output: `{"done":"c"}`, Did: did{"a", "b", "failed c", "undo b", "undo a", "a", "b", "c"}}},
		{Name: "cancel-with-compensation", Document: `
do:
- t:
    do:` + done + `
- long: {wait: PT1H}
`, Meanwhile: func(ctx context.Context, r *Running) error {
			if err := r.Happened(ctx, eventtype.WaitStarted, 1); err != nil {
				return err
			}
			return r.Cancel(ctx, true)
		}, Want: Want{Status: orderv1.Status_STATUS_CANCELLED, Did: did{"a", "b", "undo b", "undo a"}}},
		{Name: "point-of-no-return", Document: `
do:
- pay: {call: stub.apply, with: {name: pay}, metadata: {holdfast: {pointOfNoReturn: true}}}
- settle: {wait: PT5S}
- last: {call: stub.apply, with: {name: last}}
`, Meanwhile: func(ctx context.Context, r *Running) error {
			if err := r.Happened(ctx, eventtype.WaitStarted, 1); err != nil {
				return err
			}
			err := r.Cancel(ctx, true)
			if err == nil || !strings.Contains(err.Error(), "point of no return") {
				return unlike("behind the point of no return it is cancelled: %v", err)
			}
			return nil
		}, Want: Want{Output: `{"done":"last"}`, Path: "pay>settle>last", Did: did{"pay", "last"}}},
	}
}

// processes are cases of run.
func processes() []Case {
	const child = "document: {dsl: '1.0.3', namespace: NAMESPACE, name: child, version: '1.0.0'}\n" +
		"do: [{book: {call: stub.apply, with: {name: '${ .name }'}}}]\n"
	run := func(more string) string {
		return "do:\n- c: {run: {workflow: {namespace: NAMESPACE, name: child, version: '1.0.0', input: {name: '${ .n }'}}" + more + "}}\n"
	}
	return []Case{
		{Name: "run-workflow", Input: `{"n": "x"}`, Needs: []string{child}, Document: run(""), Want: Want{
			Output: `{"done":"x"}`, Path: "c", Did: did{"x"},
		}},
		{Name: "run-workflow-none", Input: `{"n": "x"}`, Needs: []string{child}, Document: run(", return: none"), Want: Want{
			Output: "null", Did: did{"x"},
		}},
		{
			Name: "run-workflow-no-await", Input: `{"n": "x"}`, Needs: []string{child}, Document: run(", await: false"),
			Meanwhile: func(ctx context.Context, r *Running) error { return r.Done(ctx, 1) },
			Want:      Want{Output: `{"n":"x"}`, Did: did{"x"}},
		},
		{Name: "run-shell", Input: `{"who": "Ada"}`, Document: `
do:
- s:
    run:
      shell:
        command: 'read -r line; echo "$1 $HOW $line"; echo seen >&2; exit 3'
        arguments: [hello]
        environment: {HOW: dear}
        stdin: '${ .who + "\n" }'
      return: all
`, Want: Want{Output: `{"code":3,"stdout":"hello dear Ada\n","stderr":"seen\n"}`, Path: "s"}},
		{Name: "run-shell-fails", Document: `
do: [{s: {run: {shell: {command: exit 3}}}}]
`, Want: Want{Fault: &Fault{Type: "/runtime", Status: 500}}},
		{Name: "run-shell-code", Document: `
do: [{s: {run: {shell: {command: exit 3}, return: code}}}]
`, Want: Want{Output: "3"}},
		{Name: "run-script", Document: `
do: [{s: {run: {script: {language: python, code: 'printf "%s" "$1"', arguments: [hello]}}}}]
`, Want: Want{Output: `"hello"`}},
		{Name: "run-script-elsewhere", Document: `
do: [{s: {run: {script: {language: python, source: {endpoint: 'https://shop.example.com/script'}}}}}]
`, Want: Want{Output: `"from elsewhere"`}},
		{Name: "run-container", Document: `
do:
- s:
    run:
      container: {image: hello-world, pullPolicy: never, name: '${ "case-" + "x" }', lifetime: {cleanup: always}}
`, Want: Want{Output: `"hello --pull never --name case-x --rm\n"`}},
	}
}

// schedules are cases of orders that come into being by themselves.
func schedules() []Case {
	return []Case{
		{Name: "schedule-cron", Comes: Triggered, Document: `
schedule: {cron: '0 0 1 1 *'}
do: [{a: {call: stub.apply, with: {name: a}}}]
`, Want: Want{Output: `{"done":"a"}`, Did: did{"a"}}},
		{Name: "schedule-every", Comes: ByItself, Plain: true, Document: `
schedule: {every: PT1S}
do: [{a: {call: stub.apply, with: {name: a}}}]
`, Want: Want{Output: `{"done":"a"}`, Did: did{"a"}}},
		{Name: "schedule-after", Comes: ByItself, Plain: true, Document: `
schedule: {after: {milliseconds: 1000}}
do: [{a: {call: stub.apply, with: {name: a}}}]
`, Want: Want{Output: `{"done":"a"}`, Did: did{"a"}}},
		{
			Name: "schedule-on-one", Comes: ByItself, Events: []Event{{Type: "e.one", Data: `{"n":1}`}}, Document: `
schedule: {on: {one: {with: {type: e.one}}}}
do: [{a: {call: stub.apply, with: {name: '${ "n\($workflow.input[0].data.n)" }'}}}]
`, Want: Want{Output: `{"done":"n1"}`, Did: did{"n1"}},
		},
		{
			Name: "schedule-on-all", Comes: ByItself, Events: []Event{{Type: "e.one", Data: `{"n":1}`}, {Type: "e.two", Data: `{"n":2}`}},
			Document: `
schedule: {on: {all: [{with: {type: e.one}}, {with: {type: e.two}}]}}
do: [{a: {set: {all: '${ [$workflow.input[].data.n] | sort }'}}}]
`, Want: Want{Output: `{"all":[1,2]}`},
		},
	}
}

// Longest is how long a case may take, however often its node is killed meanwhile: what listens for many orders commits much.
const Longest = 5 * time.Minute
