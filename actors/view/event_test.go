package view

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// What is told of compensations and of child orders, without an order that has them.
func TestCompensationAndChildEvents(t *testing.T) {
	t.Parallel()
	oops := &problemv1.Problem{Title: "Oops"}
	const undone = "o:/do/0/a"
	events := []*journalv1.Event{
		{Kind: &journalv1.Event_OrderAccepted{OrderAccepted: &journalv1.OrderAccepted{
			OrderId: "o", Input: []byte("1"), Parent: &journalv1.Parent{OrderId: "p"},
		}}},
		{Kind: &journalv1.Event_TaskStarted{TaskStarted: &journalv1.TaskStarted{Frame: 2, Task: "/do/1/kid"}}},
		{Kind: &journalv1.Event_TaskStarted{TaskStarted: &journalv1.TaskStarted{Frame: 3, Task: "/do/2/other"}}},
		{Kind: &journalv1.Event_ChildScheduled{ChildScheduled: &journalv1.ChildScheduled{
			Frame: 2, ChildId: "k", Definition: "test/kid:1.0.0", Input: []byte(`{"n":1}`), OrderKey: "key",
		}}},
		{Kind: &journalv1.Event_ChildScheduled{ChildScheduled: &journalv1.ChildScheduled{Frame: 3, ChildId: "l"}}},
		{Kind: &journalv1.Event_ChildFaulted{ChildFaulted: &journalv1.ChildFaulted{Frame: 2, Error: oops, Version: 7}}},
		{Kind: &journalv1.Event_ChildEnded{ChildEnded: &journalv1.ChildEnded{
			Frame: 2, Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte("[2]"),
		}}},
		{Kind: &journalv1.Event_ChildEnded{ChildEnded: &journalv1.ChildEnded{
			Frame: 3, Outcome: journalv1.Outcome_OUTCOME_FAILED, Error: oops,
		}}},
		{Kind: &journalv1.Event_OrderReopened{OrderReopened: &journalv1.OrderReopened{
			How: journalv1.Reopening_REOPENING_CANCEL, Task: "/do/2/other", Reason: "enough",
		}}},
		{Kind: &journalv1.Event_OrderReopened{OrderReopened: &journalv1.OrderReopened{
			How: journalv1.Reopening_REOPENING_SKIP, Task: "/do/2/other", Output: []byte("7"),
		}}},
		{Kind: &journalv1.Event_StopRequested{StopRequested: &journalv1.StopRequested{
			Frame: 1, Cause: journalv1.StopCause_STOP_CAUSE_CANCEL, Compensate: true, Reason: "enough",
		}}},
		{Kind: &journalv1.Event_CompensationStarted{CompensationStarted: &journalv1.CompensationStarted{
			Frame: 1, Task: "/do/0/a", Key: undone,
		}}},
		{Kind: &journalv1.Event_CompensationEnded{CompensationEnded: &journalv1.CompensationEnded{
			Frame: 1, Task: "/do/0/a", Key: undone,
		}}},
		{Kind: &journalv1.Event_OrderCancelled{OrderCancelled: &journalv1.OrderCancelled{}}},
		{Kind: &journalv1.Event_ParentTold{ParentTold: &journalv1.ParentTold{}}},
	}
	const want = `1 order.accepted 1
2 task.started /do/1/kid
3 task.started /do/2/other
4 child.scheduled /do/1/kid child k {"n":1}
5 child.scheduled /do/2/other child l
6 child.faulted /do/1/kid child k error Oops
7 child.ended /do/1/kid child k [2]
8 child.ended /do/2/other child l error Oops
9 order.cancelling /do/2/other because enough compensating
10 order.skipped /do/2/other 7
11 stop.requested because enough compensating
12 compensation.started /do/0/a o:/do/0/a
13 compensation.ended /do/0/a o:/do/0/a
14 order.cancelled
15 parent.told`
	if got := describe(historyEvents(events...)); got != want {
		t.Errorf("the history is\n%s\nwant\n%s", got, want)
	}
}

func TestChildTellsItsParent(t *testing.T) {
	t.Parallel()
	s := workflow.New(nil, new(workflow.Limits{}.WithDefaults()))
	s.Evolve(&journalv1.Event{Kind: &journalv1.Event_OrderAccepted{OrderAccepted: &journalv1.OrderAccepted{
		OrderId: "o", Parent: &journalv1.Parent{OrderId: "p"},
	}}})
	if got := OrderOf(s).GetParentId(); got != "p" {
		t.Errorf("as its state tells it, it is a child of %q", got)
	}
	if got := Listed(&journalv1.OrderRow{Id: "o", Parent: "p"}).GetParentId(); got != "p" {
		t.Errorf("as its row tells it, it is a child of %q", got)
	}
}

func historyEvents(events ...*journalv1.Event) []*orderv1.HistoryEvent {
	tasks := map[uint32]task{}
	var told []*orderv1.HistoryEvent
	for i, ev := range events {
		told = append(told, historyEvent(ev, tasks))
		told[i].Version = uint64(i) + 1
	}
	return told
}

func describe(events []*orderv1.HistoryEvent) string {
	var lines []string
	for _, ev := range events {
		line := fmt.Sprintf("%d %s", ev.GetVersion(), ev.GetType())
		if ev.GetTask() != "" {
			line += " " + ev.GetTask()
		}
		if ev.GetKey() != "" {
			line += " " + ev.GetKey()
		}
		if ev.GetAttempt() != 0 {
			line += fmt.Sprintf("#%d %s", ev.GetAttempt(), ev.GetActivity())
		}
		if ev.GetChildId() != "" {
			line += " child " + ev.GetChildId()
		}
		if len(ev.GetData()) > 0 {
			line += " " + string(ev.GetData())
		}
		if ev.GetDue() != nil {
			line += " due " + ev.GetDue().AsTime().Format("15:04:05")
		}
		if ev.GetError() != nil {
			line += " error " + ev.GetError().GetTitle()
		}
		if ev.GetReason() != "" {
			line += " because " + ev.GetReason()
		}
		if ev.GetCompensate() {
			line += " compensating"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
