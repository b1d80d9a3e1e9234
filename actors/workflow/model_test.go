package workflow_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// TestModel runs random orders of random definitions: any commands in any order, in batches, with commits that fail and
// processes that die; then lets all that is outstanding be answered. After each commit, the state must be what refolding the
// history gives, what is outstanding must be what a simple model of attempts says, and in the end the order must have ended,
// some retries by an operator later.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		m.turn([]workflow.Command{m.accept()})
		for range rapid.IntRange(0, 20).Draw(t, "turns") {
			// The clock of who decides next may be behind that of who decided last.
			m.now = m.now.Add(rapid.SampledFrom([]time.Duration{-4 * time.Second, 0, time.Millisecond, 2 * time.Second, time.Minute}).Draw(t, "pause"))
			m.turn(m.draw())
		}
		m.finish()
	})
}

// model is an order, and what it is known to have under way.
type model struct {
	t       *rapid.T
	def     *workflow.Definition
	limits  workflow.Limits
	now     time.Time
	live    *workflow.State
	history [][]byte // records, one a commit
	version uint64
	// dated is when the last event was decided, committedAt when the last that was committed was.
	dated, committedAt int64
	frames             map[uint32]string // keys of calls
	work               map[string]*work
	phase              phase
	undo               undoing
	back               returning
	events             eventing
	// looped is, for each branch, when all would be over that was given back in it, had that been so once a second.
	looped map[uint32]time.Time
	// shadow follows each event, and reopenedAt has what the state says of reopenings before.
	shadow     *workflow.State
	reopenedAt map[*journalv1.Event]place
}

// work is what happened to a key.
type work struct {
	workflow.Dispatch // of the last attempt

	inFlight, succeeded, doubt bool
	// settled: an operator did; abandoned: nobody knows what came of the last attempt; late: it succeeded, as came out later.
	// idle: an operator has settled that, or it was undone.
	settled, abandoned, late, idle bool
	ledger, confirmed              string
	lostBy                         []string
	doubts                         string                // whose loss made the work doubtful, if it was nothing else
	told                           []workflow.TaskResult // since the last events
	quarantined                    bool
	// at is the frame of the last attempt that was no inquiry, within how long one may run, ended the version at which it did.
	at     uint32
	within time.Duration
	ended  uint64
	// path is that of the branches around it. past: the task that runs them has completed since.
	path string
	past bool
	// beside: it came to light as done while the error of its branch waited for others.
	beside bool
}

func newModel(t *rapid.T) *model {
	doc := document(t)
	def, mistakes := definition.Compile(doc, definition.Limits{Time: time.Minute})
	if len(mistakes) > 0 {
		t.Fatalf("%s\n%v", doc, mistakes)
	}
	limits := workflow.Limits{
		Steps: rapid.IntRange(1, 12).Draw(t, "steps"), Events: 160, StopGrace: 10 * time.Second,
		Loops: rapid.IntRange(1, 8).Draw(t, "loops"), Behind: 2, Consumed: 1 << 20,
	}
	return &model{
		t: t, def: def, limits: limits, now: began, live: workflow.New(def, new(limits.WithDefaults())),
		frames: map[uint32]string{}, work: map[string]*work{}, looped: map[uint32]time.Time{},
		shadow: workflow.New(def, new(limits.WithDefaults())), reopenedAt: map[*journalv1.Event]place{},
		undo: newUndoing(), back: returning{next: 1, unwinding: map[uint32]bool{}}, events: newEventing(),
	}
}

func (m *model) accept() workflow.Command {
	o := &journalv1.OrderAccepted{
		OrderId: "o", Input: []byte(rapid.SampledFrom([]string{`{"n":1,"d":"PT3S"}`, `{"n":2}`, `"x"`}).Draw(m.t, "input")),
		ContentHash: []byte("h"),
	}
	if rapid.IntRange(0, 4).Draw(m.t, "deadline") == 4 {
		o.Deadline = m.now.Add(20 * time.Second).UnixNano()
	}
	if rapid.Bool().Draw(m.t, "keyed") {
		o.OrderKey = "k"
	}
	if rapid.IntRange(0, 2).Draw(m.t, "child") == 2 {
		o.Parent = &journalv1.Parent{OrderId: "p"}
		if rapid.Bool().Draw(m.t, "in its parent's turn") {
			o.Parent.Turns = []string{"k"}
		}
	}
	o.Intake = rapid.IntRange(0, 3).Draw(m.t, "intake") == 3
	return workflow.Accept{Order: o, Queued: o.GetIntake() || rapid.IntRange(0, 3).Draw(m.t, "queued") == 3}
}

// draw makes up to three commands, sensible or not.
func (m *model) draw() []workflow.Command {
	var out []workflow.Command
	for _, w := range m.work {
		w.told = nil
	}
	for range rapid.IntRange(1, 3).Draw(m.t, "batch") {
		switch rapid.SampledFrom([]string{
			"result", "result", "result", "old", "fire", "fire", "due", "sent", "lost", "found", "goes on", "cancel", "start", "take up", "continue", "continue", "fault", "accept",
			"reopen", "reopen", "suspend", "resume", "release", "complete", "child", "child", "told", "slot", "slot", "slot",
		}).Draw(m.t, "command") {
		case "result":
			out = append(out, m.result(m.keys(true)))
		case "old":
			out = append(out, m.result(m.keys(false)))
		case "fire":
			out = append(out, workflow.TimerFired{})
		case "due":
			if due := m.live.NextDue(); due.After(m.now) {
				m.now = due.Add(time.Duration(rapid.IntRange(-1, 1).Draw(m.t, "off")))
			}
			out = append(out, workflow.TimerFired{})
		case "sent":
			key := m.key(m.keys(true))
			out = append(out, workflow.Sent{
				Key: key, Attempt: m.attempt(key), Ledger: rapid.SampledFrom([]string{"L1", "L2"}).Draw(m.t, "ledger"),
			})
		case "lost":
			key := m.key(m.keys(true))
			out = append(out, workflow.Lost{
				Key: key, Attempt: m.attempt(key), Process: rapid.SampledFrom([]string{"P1", "P2"}).Draw(m.t, "process"),
				Alone: rapid.Bool().Draw(m.t, "alone"), Suspect: rapid.Bool().Draw(m.t, "suspect"),
			})
		case "found":
			key := m.key(m.keys(true))
			if w := m.work[key]; w != nil && len(w.lostBy) > 0 {
				process := rapid.SampledFrom(w.lostBy).Draw(m.t, "process")
				out = append(out, workflow.Found{
					Key: key, Attempt: m.attempt(key), Process: process,
					Kept: process == w.lostBy[len(w.lostBy)-1] && rapid.Bool().Draw(m.t, "kept"),
				})
			}
		case "goes on":
			key := m.key(m.keys(true))
			out = append(out, workflow.GoesOn{Key: key, Attempt: m.attempt(key)})
		case "cancel":
			if rapid.IntRange(0, 3).Draw(m.t, "really") == 3 {
				out = append(out, workflow.Cancel{Reason: "r", Compensate: rapid.Bool().Draw(m.t, "compensate"), Later: rapid.Bool().Draw(m.t, "later"), Turn: []byte("T")})
			}
		case "take up":
			out = append(out, workflow.TakeUp{})
		case "start":
			out = append(out, workflow.Start{})
		case "continue":
			out = append(out, workflow.Continue{})
		case "fault":
			if rapid.IntRange(0, 5).Draw(m.t, "really") == 5 {
				out = append(out, workflow.Fault{Error: &problemv1.Problem{Type: workflow.ErrorTypeRuntime, Status: 500}})
			}
		case "reopen":
			out = append(out, m.reopen())
		case "suspend":
			out = append(out, workflow.Suspend{By: "b"})
		case "resume":
			out = append(out, workflow.Resume{By: "b"})
		case "release":
			out = append(out, workflow.ReleaseKey{By: "b"})
		case "complete":
			if rapid.IntRange(0, 5).Draw(m.t, "really") == 5 {
				out = append(out, workflow.Complete{Output: []byte(`"by hand"`), By: "b"})
			}
		case "child":
			out = append(out, m.childResult())
		case "slot":
			out = append(out, m.slotSays())
		case "told":
			out = append(out, workflow.Told{Version: m.live.Result().Version - messages.Version(rapid.IntRange(0, 1).Draw(m.t, "old"))})
		case "accept":
			out = append(out, workflow.Accept{Order: &journalv1.OrderAccepted{OrderId: "o", ContentHash: []byte("h")}})
		}
	}
	return out
}

// keys are those with an attempt in flight, or all.
func (m *model) keys(inFlight bool) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m.work)) {
		if m.work[key].inFlight || !inFlight {
			out = append(out, key)
		}
	}
	return append(out, "o:/do/9/nobody")
}

func (m *model) key(keys []string) string { return rapid.SampledFrom(keys).Draw(m.t, "key") }

// turn decides a batch of commands and commits what came of it; or fails to, and reads the order back.
func (m *model) turn(batch []workflow.Command) {
	twin := refold(m.t, m.def, m.limits, m.history)
	var events []*journalv1.Event
	full := rapid.IntRange(0, 3).Draw(m.t, "full") == 3 // no activity has a place
	for len(batch) > 0 {
		cmd := batch[0]
		batch = batch[1:]
		chance := rapid.Uint64().Draw(m.t, "chance")
		more := slices.Contains(m.live.Outstanding(), workflow.Effect(workflow.More{}))
		due := m.live.NextDue()
		clone := m.live.Clone()
		before := m.live.Clone()
		dump := clone.Dump(show)
		made, err := m.live.Decide(m.now, chance, cmd)
		if after := clone.Dump(show); after != dump {
			m.t.Fatalf("%#v changed a clone of the state from\n%s\nto\n%s", cmd, dump, after)
		}
		if rapid.Bool().Draw(m.t, "clone") {
			if again, _ := clone.Decide(m.now, chance, cmd); !proto.Equal(record(made), record(again)) || clone.Dump(show) != m.live.Dump(show) {
				m.t.Fatalf("%#v: the state decided\n%s but its clone\n%s", cmd, list(made), list(again))
			}
		}
		again, errAgain := twin.Decide(m.now, chance, cmd)
		if fmt.Sprint(errAgain) != fmt.Sprint(err) || !proto.Equal(record(made), record(again)) {
			m.t.Fatalf("%#v: the state decided\n%s(%v), but refolded\n%s(%v)", cmd, list(made), err, list(again), errAgain)
		}
		if err != nil && len(made) > 0 {
			m.t.Fatalf("%#v was refused with %v, but events were made", cmd, err)
		}
		m.checkSkipped(cmd, made)
		m.checkFollows(made)
		for _, ev := range made {
			if e := ev.GetOrderReopened(); e != nil {
				frame, path := before.ReopenedAt(e)
				m.reopenedAt[ev] = place{frame, path}
			}
		}
		if _, fired := cmd.(workflow.TimerFired); fired && !more {
			if is := !due.IsZero() && !due.After(m.now); is != (len(made) > 0) {
				m.t.Fatalf("next due at %s, now %s, but firing made\n%s", due, m.now, list(made))
			}
		}
		events = append(events, made...)
		m.checkDates(made)
		for _, ev := range made {
			if full && ev.GetAttemptScheduled() != nil {
				batch = slices.Insert(batch, 0, workflow.Command(workflow.Overflow{Frame: ev.GetAttemptScheduled().GetFrame(), Epoch: 7}))
			}
		}
	}
	if a, b := m.live.Dump(show), twin.Dump(show); a != b {
		m.t.Fatalf("after the same decisions, the state is\n%s\nbut refolded\n%s", a, b)
	}
	if rapid.IntRange(0, 9).Draw(m.t, "commit") == 9 && len(m.history) > 0 {
		m.live, m.dated = refold(m.t, m.def, m.limits, m.history), m.committedAt
		m.check()
		return
	}
	m.commit(events)
}

// checkDates makes sure that events bear the time at which they were decided, and none is dated before one that came before it.
func (m *model) checkDates(made []*journalv1.Event) {
	for _, ev := range made {
		if m.dated = max(m.dated, m.now.UnixNano()); ev.GetAt() != m.dated {
			m.t.Fatalf("%s is dated %s, and not %s", show(ev), time.Unix(0, ev.GetAt()), time.Unix(0, m.dated))
		}
	}
}

func (m *model) commit(events []*journalv1.Event) {
	if len(events) == 0 {
		m.check()
		return
	}
	raw, err := proto.Marshal(record(events))
	if err != nil {
		m.t.Fatal(err)
	}
	m.history, m.committedAt = append(m.history, raw), m.dated
	before := m.inFlight()
	for _, ev := range events {
		m.version++
		m.noteEvent(ev)
		m.checkBeside(ev)
		m.noteBranch(ev)
		m.noteReturn(ev)
		m.noteUndo(ev)
		m.noteChild(ev)
		m.follow(ev)
		m.note(ev)
	}
	m.check()
	outstanding := fmt.Sprintf("%+v", m.live.Outstanding())
	for _, e := range m.live.Effects(events) {
		switch c := e.(type) {
		case workflow.CancelAttempt:
			c.Again = true
			if !strings.Contains(outstanding, fmt.Sprintf("%+v", c)) {
				m.t.Fatalf("%s attempt %d is cancelled, but need not be", c.Key, c.Attempt)
			}
		case workflow.CancelChild:
			if !strings.Contains(outstanding, fmt.Sprintf("%+v", c)) {
				m.t.Fatalf("%s is cancelled, but need not be", c.Order.GetOrderId())
			}
		}
		if d, ok := e.(workflow.Dispatch); ok {
			if before[d.Key].Attempt == d.Attempt {
				m.t.Fatalf("%s attempt %d was dispatched before", d.Key, d.Attempt)
			}
			before[d.Key] = d
		}
	}
	now := m.inFlight()
	maps.DeleteFunc(before, func(key string, _ workflow.Dispatch) bool { _, ok := now[key]; return !ok })
	for key, d := range now {
		if before[key].Attempt != d.Attempt {
			m.t.Fatalf("%s attempt %d was never dispatched", key, d.Attempt)
		}
	}
}

func (m *model) ended() bool { return m.phase.end != orderv1.Status_STATUS_UNSPECIFIED }

// check compares the state with the history and the model.
func (m *model) check() {
	if a, b := m.live.Dump(show), refold(m.t, m.def, m.limits, m.history).Dump(show); a != b {
		m.t.Fatalf("the state is\n%s\nbut its history makes\n%s", a, b)
	}
	if wrong := m.live.Wrong(); wrong != "" {
		m.t.Fatalf("%s\n%s", wrong, m.live.Dump(show))
	}
	if uint64(m.live.Version()) != m.version {
		m.t.Fatalf("version is %d after %d events", m.live.Version(), m.version)
	}
	status := m.live.Status()
	pending := !m.ended() && !m.phase.suspended && (!m.phase.started || m.phase.queued)
	if m.phase.stopping && m.phase.queued { // what it has done is undone in its turn
		pending = !m.ended() && (m.undo.compensates && len(m.undo.done) > 0 || len(m.undo.under) > 0)
	}
	pending = pending && len(m.publishing())+len(m.unheard())+len(m.deaf()) == 0 // else something is told to slots
	if m.ended() && status != m.phase.end || !m.ended() && m.live.Ended() || (status == orderv1.Status_STATUS_PENDING) != pending ||
		(status == orderv1.Status_STATUS_SUSPENDED) != (m.phase.suspended && !m.phase.stopping) || m.live.HoldsKey() != m.phase.holds() {
		m.t.Fatalf("status is %s, holding its key %t: %+v", status, m.live.HoldsKey(), m.phase)
	}
	want, more := m.inFlight(), false
	for _, e := range m.live.Outstanding() {
		switch e := e.(type) {
		case workflow.Dispatch:
			is := e
			is.Task, is.Input, is.Again = "", nil, false
			if fmt.Sprint(is) != fmt.Sprint(want[e.Key]) || !e.Again {
				m.t.Fatalf("outstanding is %+v, but %+v is in flight", e, want[e.Key])
			}
			delete(want, e.Key)
		case workflow.CancelAttempt:
			if w := m.work[e.Key]; w == nil || !w.inFlight || w.Attempt != e.Attempt || !e.Again {
				m.t.Fatalf("%+v is outstanding, but not in flight", e)
			}
		case workflow.More:
			more = true
		}
	}
	m.checkOverflow()
	m.checkDoubts()
	m.checkUndo()
	m.checkEvents()
	if len(want) > 0 {
		m.t.Fatalf("in flight, but not outstanding: %v", want)
	}
	if due := m.live.NextDue(); !more && !due.IsZero() && !due.After(m.now) {
		again := refold(m.t, m.def, m.limits, m.history)
		if events, err := again.Decide(m.now, 0, workflow.TimerFired{}); err != nil || len(events) == 0 {
			m.t.Fatalf("due at %s, but nothing happens then: %v", due, err)
		}
	}
	flying := len(m.inFlight())+len(m.awaited())+len(m.publishing())+len(m.unheard()) > 0
	ending := len(m.deaf()) > 0 // there is a slot that does not know what it need not know soon
	switch {
	case m.ended() && (more || flying || !m.live.NextDue().IsZero()):
		m.t.Fatalf("ended, but something is outstanding or due at %s:\n%+v", m.live.NextDue(), m.live.Outstanding())
	case status == orderv1.Status_STATUS_WAITING && (more || flying || ending || m.live.NextDue().IsZero() && !m.live.Listens()):
		m.t.Fatal("waiting, but not for a time or for events alone")
	case status == orderv1.Status_STATUS_RUNNING && !more && !flying && !ending:
		m.t.Fatal("running, but nothing is under way")
	case status == orderv1.Status_STATUS_SUSPENDED && (more || !m.live.NextDue().IsZero()):
		m.t.Fatalf("suspended, but more is to do, or due at %s", m.live.NextDue())
	case status == orderv1.Status_STATUS_PENDING && (more || flying):
		m.t.Fatal("pending, but something is under way")
	}
}

// finish answers all that is outstanding, as recovery would have it, until the order has ended.
func (m *model) finish() {
	retries, meddles := 0, rapid.IntRange(0, 3).Draw(m.t, "meddles")
	for range 20 * int(m.limits.Events) {
		outstanding := m.live.Outstanding()
		switch {
		case !m.ended() && meddles > 0 && rapid.IntRange(0, 5).Draw(m.t, "meddle") == 5:
			meddles--
			m.turn([]workflow.Command{m.meddle()})
		case m.phase.end == orderv1.Status_STATUS_FAULTED && retries < 3:
			retries++
			c := m.reopen()
			c.Deadline = m.now.Add(time.Hour).UnixNano()
			m.turn([]workflow.Command{c})
		case m.ended() && len(m.deaf()) > 0:
			m.turn([]workflow.Command{m.slotsAnswer()})
		case m.ended():
			m.turn([]workflow.Command{workflow.Told{Version: m.live.Result().Version}})
			return
		case m.phase.suspended && !m.phase.stopping:
			m.turn([]workflow.Command{workflow.Resume{}})
		case m.live.Status() == orderv1.Status_STATUS_PENDING:
			m.turn([]workflow.Command{workflow.Start{}})
		case slices.Contains(outstanding, workflow.Effect(workflow.More{})):
			m.turn([]workflow.Command{workflow.Continue{}})
		case len(m.inFlight()) > 0 && rapid.IntRange(0, 3).Draw(m.t, "answer") > 0:
			m.turn([]workflow.Command{m.result(m.keys(true))})
		case len(m.awaited()) > 0 && rapid.IntRange(0, 3).Draw(m.t, "answer") > 0:
			m.turn([]workflow.Command{m.childResult()})
		case len(m.publishing())+len(m.deaf())+len(m.listening()) > 0 && rapid.IntRange(0, 3).Draw(m.t, "slots") > 0:
			m.turn([]workflow.Command{m.slotsAnswer()})
		case !m.live.NextDue().IsZero():
			if due := m.live.NextDue(); due.After(m.now) {
				m.now = due
			}
			m.turn([]workflow.Command{workflow.TimerFired{}})
		case len(m.inFlight())+len(m.awaited())+len(m.publishing())+len(m.deaf())+len(m.listening()) == 0:
			m.t.Fatalf("nothing is outstanding, but the order has not ended:\n%s", m.live.Dump(show))
		}
	}
	m.t.Fatalf("the order does not end:\n%s", m.live.Dump(show))
}

// meddle makes what an operator may do to an order that goes on.
func (m *model) meddle() workflow.Command {
	if rapid.Bool().Draw(m.t, "halt") {
		return workflow.Fault{Error: &problemv1.Problem{Type: workflow.ErrorTypeRuntime, Status: 500}}
	}
	return workflow.Cancel{Reason: "r", Compensate: true, Turn: []byte("T")}
}

func list(events []*journalv1.Event) string {
	var out strings.Builder
	for _, ev := range events {
		out.WriteString(show(ev) + "\n")
	}
	return out.String()
}
