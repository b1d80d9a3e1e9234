package definition

import (
	"maps"
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// TestCompensation: a compensation is a list of its own, which no task contains, and a task that operators can name.
func TestCompensation(t *testing.T) {
	t.Parallel()
	def := deploy(t, head+`
use:
  functions:
    create:
      call: hss.create
      metadata: {holdfast: {compensate: {do: [{delete: {call: hss.delete, with: {id: '${ .output.id }'}}}]}}}
do:
  - a: {try: [{x: {call: create}}], catch: {}, metadata: {holdfast: {compensate: true}}}
`, Limits{})
	x := def.Tasks["/do/0/a/try/0/x/call/0/create"]
	if x.Parent != def.Tasks["/do/0/a/try/0/x"] || len(x.Compensate.Tasks) != 1 {
		t.Fatalf("the call is %+v", x)
	}
	undo := x.Compensate.Tasks[0]
	if undo.Ref != x.Ref+"/metadata/holdfast/compensate" || def.Tasks[undo.Ref] != undo {
		t.Errorf("the compensation is known as %s", undo.Ref)
	}
	if undo.Name != "compensate" || undo.In != x.Compensate || undo.Index != 0 || undo.Parent != nil ||
		!maps.Equal(undo.In.ByName, map[string]int{"compensate": 0}) {
		t.Errorf("the compensation stands at %s %v %d %v", undo.Name, undo.In, undo.Index, undo.Parent)
	}
	if raw, ok := undo.Raw.(map[string]any); !ok || raw["do"] == nil {
		t.Errorf("the compensation is written as %v", undo.Raw)
	}
	inner := def.Tasks[undo.Ref+"/do/0/delete"]
	if inner == nil || inner.Parent != undo {
		t.Fatalf("the task inside is %+v", inner)
	}
	with, err := as[*workflow.Call](t, inner).With.Eval(value(`{"input":{},"output":{"id":7}}`), &workflow.Args{})
	if err != nil || string(with.JSON()) != `{"id":7}` {
		t.Errorf("the activity gets %s, %v", with.JSON(), err)
	}
	if want := []string{"hss.create", "hss.delete"}; !slices.Equal(def.Activities, want) {
		t.Errorf("the activities are %v", def.Activities)
	}
	if !as[*workflow.Try](t, def.Tasks["/do/0/a"]).Compensate {
		t.Error("the try doesn't compensate")
	}
}

// TestRunExpressions: the input of a child, and its order key, are made from the task's input.
func TestRunExpressions(t *testing.T) {
	t.Parallel()
	def := deploy(t, head+`
do:
  - a:
      run: {workflow: {namespace: shop, name: bill, version: latest, input: {of: '${ .customer }', n: 1}}}
      metadata: {holdfast: {orderKey: '${ "bill-" + .customer }'}}
  - b:
      run: {workflow: {namespace: shop, name: bill, version: latest, input: '${ .customer }'}, await: false}
      metadata: {holdfast: {orderKey: ''}}
  - c: {run: {workflow: {namespace: shop, name: bill, version: latest}}}
`, Limits{})
	for ref, want := range map[string][2]string{
		"/do/0/a": {`{"of":"joe","n":1}`, `"bill-joe"`},
		"/do/1/b": {`"joe"`, `""`},
		"/do/2/c": {"", ""},
	} {
		run := as[*workflow.Run](t, def.Tasks[ref])
		for i, e := range []workflow.Expr{run.Input, run.OrderKey} {
			if e == nil {
				if want[i] != "" {
					t.Errorf("%s has no expression %d", ref, i)
				}
				continue
			}
			v, err := e.Eval(value(`{"customer":"joe"}`), &workflow.Args{})
			if err != nil || string(v.JSON()) != want[i] {
				t.Errorf("%s: expression %d makes %s, %v, want %s", ref, i, v.JSON(), err, want[i])
			}
		}
		if run.Definition.String() != "shop/bill:latest" || run.Detached != (ref == "/do/1/b") {
			t.Errorf("%s runs %+v", ref, run)
		}
	}
}

// as returns the kind of a task, which must be K.
func as[K workflow.Kind](tb testing.TB, task *workflow.Task) K {
	tb.Helper()
	k, ok := task.Kind.(K)
	if !ok {
		tb.Fatalf("%s is a %T, not a %T", task.Ref, task.Kind, k)
	}
	return k
}
