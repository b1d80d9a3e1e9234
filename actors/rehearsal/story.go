package rehearsal

import (
	"encoding/json"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// story is what is looked at when a case has ended. But for the path and the waits, which are those of the order of the case, all orders
// count, in the order in which things happened.
type story struct {
	path        []*workflow.Task
	waits       []time.Duration
	calls       []call
	emitted     []json.RawMessage
	compensated []*workflow.Task
}

// call is an attempt at an activity, or the start of a child.
type call struct {
	task   *workflow.Task
	called string // adapter.activity, or namespace/name:version
}

// frame is a task that an order has entered, a branch of one, or the order itself.
type frame struct {
	task   *workflow.Task // nil: the order itself
	parent *frame
	branch bool
	// raised: an error came up from inside, and nothing has come of it yet.
	raised bool
	// undone: what undoes a deed was entered, and the deed is not undone yet.
	undone bool
}

// tell notes what is looked at of the events of an order.
func (w *world) tell(i *instance, events []*journalv1.Event) {
	for _, ev := range events {
		w.follow(i, ev)
		w.note(i, ev)
	}
}

// follow keeps the frames of an order.
func (w *world) follow(i *instance, ev *journalv1.Event) {
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_TaskStarted:
		i.frames[e.TaskStarted.GetFrame()] = &frame{
			task: i.state.Definition().Tasks[e.TaskStarted.GetTask()], parent: i.frameOf(e.TaskStarted.GetParent()),
		}
	case *journalv1.Event_BranchStarted:
		p := i.frameOf(e.BranchStarted.GetParent())
		i.frames[e.BranchStarted.GetFrame()] = &frame{task: p.task, parent: p, branch: true}
	case *journalv1.Event_InquiryStarted:
		i.frames[e.InquiryStarted.GetFrame()] = &frame{
			task: i.state.Definition().Tasks[e.InquiryStarted.GetTask()], parent: i.frameOf(e.InquiryStarted.GetParent()), branch: true,
		}
	case *journalv1.Event_ChildScheduled:
		i.children[e.ChildScheduled.GetChildId()] = i.frameOf(e.ChildScheduled.GetFrame()).task
	}
}

// frameOf returns the frame of a number. The order itself is a frame that no event begins.
func (i *instance) frameOf(number uint32) *frame {
	f := i.frames[number]
	if f == nil {
		f = &frame{}
		i.frames[number] = f
	}
	return f
}

// note notes what is looked at of an event.
func (w *world) note(i *instance, ev *journalv1.Event) {
	s, root := &w.story, i == w.accepted[0]
	at := time.Unix(0, ev.GetAt())
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_TaskStarted:
		f := i.frameOf(e.TaskStarted.GetFrame())
		if root && onPath(f.task) {
			s.path = append(s.path, f.task)
		}
		if f.parent != nil && isCompensation(f.task.Ref) && f.task.Parent == nil {
			f.parent.undone = true
		}
		w.cover(i, f.task.Ref)
	case *journalv1.Event_WaitStarted:
		if root {
			s.waits = append(s.waits, time.Unix(0, e.WaitStarted.GetDue()).Sub(at))
		}
	case *journalv1.Event_RetryScheduled:
		if root {
			s.waits = append(s.waits, time.Unix(0, e.RetryScheduled.GetDue()).Sub(at))
		}
		w.caught(i, i.frameOf(e.RetryScheduled.GetFrame()))
	case *journalv1.Event_CatchStarted:
		w.caught(i, i.frameOf(e.CatchStarted.GetFrame()))
	case *journalv1.Event_TaskFaulted:
		if f := i.frameOf(e.TaskFaulted.GetFrame()); f.parent != nil {
			f.parent.raised = true
		}
	case *journalv1.Event_TaskCompleted:
		if f := i.frameOf(e.TaskCompleted.GetFrame()); f.raised {
			w.caught(i, f)
		}
	case *journalv1.Event_AttemptScheduled:
		s.calls = append(s.calls, call{i.frameOf(e.AttemptScheduled.GetFrame()).task, withoutVersion(e.AttemptScheduled.GetActivity())})
	case *journalv1.Event_ChildScheduled:
		s.calls = append(s.calls, call{i.frameOf(e.ChildScheduled.GetFrame()).task, e.ChildScheduled.GetDefinition()})
	case *journalv1.Event_EmitScheduled:
		s.emitted = append(s.emitted, e.EmitScheduled.GetEvent())
	case *journalv1.Event_CompensationStarted:
		i.frameOf(e.CompensationStarted.GetFrame()).undone = false
	case *journalv1.Event_CompensationEnded:
		if f := i.frameOf(e.CompensationEnded.GetFrame()); f.undone {
			s.compensated = append(s.compensated, i.state.Definition().Tasks[e.CompensationEnded.GetTask()])
		}
	}
}

// caught notes that a try has caught an error.
func (w *world) caught(i *instance, f *frame) {
	f.raised = false
	if f.task == nil || f.branch {
		return
	}
	if _, is := f.task.Kind.(*workflow.Try); is {
		w.cover(i, f.task.Ref+"/catch")
	}
}

// cover notes that something of a definition was reached.
func (w *world) cover(i *instance, ref string) {
	for _, c := range w.coverage {
		if c.def == i.state.Definition() {
			c.reach(ref)
		}
	}
}
