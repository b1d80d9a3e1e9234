package workflow_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// FuzzRecord reads arbitrary bytes as a record. Reading never panics, and what was read is written and read back alike.
// Folding it may panic, because it need not fit the definition; but if it does not, the state can be asked anything.
func FuzzRecord(f *testing.F) {
	const document = header + `
do:
  - call: {call: a.b, timeout: {after: PT5S}}
  - try: {try: [{in: {call: a.b}}, {wait: {wait: PT5S}}], catch: {retry: {limit: {attempt: {count: 1}}}, do: [{set: {set: {n: 1}}}]}}
`
	def, mistakes := definition.Compile([]byte(document), definition.Limits{})
	if len(mistakes) > 0 {
		f.Fatal(mistakes)
	}
	s := workflow.New(def, new(workflow.Limits{}.WithDefaults()))
	var history []*journalv1.Event
	for _, cmd := range []workflow.Command{
		workflow.Accept{Order: &journalv1.OrderAccepted{OrderId: "o", Input: []byte(`{"a":1}`), Deadline: began.UnixNano() + 1e12}},
		workflow.Sent{Key: "o:/do/0/call", Attempt: 1, Ledger: "L"},
		workflow.TaskResult{Key: "o:/do/0/call", Attempt: 1, Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte("1")},
		workflow.TaskResult{Key: "o:/do/1/try/try/0/in", Attempt: 1, Outcome: journalv1.Outcome_OUTCOME_IN_DOUBT},
		workflow.TimerFired{},
		workflow.Cancel{Reason: "r"},
	} {
		events, err := s.Decide(began, 1, cmd)
		if err != nil {
			f.Fatal(err)
		}
		history = append(history, events...)
		raw, err := proto.Marshal(record(history))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &journalv1.Record{}
		if err := proto.Unmarshal(raw, r); err != nil {
			return
		}
		again, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		back := &journalv1.Record{}
		if err := proto.Unmarshal(again, back); err != nil || !proto.Equal(r, back) {
			t.Fatalf("%v was written, but %v was read (%v)", r, back, err)
		}
		s := workflow.New(def, new(workflow.Limits{}.WithDefaults()))
		if folds(s, r.GetEvents()) {
			s.Status()
			s.NextDue()
			s.Effects(r.GetEvents())
			s.Outstanding()
			for _, v := range []*workflow.Value{s.Output(), workflow.NewValue(s.Accepted().GetInput())} {
				if _, err := v.Any(); err != nil {
					continue // no JSON: the journal holds what Decide was given
				}
			}
		}
	})
}

// folds tells whether a history fits.
func folds(s *workflow.State, events []*journalv1.Event) (fits bool) {
	defer func() { fits = recover() == nil }()
	for _, ev := range events {
		s.Evolve(ev)
	}
	return true
}
