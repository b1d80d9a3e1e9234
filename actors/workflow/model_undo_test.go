package workflow_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// undoing is what the model knows of what was done and undone, and of children.
type undoing struct {
	tasks map[uint32]entered
	done  []deed
	// under are the deeds that are being undone, by the frames that have them undone.
	under map[uint32]*undone
	// visits are those of the tasks that run branches, by their places.
	visits map[string]*visited
	// refused is a task just entered that was to undo something in doubt: it fails at once.
	refused uint32
	// of is, by the place where it was done, the key of the deed that was to be undone last.
	of map[string]string
	// inquiries are the frames that ask whether something was done.
	inquiries map[uint32]bool
	// compensates: a cancellation was asked for that undoes everything.
	compensates bool
	// givenUp: something was undone because of that, so that the order's tasks don't go on.
	givenUp  bool
	children map[string]*childWork
	told     bool
	// byHand are the keys of what operators did before it was attempted.
	byHand map[string]bool
}

func newUndoing() undoing {
	return undoing{
		under: map[uint32]*undone{}, visits: map[string]*visited{}, of: map[string]string{}, tasks: map[uint32]entered{},
		inquiries: map[uint32]bool{}, children: map[string]*childWork{}, byHand: map[string]bool{},
	}
}

// undone is a deed that is being undone.
type undone struct {
	key   string
	void  bool // it need not be
	begun bool // what undoes it was entered
	asked bool // whether it was done was asked in vain
	// failed is the version at which it was left to an operator, beside other branches; 0: it was not.
	failed uint64
}

// entered is a task that was entered, or a branch of it.
type entered struct {
	parent  uint32
	task    *workflow.Task
	timeout time.Duration
	// path is that of the branches around it, inside that of what is in the branch.
	path, inside string
	branch       bool
}

type deed struct {
	workflow.Compensable

	frame  uint32
	partly bool   // its undoing was interrupted
	begun  bool   // as far as it had been begun, and not only entered to fail
	at     uint64 // the version at which it was done
}

// undoable tells whether the task of a frame can be undone.
func (m *model) undoable(frame uint32) bool { return m.undo.tasks[frame].task.Compensate != nil }

// within tells whether a frame is inside another.
func (m *model) within(frame, outer uint32) bool {
	for frame != 0 && frame != outer {
		frame = m.undo.tasks[frame].parent
	}
	return frame == outer
}

func (m *model) did(frame uint32, key string, doubt bool) {
	if m.undoable(frame) {
		m.undid(key)
		ref := m.undo.tasks[frame].task.Ref
		m.undo.done = append(m.undo.done, deed{workflow.Compensable{Task: ref, Key: key, InDoubt: doubt}, frame, false, false, m.version})
	}
}

func (m *model) undid(key string) {
	m.undo.done = slices.DeleteFunc(m.undo.done, func(d deed) bool { return d.Key == key })
}

func (m *model) deed(key string) *deed {
	i := slices.IndexFunc(m.undo.done, func(d deed) bool { return d.Key == key })
	if i < 0 {
		return nil
	}
	return &m.undo.done[i]
}

// noteUndo follows what was done and undone.
func (m *model) noteUndo(ev *journalv1.Event) {
	u := &m.undo
	if f := ev.GetTaskFaulted(); u.refused != 0 {
		d := m.deed(u.under[u.tasks[u.refused].parent].key)
		if f.GetFrame() != u.refused || strings.HasPrefix(f.GetError().GetDetail(), "undoing was interrupted") != d.begun {
			m.t.Fatalf("%s, but what undoes %+v was to fail, because of the doubt", show(ev), *d)
		}
	}
	u.refused = 0
	switch e := ev.GetKind().(type) {
	case *journalv1.Event_TaskStarted:
		if u.givenUp && u.under[0] == nil && m.undo.tasks[e.TaskStarted.GetFrame()].parent == 0 {
			m.t.Fatalf("%s, but the order's tasks were given up, to undo what they did", show(ev))
		}
		if at := e.TaskStarted.GetTimeoutAt(); at != 0 {
			t := u.tasks[e.TaskStarted.GetFrame()]
			t.timeout = time.Duration(at - ev.GetAt())
			u.tasks[e.TaskStarted.GetFrame()] = t
		}
		if x := u.under[e.TaskStarted.GetParent()]; x != nil {
			x.begun = true
			if d := m.deed(x.key); d.InDoubt {
				u.refused = e.TaskStarted.GetFrame()
			} else {
				d.begun = true
			}
		}
	case *journalv1.Event_InquiryStarted:
		i := e.InquiryStarted
		x := u.under[i.GetParent()]
		if d := m.deed(i.GetKey()); x == nil || x.key != i.GetKey() || !d.InDoubt || m.work[i.GetKey()].Ledger != "" {
			m.t.Fatalf("%s, but being undone is %+v, and known is %+v", show(ev), x, d)
		}
		u.tasks[i.GetFrame()] = entered{parent: i.GetParent(), task: m.def.Tasks[i.GetTask()], path: m.pathIn(i.GetParent())}
		u.inquiries[i.GetFrame()] = true
	case *journalv1.Event_AttemptEnded:
		key := m.frames[e.AttemptEnded.GetFrame()]
		if u.inquiries[e.AttemptEnded.GetFrame()] {
			if o := e.AttemptEnded.GetOutcome(); o == journalv1.Outcome_OUTCOME_SUCCEEDED || o == journalv1.Outcome_OUTCOME_FAILED {
				m.settleDeed(key, o == journalv1.Outcome_OUTCOME_SUCCEEDED)
			} else if o == journalv1.Outcome_OUTCOME_IN_DOUBT {
				u.under[u.tasks[e.AttemptEnded.GetFrame()].parent].asked = true
			}
			break
		}
		switch e.AttemptEnded.GetOutcome() {
		case journalv1.Outcome_OUTCOME_SUCCEEDED:
			m.did(e.AttemptEnded.GetFrame(), key, false)
		case journalv1.Outcome_OUTCOME_IN_DOUBT:
			m.did(e.AttemptEnded.GetFrame(), key, true)
		case journalv1.Outcome_OUTCOME_FAILED:
			m.undid(key)
		default:
		}
	case *journalv1.Event_LateResult:
		key := e.LateResult.GetKey()
		m.settleDeed(key, e.LateResult.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED)
		if w := m.work[key]; !w.abandoned && m.deed(key) == nil && (!m.ended() || m.phase.end == orderv1.Status_STATUS_FAULTED) {
			m.cameToLight(w, key)
		}
	case *journalv1.Event_CompensationStarted:
		m.undoStarted(e.CompensationStarted)
	case *journalv1.Event_CompensationEnded:
		key, x := e.CompensationEnded.GetKey(), u.under[e.CompensationEnded.GetFrame()]
		if x == nil || x.key != key {
			m.t.Fatalf("%s, but being undone is %+v", show(ev), x)
		}
		if w := m.work[key]; w != nil {
			if w.idle = true; x.void && !m.deed(key).partly {
				w.abandoned = false
			} else {
				w.settled = true
			}
		}
		m.undid(key)
		delete(u.under, e.CompensationEnded.GetFrame())
	case *journalv1.Event_CompensationFailed:
		u.under[e.CompensationFailed.GetFrame()].failed = m.version
	case *journalv1.Event_TaskCompleted: // perhaps an operator passed a task over with the undoing inside
		m.interrupted(e.TaskCompleted.GetFrame(), true)
	case *journalv1.Event_StopRequested:
		if e.StopRequested.GetFrame() == 0 && e.StopRequested.GetCause() != journalv1.StopCause_STOP_CAUSE_COMPENSATION {
			u.compensates = e.StopRequested.GetCompensate()
		}
	case *journalv1.Event_OrderCancelled:
		if open := m.phase.end == orderv1.Status_STATUS_UNSPECIFIED; open && u.compensates && len(u.done) > 0 {
			m.t.Fatalf("the order was cancelled, but not undone is %+v", u.done)
		}
		u.done = nil
		clear(u.under)
	case *journalv1.Event_OrderCompleted:
		u.done = nil
		clear(u.under)
	case *journalv1.Event_OrderReopened:
		m.reopened(ev)
	}
}

// undoStarted checks that it is the last deed's turn. A try that is tried again leaves what is in doubt.
func (m *model) undoStarted(e *journalv1.CompensationStarted) {
	u := &m.undo
	d := m.deed(e.GetKey())
	if d == nil || d.Task != e.GetTask() || !m.within(d.frame, e.GetFrame()) {
		m.t.Fatalf("%s is to be undone, but done was %+v", e.GetKey(), u.done)
	}
	for f, x := range u.under {
		if x.key == e.GetKey() || m.within(f, e.GetFrame()) || m.within(e.GetFrame(), f) {
			m.t.Fatalf("%s is to be undone, but frame %d undoes %+v", e.GetKey(), f, *x)
		}
	}
	if t := u.tasks[e.GetFrame()].task; e.GetFrame() == 0 && !u.compensates || e.GetFrame() != 0 && !compensates(t) {
		m.t.Fatalf("frame %d undoes %s, but nobody asked for it", e.GetFrame(), e.GetKey())
	}
	for _, later := range slices.Backward(u.done) {
		if later.Key == d.Key {
			break
		}
		if m.within(later.frame, e.GetFrame()) && (!later.InDoubt || e.GetFrame() == 0) {
			m.t.Fatalf("%s is undone before %s", d.Key, later.Key)
		}
	}
	path := u.tasks[d.frame].path
	if at := d.Task + path; u.of[at] != d.Key { // to undo another deed is other work
		u.of[at] = d.Key
		for key, w := range m.work {
			w.settled = w.settled || strings.HasPrefix(key, "o:"+d.Task+"/metadata/holdfast/") && strings.HasPrefix(w.path, path)
		}
		for at, v := range u.visits {
			ref, within := cutPath(at)
			v.over = v.over || strings.HasPrefix(ref, d.Task+"/metadata/holdfast/") && strings.HasPrefix(within, path)
		}
	}
	u.under[e.GetFrame()] = &undone{key: d.Key}
	u.givenUp = u.givenUp || e.GetFrame() == 0
}

func (m *model) settleDeed(key string, done bool) {
	d := m.deed(key)
	switch {
	case d == nil, !d.InDoubt:
	case done:
		d.InDoubt = false
	case m.underKey(key) != nil:
		m.underKey(key).void = true
	default:
		m.undid(key)
	}
}

// cameToLight notes what was done, though it was said to have failed.
func (m *model) cameToLight(w *work, key string) {
	m.did(w.at, key, false)
	if d := m.deed(key); d != nil {
		d.at = w.ended
	}
	slices.SortStableFunc(m.undo.done, func(a, b deed) int { return int(a.at) - int(b.at) })
}

// underKey returns the undoing of a deed; nil if it is not being undone.
func (m *model) underKey(key string) *undone {
	for _, x := range m.undo.under {
		if x.key == key {
			return x
		}
	}
	return nil
}

// interrupted: what was being undone inside of a frame, or by the frame itself, is left as it is.
func (m *model) interrupted(frame uint32, itself bool) {
	for f, x := range m.undo.under {
		if !m.within(f, frame) || f == frame && !itself {
			continue
		}
		if x.begun {
			d := m.deed(x.key)
			d.InDoubt, d.partly = true, true
		}
		delete(m.undo.under, f)
	}
}

// reopened follows what an operator knows about what was done.
func (m *model) reopened(ev *journalv1.Event) {
	u, e, at := &m.undo, ev.GetOrderReopened(), m.reopenedAt[ev].frame
	// A cancellation that waits until something is undone is not forgotten, unless the order goes on elsewhere.
	u.compensates = e.GetHow() == journalv1.Reopening_REOPENING_CANCEL || u.under[0] != nil ||
		u.compensates && e.GetHow() != journalv1.Reopening_REOPENING_RESTART
	var x *undone // what is being undone there
	for f := at; x == nil; f = u.tasks[f].parent {
		if x = u.under[f]; f == 0 {
			break
		}
	}
	retry := e.GetHow() == journalv1.Reopening_REOPENING_RETRY
	for f, other := range u.under {
		if retry && other.failed != 0 && (x == nil || x.failed == 0 || x.failed > other.failed) {
			m.t.Fatalf("%s is about frame %d, but what frame %d undoes had failed before: %+v", show(ev), at, f, *other)
		}
	}
	if retry && x != nil && m.deed(x.key).InDoubt && e.GetNotDone() {
		x.void = true
		if w := m.work[x.key]; w != nil {
			if w.idle = true; !m.deed(x.key).partly {
				w.doubt, w.ledger = false, ""
			}
		}
	}
	skip := e.GetHow() == journalv1.Reopening_REOPENING_SKIP
	for key, w := range m.work {
		if m.settlesWork(w, ev) && !skip && (e.Input != nil || e.GetNotDone()) {
			m.settleDeed(key, false)
		}
	}
	if skip && e.Output != nil {
		m.byHand(e.GetTask(), m.reopenedAt[ev])
	}
	if retry && x != nil {
		if d := m.deed(x.key); x.asked || x.begun || x.void || m.work[d.Key] == nil || m.work[d.Key].Ledger != "" || m.work[d.Key].quarantined {
			d.InDoubt = false
		}
	}
	for _, x := range u.under {
		x.failed = 0
	}
	switch {
	case retry && e.Input != nil && at != 0: // it begins anew
		m.interrupted(at, true)
	case e.GetHow() == journalv1.Reopening_REOPENING_RESTART:
		m.interrupted(at, false)
		u.givenUp = u.givenUp && u.under[0] != nil
	}
}

// byHand notes that an operator has done the work of the task where the order stands.
func (m *model) byHand(ref string, at place) {
	t := m.undo.tasks[at.frame].task
	if t.Ref != ref || !works(t) {
		return
	}
	for id, c := range m.undo.children {
		if c.frame == at.frame {
			if m.deed(id) == nil {
				m.did(at.frame, id, false)
			}
			return
		}
	}
	key := m.frames[at.frame]
	if w := m.work[key]; w != nil {
		if !w.succeeded && !w.late {
			m.did(at.frame, key, false)
		}
		return
	}
	n := 1
	for ; ; n++ {
		if key = "o:" + ref + at.path; n > 1 {
			key += fmt.Sprint("#", n)
		}
		if m.work[key] == nil && !m.undo.byHand[key] {
			break
		}
	}
	m.undo.byHand[key] = true
	m.did(at.frame, key, false)
}

// compensable is what the state should say.
func (m *model) compensable() []workflow.Compensable {
	var out []workflow.Compensable
	for _, d := range slices.Backward(m.undo.done) {
		out = append(out, d.Compensable)
	}
	return out
}

// checkUndo compares what the state says of deeds and children with the model.
func (m *model) checkUndo() {
	if is, want := fmt.Sprint(m.live.Compensable()), fmt.Sprint(m.compensable()); is != want && !m.live.PastReturn() {
		m.t.Fatalf("what can be undone is %s, not %s\n%s", is, want, m.live.Dump(show))
	}
	want := m.awaited()
	var started []string
	tells := false
	for _, e := range m.live.Outstanding() {
		switch e := e.(type) {
		case workflow.StartChild:
			started = append(started, e.Order.GetOrderId())
		case workflow.CancelChild:
			if !slices.Contains(started, e.Order.GetOrderId()) { // once for each frame around it
				started = append(started, e.Order.GetOrderId())
			}
		case workflow.TellParent:
			tells = true
		}
	}
	slices.Sort(started)
	if !slices.Equal(started, want) {
		m.t.Fatalf("the children are %v, but to be started or cancelled are %v", want, started)
	}
	if tells != (m.ended() && m.phase.child && !m.undo.told) || (tells || m.ended() && len(m.deaf()) > 0) != m.live.Untold() {
		m.t.Fatalf("its parent is to be told: %t, but %+v", tells, m.undo)
	}
}

// isUndo tells whether a reference is that of a task that undoes something.
func isUndo(ref string) bool { return strings.Contains(ref, "/metadata/holdfast/") }

// compensates tells whether a task is a try that undoes what was done inside.
func compensates(t *workflow.Task) bool {
	try, ok := t.Kind.(*workflow.Try)
	return ok && try.Compensate
}

// works tells whether a task has work done outside of the order.
func works(t *workflow.Task) bool {
	switch t.Kind.(type) {
	case *workflow.Call, *workflow.Run:
		return true
	}
	return false
}
