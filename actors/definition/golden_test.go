package definition_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// TestGolden compiles the documents in testdata. The verb says what of the result is shown:
//
//	compile            mistakes, or the tasks with their kinds
//	do [limit=n]       the same for a list of tasks, within a minimal document
//	resource [base64]  the next documents have this resource: its first line is "# " and its address
//	request            what the adapters of the calls of a document get: its first line is "# " and the input of each
func TestGolden(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		t.Helper()
		resources := make(map[string][]byte)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			document := d.Input
			switch d.Cmd {
			case "resource":
				address, content, _ := strings.Cut(document, "\n")
				resources[strings.TrimPrefix(address, "# ")] = []byte(content)
				if d.HasArg("base64") {
					decoded, err := base64.StdEncoding.DecodeString(content)
					if err != nil {
						t.Fatal(err)
					}
					resources[strings.TrimPrefix(address, "# ")] = decoded
				}
				return ""
			case "compile", "request":
			case "do":
				document = "document: {dsl: '1.0.3', namespace: test, name: golden, version: '1.0.0'}\ndo:\n" + d.Input
			default:
				t.Fatalf("no such verb: %s", d.Cmd)
			}
			limits := definition.Limits{}
			if d.HasArg("tasks") {
				d.ScanArgs(t, "tasks", &limits.Tasks)
			}
			if d.HasArg("depth") {
				d.ScanArgs(t, "depth", &limits.Depth)
			}
			if d.HasArg("expression") {
				d.ScanArgs(t, "expression", &limits.Expression)
			}
			whole, err := messages.WithResources([]byte(document), resources)
			if err != nil {
				t.Fatal(err)
			}
			def, mistakes := definition.Check(whole, limits)
			if d.Cmd == "request" && def != nil {
				first, _, _ := strings.Cut(document, "\n")
				return show(nil, mistakes) + requests(def, strings.TrimPrefix(first, "# "))
			}
			return show(def, mistakes)
		})
	})
}

func show(def *workflow.Definition, mistakes []*definitionv1.Mistake) string {
	var b strings.Builder
	for _, m := range mistakes {
		message := m.GetMessage()
		if m.GetSeverity() == definitionv1.Severity_SEVERITY_WARNING {
			message = "warning: " + message
		}
		if m.GetResource() != "" {
			message += " [" + m.GetResource() + "]"
		}
		fmt.Fprintf(&b, "%d:%d %s\n    %s\n", m.GetLine(), m.GetColumn(), m.GetPath(), message)
	}
	if def == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "%s\n", def.Ref)
	if t := def.Terms; t != nil {
		fmt.Fprintf(&b, "terms: order key %t, priority %t, labels", t.OrderKey != nil, t.Priority != nil)
		for _, l := range t.Labels {
			fmt.Fprintf(&b, " %q", l.Name)
		}
		b.WriteString("\n")
	}
	for _, ref := range slices.Sorted(maps.Keys(def.Tasks)) {
		t := def.Tasks[ref]
		fmt.Fprintf(&b, "%s %s\n", ref, describe(t))
	}
	if len(def.Activities) > 0 {
		fmt.Fprintf(&b, "activities %s\n", strings.Join(def.Activities, " "))
	}
	return b.String()
}

// requests shows what calls hand to their adapters.
func requests(def *workflow.Definition, input string) string {
	var b strings.Builder
	for _, ref := range slices.Sorted(maps.Keys(def.Tasks)) {
		call, is := def.Tasks[ref].Kind.(*workflow.Call)
		if !is {
			continue
		}
		in := workflow.NewValue([]byte(input))
		made, err := call.With.Eval(in, &workflow.Args{Input: in, Task: &workflow.TaskArg{Task: def.Tasks[ref]}})
		if err != nil {
			fmt.Fprintf(&b, "%s %s\n    error: %v\n", ref, call.Activity, err)
			continue
		}
		fmt.Fprintf(&b, "%s %s\n    %s\n", ref, call.Activity, made.JSON())
	}
	return b.String()
}

func describe(t *workflow.Task) string {
	then := ""
	if t.Compensate != nil {
		then += " compensate"
	}
	if t.NoReturn {
		then += " no return"
	}
	if t.Then != "" {
		then += " then " + t.Then
	}
	switch k := t.Kind.(type) {
	case *workflow.Do:
		if k.Input != nil {
			return "do with input" + then
		}
		return "do" + then
	case *workflow.Call:
		if k.With == nil {
			return "call " + k.Activity + then
		}
		return "call " + k.Activity + " with" + then
	case *workflow.Run:
		return describeRun(k) + then
	case *workflow.Set:
		return "set" + then
	case *workflow.Switch:
		cases := make([]string, 0, len(k.Cases))
		for _, c := range k.Cases {
			cases = append(cases, fmt.Sprintf("%s(when %t)→%s", c.Name, c.When != nil, c.Then))
		}
		return "switch " + strings.Join(cases, " ") + then
	case *workflow.Try:
		s := "try as " + k.As
		if k.Filter != nil && k.Filter.Type != nil {
			s += " type " + *k.Filter.Type
		}
		if r := k.Retry; r != nil {
			s += fmt.Sprintf(" retry %d backoff %d", r.Attempts, r.Backoff)
		}
		if k.Compensate {
			s += " compensating"
		}
		return s + then
	case *workflow.Raise:
		return fmt.Sprintf("raise %d", k.Status) + then
	case *workflow.WaitFor:
		return "wait" + then
	case *workflow.Fork:
		return fmt.Sprintf("fork %d compete %t", len(k.Lists), k.Compete) + then
	case *workflow.For:
		return fmt.Sprintf("for $%s at $%s while %t parallel %d", k.Each, k.At, k.While != nil, k.Parallel) + then
	default:
		return "nothing"
	}
}

func describeRun(r *workflow.Run) string {
	s := "run " + r.Definition.String()
	if r.Input != nil {
		s += " with input"
	}
	if r.OrderKey != nil {
		s += " with order key"
	}
	if r.Detached {
		s += " detached"
	}
	return s
}
