package persistence_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	record := &journalv1.Record{
		FeatureLevel: 1, EnteredAt: 300,
		Events:  []*journalv1.Event{{At: 1}, {At: 2, Kind: &journalv1.Event_ParentTold{ParentTold: &journalv1.ParentTold{}}}, {}},
		Entered: &journalv1.TasksEntered{Tasks: []*journalv1.TaskEntered{{Frame: 1, Task: "/do/0/a"}}},
	}
	data, err := proto.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for raw, err := range persistence.Events(data) {
		if err != nil {
			t.Fatal(err)
		}
		var ev journalv1.Event
		if err := proto.Unmarshal(raw, &ev); err != nil || !proto.Equal(&ev, record.GetEvents()[i]) {
			t.Errorf("event %d is %v, %v", i, &ev, err)
		}
		i++
	}
	if i != 3 {
		t.Errorf("%d events, want 3", i)
	}
	for _, err := range persistence.Events(data) {
		if err != nil {
			t.Error(err)
		}
		break // an iteration that is left early does no harm
	}
	failed := 0
	for n := range data {
		var last error
		for _, err := range persistence.Events(data[:n]) {
			if last != nil {
				t.Errorf("of %d bytes, an event comes after an error", n)
			}
			last = err
		}
		if last != nil {
			failed++
		}
	}
	if failed < len(data)/2 {
		t.Errorf("%d of %d truncated records are found to be so", failed, len(data))
	}
}
