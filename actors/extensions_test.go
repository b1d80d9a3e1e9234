package actors_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// started are the tasks that an order has entered, in order, but for those that only hold others.
func (n *node) started(id string) []string {
	n.t.Helper()
	var out []string
	for _, ev := range n.history(id) {
		if e, is := ev.GetKind().(*journalv1.Event_TaskStarted); is && !strings.HasSuffix(e.TaskStarted.GetTask(), "/extensions") {
			out = append(out, e.TaskStarted.GetTask())
		}
	}
	return out
}

// Extensions have tasks run around those of a kind, which change nothing of what goes through; unless they end the extended task, which
// is passed over then. That keeps its reference, and goes on where it says.
func TestExtensions(t *testing.T) {
	t.Parallel()
	const seen = "use: {extensions: [{note: {extend: set, when: '$task.name != \"quiet\"', " +
		"before: [{b: {set: '${ $task.reference }', export: {as: '$context + {n: ($context.n + 1), last: .}'}}}], " +
		"after: [{a: {switch: [{x: {when: '.v == 1', then: c}}]}}, {never: {set: {x: 1}}}, {c: {set: {y: 1}}}]}}]}\n"
	const mocked = "use: {extensions: [{mock: {extend: wait, when: '.mock', before: [{m: {set: {mocked: true}, then: exit}}], after: [{a: {set: {x: 1}}}]}}]}\n"
	for name, test := range map[string]struct{ doc, input, output, started string }{
		"transparent": {
			doc:   seen + "do: [{one: {set: {v: 1}}}, {two: {set: '${ . + {w: 2} }', then: quiet}}, {no: {set: {x: 1}}}, {quiet: {set: '${ {v, w, c: $context} }'}}]",
			input: `{"n":0}`, output: `{"c":{"last":"/do/1/two","n":2},"v":1,"w":2}`,
			started: "/do/0/one/extensions/note/before/0/b /do/0/one /do/0/one/extensions/note/after/0/a /do/0/one/extensions/note/after/2/c " +
				"/do/1/two/extensions/note/before/0/b /do/1/two /do/1/two/extensions/note/after/0/a /do/1/two/extensions/note/after/2/c /do/3/quiet",
		},
		"mocked": {
			doc: mocked + "do: [{w: {wait: PT1H}}, {s: {set: '${ . + {end: true} }'}}]", input: `{"mock":true}`, output: `{"end":true,"mocked":true}`,
			started: "/do/0/w/extensions/mock/before/0/m /do/1/s",
		},
		"not mocked": {
			doc: mocked + "do: [{w: {wait: PT1S}}, {s: {set: '${ . + {end: true} }'}}]", input: `{"mock":false}`, output: `{"end":true,"mock":false}`,
			started: "/do/0/w /do/1/s",
		},
		"in branches, and where a condition does not hold": {
			doc: "use: {extensions: [{e: {extend: all, before: [{b: {set: {x: 1}}}]}}]}\n" +
				"do: [{f: {fork: {branches: [{x: {set: {x: 1}, if: 'false'}}, {y: {do: [{z: {set: '${ . }'}}]}}]}}}]",
			input: `5`, output: `[5,5]`,
			started: "/do/0/f/extensions/e/before/0/b /do/0/f /do/0/f/fork/branches/1/y/extensions/e/before/0/b /do/0/f/fork/branches/1/y " +
				"/do/0/f/fork/branches/1/y/do/0/z/extensions/e/before/0/b /do/0/f/fork/branches/1/y/do/0/z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				n.mustSubmit(order{id: "a", def: n.deploy("e", test.doc), input: test.input})
				n.sleep(2 * time.Second)
				n = n.crash()
				n.wantOutput("a", test.output)
				if got := n.started("a"); !slices.Equal(got, strings.Fields(test.started)) {
					t.Errorf("it went through\n%s\nwant\n%s", strings.Join(got, "\n"), strings.ReplaceAll(test.started, " ", "\n"))
				}
			})
		})
	}
}
