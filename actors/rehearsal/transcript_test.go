package rehearsal_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/rehearsal"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// TestTranscripts runs the cases of each file, and compares what comes of them.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			e := &env{}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				switch d.Cmd {
				case "define": // body: a document, or its part after the header
					e.defs, e.documents = nil, nil
					return e.define(t, d)
				case "and": // another definition; name=
					return e.define(t, d)
				case "cases": // body: a file of cases; coverage max-steps= max-time=
					return e.cases(t, d)
				}
				d.Fatalf(t, "unknown verb %q", d.Cmd)
				return ""
			})
		})
	}
}

// env is a transcript under way: the definition that is tested, and those of children.
type env struct {
	defs      []*workflow.Definition
	documents []string
}

func (e *env) define(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	name := "test"
	d.MaybeScanArgs(t, "name", &name)
	document := d.Input
	if !strings.HasPrefix(document, "document:") {
		document = "document: {dsl: '1.0.3', namespace: test, name: " + name + ", version: '1.0.0'}\n" + document
	}
	def, mistakes := definition.Compile([]byte(document), definition.Limits{})
	if len(mistakes) > 0 {
		d.Fatalf(t, "definition is wrong: %v", mistakes)
	}
	e.defs, e.documents = append(e.defs, def), append(e.documents, document)
	return def.Ref.String() + "\n"
}

func (e *env) cases(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	limits := rehearsal.Limits{}
	d.MaybeScanArgs(t, "max-steps", &limits.Steps)
	if d.HasArg("max-time") {
		var text string
		d.ScanArgs(t, "max-time", &text)
		var err error
		if limits.Time, err = time.ParseDuration(text); err != nil {
			d.Fatalf(t, "max-time: %v", err)
		}
	}
	others := rehearsal.NewDefinitions(e.defs...)
	cases, mistakes := rehearsal.Read([]byte(d.Input), e.defs[0], others, limits)
	if len(mistakes) > 0 {
		return told(mistakes)
	}
	var out strings.Builder
	coverage := rehearsal.Cover(e.defs[0])
	for _, c := range cases {
		first := rehearsal.Run(c, e.defs[0], others, limits, coverage)
		report(&out, first)
		refold(t, first)
		var again strings.Builder
		report(&again, rehearsal.Run(c, e.defs[0], others, limits))
		if !strings.HasSuffix(out.String(), again.String()) {
			t.Errorf("another run of %q comes to\n%s\nand not to\n%s", c.Name, again.String(), out.String())
		}
	}
	if d.HasArg("coverage") {
		points, reached := coverage.Points(), 0
		for _, p := range points {
			reached += min(p.Reached, 1)
		}
		fmt.Fprintf(&out, "%d of %d reached\n", reached, len(points))
		places := definition.WhereaboutsOf([]byte(e.documents[0]), definition.Limits{})
		for _, p := range points {
			if p.Reached == 0 {
				line, column := places.Of(p.Ref)
				fmt.Fprintf(&out, "not %d:%d %s %s\n", line, column, p.What, p.Ref)
			}
		}
	}
	return out.String()
}

// refold reads the histories of the orders back, as a node does: the first one must have come to the same.
func refold(t *testing.T, r *rehearsal.Result) {
	t.Helper()
	for i, o := range r.Orders {
		s := workflow.New(o.Definition, new(workflow.Limits{}.WithDefaults()))
		for _, ev := range o.Events {
			s.Evolve(ev)
		}
		want := orderv1.Status_value["STATUS_"+strings.ToUpper(string(r.Outcome))]
		if s.ID() != o.ID || i == 0 && s.Ended() && s.Status() != orderv1.Status(want) {
			t.Errorf("%q: the history of order %s tells that %s is %s", r.Case.Name, o.ID, s.ID(), s.Status())
		}
	}
}

func told(mistakes []*definitionv1.Mistake) string {
	var out strings.Builder
	for _, m := range mistakes {
		fmt.Fprintf(&out, "%d:%d %s: %s\n", m.GetLine(), m.GetColumn(), m.GetPath(), m.GetMessage())
	}
	return out.String()
}

// report says what came of a case.
func report(out *strings.Builder, r *rehearsal.Result) {
	word := "PASS"
	if !r.Passed() {
		word = "FAIL"
	}
	fmt.Fprintf(out, "%s %s: %s after %s\n", word, r.Case.Name, r.Outcome, rehearsal.Text(r.Took))
	for _, f := range r.Failures {
		fmt.Fprintf(out, "  %s", f.What)
		if f.Task != "" {
			fmt.Fprintf(out, " [%s]", f.Task)
		}
		out.WriteString("\n")
		for _, line := range f.Details {
			fmt.Fprintf(out, "    %s\n", line)
		}
	}
	names := make([]string, 0, len(r.Path))
	for i, task := range r.Path {
		if i == 40 {
			names = append(names, "…")
			break
		}
		names = append(names, task.Name)
	}
	fmt.Fprintf(out, "  path: %s\n", strings.Join(names, " "))
	for _, s := range r.Unused {
		fmt.Fprintf(out, "  unused: line %d\n", s.Line)
	}
}
