package workflow_test

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// place is what a reopening is about: a frame, and the path of the branches around the task.
type place struct {
	frame uint32
	path  string
}

// visited is how often a task that runs branches was visited at a place. over: the next time is another visit.
type visited struct {
	n    int
	over bool
}

// noteBranch follows tasks and branches that are entered, and the paths where they are.
func (m *model) noteBranch(ev *journalv1.Event) {
	u := &m.undo
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_TaskStarted:
		t := entered{parent: e.TaskStarted.GetParent(), task: m.def.Tasks[e.TaskStarted.GetTask()]}
		t.path = m.pathIn(t.parent)
		if runsBranches(t.task) {
			at := t.task.Ref + t.path
			v := u.visits[at]
			if v == nil {
				v = &visited{}
				u.visits[at] = v
			}
			if v.n == 0 || v.over {
				v.n, v.over = v.n+1, false
			}
		}
		u.tasks[e.TaskStarted.GetFrame()] = t
	case *journalv1.Event_BranchStarted:
		b := e.BranchStarted
		p := u.tasks[b.GetParent()]
		run := u.visits[p.task.Ref+p.path].n
		step := fmt.Sprintf("[%d]", b.GetIndex())
		if run > 1 {
			step = fmt.Sprintf("[%d#%d]", b.GetIndex(), run)
		}
		u.tasks[b.GetFrame()] = entered{parent: b.GetParent(), task: p.task, branch: true, path: p.path, inside: p.path + step}
	case *journalv1.Event_TaskCompleted:
		f := e.TaskCompleted.GetFrame()
		if t := u.tasks[f]; runsBranches(t.task) {
			u.visits[t.task.Ref+t.path].over = true
			for _, w := range m.work {
				w.past = w.past || m.within(w.at, f) && w.path != t.path
			}
		}
	case *journalv1.Event_OrderReopened:
		for at, v := range u.visits {
			ref, path := cutPath(at)
			if m.settles(ref, path, ev) && (e.OrderReopened.Input != nil || e.OrderReopened.GetHow() == journalv1.Reopening_REOPENING_SKIP) {
				v.over = true
			}
		}
	case *journalv1.Event_AttemptScheduled:
		a := e.AttemptScheduled
		if u.inquiries[a.GetFrame()] {
			return
		}
		t := u.tasks[a.GetFrame()]
		key, _ := strings.CutPrefix(a.GetKey(), "o:"+t.task.Ref+t.path)
		if w := m.work[a.GetKey()]; key == a.GetKey() || !visitPattern.MatchString(key) || w != nil && w.past {
			m.t.Fatalf("%s, at %s%s", show(ev), t.task.Ref, t.path)
		}
	}
}

var (
	visitPattern = regexp.MustCompile(`^(#[0-9]+)?$`)
	pathPattern  = regexp.MustCompile(`(\[[0-9]+(#[0-9]+)?\])*$`)
)

// cutPath parts a place into a task and the path of the branches around it.
func cutPath(at string) (ref, path string) {
	i := pathPattern.FindStringIndex(at)[0]
	return at[:i], at[i:]
}

// pathIn is the path of what is entered inside of a frame.
func (m *model) pathIn(frame uint32) string {
	for f := frame; f != 0; f = m.undo.tasks[f].parent {
		if x := m.undo.under[f]; x != nil {
			return m.undo.tasks[m.deed(x.key).frame].path
		}
		if t := m.undo.tasks[f]; t.branch {
			return t.inside
		}
	}
	if x := m.undo.under[0]; x != nil {
		return m.undo.tasks[m.deed(x.key).frame].path
	}
	return ""
}

// home is the frame of the branch that a frame is in; that of the order if it is in none.
func (m *model) home(frame uint32) uint32 {
	for frame != 0 && !m.undo.tasks[frame].branch {
		frame = m.undo.tasks[frame].parent
	}
	return frame
}

// runsBranches tells whether a task runs branches.
func runsBranches(t *workflow.Task) bool {
	switch k := t.Kind.(type) {
	case *workflow.Fork, *workflow.For:
		return true
	case *workflow.Listen:
		return k.Each != nil
	}
	return false
}

// checkBeside checks that what happens in one branch changes nothing in those beside it.
func (m *model) checkBeside(ev *journalv1.Event) {
	var before map[uint32]string
	frame := frameOf(ev)
	if frame != 0 {
		before = m.shadow.Beside(frame, show)
	}
	m.shadow.Evolve(ev)
	if len(before) == 0 {
		return
	}
	after := m.shadow.Frames(show)
	for f, text := range before {
		if after[f] != text {
			m.t.Fatalf("%s, in frame %d, changed frame %d from\n%s\nto\n%s", show(ev), frame, f, text, after[f])
		}
	}
}

// frameOf is the frame that an event is about; that around it if it is a new one.
func frameOf(ev *journalv1.Event) uint32 {
	body := ev.ProtoReflect()
	body = body.Get(body.WhichOneof(body.Descriptor().Oneofs().ByName("kind"))).Message()
	for _, name := range []protoreflect.Name{"parent", "frame"} {
		if f := body.Descriptor().Fields().ByName(name); f != nil && f.Kind() == protoreflect.Uint32Kind && ev.GetOrderReopened() == nil {
			return uint32(body.Get(f).Uint())
		}
	}
	return 0
}

// checkFollows checks that no more attempts take the place of one that has ended than have ended.
func (m *model) checkFollows(made []*journalv1.Event) {
	ended := 0
	for _, ev := range made {
		if ev.GetAttemptEnded() != nil {
			ended++
		}
	}
	for _, e := range m.live.Effects(made) {
		if d, ok := e.(workflow.Dispatch); ok && d.Follows {
			ended--
		}
	}
	if ended < 0 {
		m.t.Fatalf("more attempts follow than have ended:\n%s", list(made))
	}
}
