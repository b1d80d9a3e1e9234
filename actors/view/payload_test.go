package view

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// What is told of an event is the same whether its payloads were copied or not.
func TestDecodeEvent(t *testing.T) {
	t.Parallel()
	long := func(c string) []byte { return []byte(`"` + strings.Repeat(c, 3*longPayload) + `"`) }
	short := []byte(`"x"`)
	for _, ev := range []*journalv1.Event{
		{At: 1, Kind: &journalv1.Event_OrderAccepted{OrderAccepted: &journalv1.OrderAccepted{OrderId: "o", Input: long("a"), Priority: 3}}},
		{At: 2, Kind: &journalv1.Event_OrderAccepted{OrderAccepted: &journalv1.OrderAccepted{OrderId: "o", Input: short, ContentHash: long("h")}}},
		{At: 3, Kind: &journalv1.Event_TaskStarted{TaskStarted: &journalv1.TaskStarted{
			Frame: 1, Task: "/do/0/" + strings.Repeat("t", 2*longPayload), Input: long("i"), Body: long("b"),
		}}},
		{At: 4, Kind: &journalv1.Event_TaskCompleted{TaskCompleted: &journalv1.TaskCompleted{Frame: 1, Context: long("c"), Output: long("o")}}},
		{At: 5, Kind: &journalv1.Event_AttemptEnded{AttemptEnded: &journalv1.AttemptEnded{
			Outcome: journalv1.Outcome_OUTCOME_FAILED, Error: &problemv1.Problem{Title: "T", Detail: string(long("d"))},
		}}},
		{At: 6, Kind: &journalv1.Event_ParentTold{ParentTold: &journalv1.ParentTold{}}},
		{},
	} {
		raw, err := proto.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		got, payloads, err := decodeEvent(raw)
		if err != nil {
			t.Fatal(err)
		}
		want, told := historyEvent(ev, map[uint32]task{}), historyEvent(got, map[uint32]task{})
		told.Data = payload(told.GetData(), payloads)
		if !proto.Equal(told, want) {
			t.Errorf("event %d is told as\n%.200v\nwant\n%.200v", ev.GetAt(), told, want)
		}
		for n := range raw {
			if _, _, err := decodeEvent(raw[:n]); err == nil {
				if again, err := proto.Marshal(decoded(t, raw[:n])); err != nil || len(again) > n {
					t.Fatalf("%d of %d bytes of event %d are decoded", n, len(raw), ev.GetAt())
				}
			}
		}
	}
}

// decoded is what the first fields of an event are, when the others are cut off.
func decoded(t *testing.T, raw []byte) *journalv1.Event {
	t.Helper()
	ev := new(journalv1.Event)
	if err := proto.Unmarshal(raw, ev); err != nil {
		t.Fatal(err)
	}
	return ev
}
