package workflow_test

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// childWork is what the model knows of a child.
type childWork struct {
	frame   uint32
	ended   bool
	version messages.Version
}

// noteChild follows children.
func (m *model) noteChild(ev *journalv1.Event) {
	of := func(frame uint32) *childWork {
		for _, c := range m.undo.children {
			if c.frame == frame && !c.ended {
				return c
			}
		}
		m.t.Fatalf("%s, but it has no child", show(ev))
		return nil
	}
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_ChildScheduled:
		id := e.ChildScheduled.GetChildId()
		if m.undo.children[id] != nil {
			m.t.Fatalf("%s, but there is such a child", show(ev))
		}
		m.undo.children[id] = &childWork{frame: e.ChildScheduled.GetFrame()}
	case *journalv1.Event_ChildFaulted:
		of(e.ChildFaulted.GetFrame()).version = messages.Version(e.ChildFaulted.GetVersion())
	case *journalv1.Event_ChildEnded:
		c := of(e.ChildEnded.GetFrame())
		c.ended = true
		if e.ChildEnded.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED {
			for id, x := range m.undo.children {
				if x == c {
					m.did(c.frame, id, false)
				}
			}
		}
	case *journalv1.Event_ParentTold:
		m.undo.told = true
	case *journalv1.Event_OrderCompleted, *journalv1.Event_OrderFaulted, *journalv1.Event_OrderCancelled:
		m.undo.told = false
	}
}

// awaited are the children that have not ended.
func (m *model) awaited() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(m.undo.children)) {
		if !m.undo.children[id].ended {
			out = append(out, id)
		}
	}
	return out
}

// childResult makes what a child may say, or nobody.
func (m *model) childResult() workflow.ChildResult {
	id := rapid.SampledFrom(append(m.awaited(), "nobody")).Draw(m.t, "child")
	r := workflow.ChildResult{
		ID: messages.OrderID(id), Version: messages.Version(rapid.IntRange(1, 9).Draw(m.t, "child's version")),
		Status: rapid.SampledFrom([]orderv1.Status{
			orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_CANCELLED,
			orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_UNSPECIFIED,
		}).Draw(m.t, "child's status"),
	}
	switch r.Status {
	case orderv1.Status_STATUS_COMPLETED:
		r.Output = []byte(`{"n":4}`)
	case orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_UNSPECIFIED:
		r.Error = &problemv1.Problem{Type: "https://example.com/e", Status: 503}
	default:
	}
	return r
}
