package workflow_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// BenchmarkW3 runs orders of three activities, each of which gets and returns a string of 100 bytes: four decisions, what
// is to be done after each of them, and their records.
func BenchmarkW3(b *testing.B) {
	const document = header + `
do:
  - first: {call: bench.echo}
  - second: {call: bench.echo}
  - third: {call: bench.echo}
`
	def, mistakes := definition.Compile([]byte(document), definition.Limits{})
	if len(mistakes) > 0 {
		b.Fatal(mistakes)
	}
	payload := []byte(`"` + string(bytes.Repeat([]byte("x"), 98)) + `"`)
	var raw []byte
	size := 0
	b.ReportAllocs()
	limits := workflow.Limits{}.WithDefaults()
	for i := range b.N {
		id := "0199c7a2-5d3e-7c51-b0aa-" + strconv.Itoa(i)
		s := workflow.New(def, &limits)
		var cmd workflow.Command = workflow.Accept{Order: &journalv1.OrderAccepted{
			OrderId: id, Definition: "test/test:1.0.0", DefinitionHash: def.Hash, Input: payload, ContentHash: def.Hash,
		}}
		for !s.Ended() {
			events, err := s.Decide(began, 1, cmd)
			if err != nil {
				b.Fatal(err)
			}
			if raw, err = (proto.MarshalOptions{}).MarshalAppend(raw[:0], record(events)); err != nil {
				b.Fatal(err)
			}
			size += len(raw)
			for _, e := range s.Effects(events) {
				if d, ok := e.(workflow.Dispatch); ok {
					cmd = workflow.TaskResult{
						Key: d.Key, Attempt: d.Attempt, Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED, Output: d.Input,
					}
				}
			}
		}
	}
	b.ReportMetric(float64(size)/float64(b.N), "record-bytes/op")
}

// BenchmarkLoop goes through arrays of several lengths, one item after another and several at a time, and folds the history again.
func BenchmarkLoop(b *testing.B) {
	for name, tasks := range map[string]string{
		"set": `do: [{a: {set: {n: "${ $item }"}}}]`, "call": `do: [{a: {call: bench.echo, with: {n: "${ $item }"}}}]`,
		"parallel": `metadata: {holdfast: {parallel: 16}}, do: [{a: {call: bench.echo, with: {n: "${ $item }"}}}]`,
	} {
		def, mistakes := definition.Compile([]byte(header+"do: [{loop: {for: {in: .}, "+tasks+"}}]"), definition.Limits{})
		if len(mistakes) > 0 {
			b.Fatal(mistakes)
		}
		for _, items := range []int{1_000, 10_000, 100_000} {
			input := append(bytes.Repeat([]byte(`1,`), items-1), `1]`...)
			b.Run(fmt.Sprintf("%s/%d", name, items), func(b *testing.B) { loop(b, def, append([]byte{'['}, input...), items) })
		}
	}
}

func loop(b *testing.B, def *workflow.Definition, input []byte, items int) {
	b.Helper()
	var folding time.Duration
	events := 0
	for range b.N {
		s := workflow.New(def, new(workflow.Limits{}.WithDefaults()))
		var all []*journalv1.Event
		next := []workflow.Command{workflow.Accept{Order: &journalv1.OrderAccepted{
			OrderId: "o", Definition: "test/test:1.0.0", DefinitionHash: def.Hash, Input: input, ContentHash: def.Hash,
		}}}
		for !s.Ended() {
			var cmd workflow.Command = workflow.Continue{}
			if len(next) > 0 {
				cmd, next = next[0], next[1:]
			}
			made, err := s.Decide(began, 1, cmd)
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, made...)
			for _, e := range s.Effects(made) {
				if d, ok := e.(workflow.Dispatch); ok {
					next = append(next, workflow.TaskResult{
						Key: d.Key, Attempt: d.Attempt, Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED, Output: d.Input,
					})
				}
			}
		}
		again := time.Now()
		folded := workflow.New(def, new(workflow.Limits{}.WithDefaults()))
		for _, e := range all {
			folded.Evolve(e)
		}
		folding, events = folding+time.Since(again), len(all)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*items), "ns/item")
	b.ReportMetric(folding.Seconds()/float64(b.N), "s-folding/op")
	b.ReportMetric(float64(events), "events")
}
