package workflow_test

import (
	"bytes"
	"strconv"
	"testing"

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
	for i := range b.N {
		id := "0199c7a2-5d3e-7c51-b0aa-" + strconv.Itoa(i)
		s := workflow.New(def, workflow.Limits{})
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
