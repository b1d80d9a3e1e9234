package definition

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

func benchmarkInput() string {
	var b strings.Builder
	b.WriteString(`{"id":"order-1","items":[`)
	for i := range 20 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"item-%d","price":%d.50,"tags":["a","b"]}`, i, i)
	}
	b.WriteString(`],"subscriber":{"msisdn":"4912345","imsi":"26201"}}`)
	return b.String()
}

func benchmarkEval(b *testing.B, text string) {
	b.Helper()
	e, err := newPrograms(Limits{}.WithDefaults()).compile(text, placeTask, nil)
	if err != nil {
		b.Fatal(err)
	}
	input := []byte(benchmarkInput())
	args := &workflow.Args{Context: value(`{"a":1}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Eval(workflow.NewValue(input), args); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdentity(b *testing.B)  { benchmarkEval(b, ".") }
func BenchmarkConstant(b *testing.B)  { benchmarkEval(b, `"gold"`) }
func BenchmarkPath(b *testing.B)      { benchmarkEval(b, ".subscriber.msisdn") }
func BenchmarkCondition(b *testing.B) { benchmarkEval(b, `.subscriber.msisdn == "4912345"`) }
func BenchmarkMerge(b *testing.B)     { benchmarkEval(b, "$context + .") }

func BenchmarkTransform(b *testing.B) {
	benchmarkEval(b, ".items | map(select(.price > 5) | .id) | join(\",\")")
}

// BenchmarkDecoded is a condition on a value that was read before.
func BenchmarkDecoded(b *testing.B) {
	e, err := newPrograms(Limits{}.WithDefaults()).compile(`.subscriber.msisdn == "4912345"`, placeTask, nil)
	if err != nil {
		b.Fatal(err)
	}
	in := value(benchmarkInput())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Bool(in, &workflow.Args{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	def := deploy(b, head+`
do: [{a: {set: {msisdn: '${ .subscriber.msisdn }', imsi: '${ .subscriber.imsi }', plan: gold, id: '${ .id }'}}}]
`, Limits{})
	input := []byte(benchmarkInput())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := as[*workflow.Set](b, def.Tasks["/do/0/a"]).Value.Eval(workflow.NewValue(input), &workflow.Args{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	document := []byte(head + `
do:
  - a: {call: hss.create, with: {imsi: '${ .imsi }'}, export: {as: '${ $context + . }'}}
  - b: {switch: [{x: {when: '.status == "ok"', then: end}}, {y: {then: c}}]}
  - c: {set: '${ .items | map(select(.price > 5) | .id) | join(",") }'}
`)
	b.ReportAllocs()
	for b.Loop() {
		if def, _ := Compile(document, Limits{}); def == nil {
			b.Fatal("the document is wrong")
		}
	}
}
