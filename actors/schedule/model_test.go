package schedule_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// TestModel has random things happen to a schedule, in batches of which some can't be committed. After each commit the state must be what its
// history makes, read from the first event or from the last summary on. Each due time is fired or passed over once, in order.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(0, 60).Draw(t, "turns") {
			m.turn()
		}
	})
}

var rules = []struct{ rule, settings string }{
	{"{every: {seconds: 10}}", ""},
	{"{every: {seconds: 10}}", "{missed: all}"},
	{"{every: {seconds: 7}}", "{missed: skip, overlap: skip}"},
	{"{cron: '*/20 * * * * *'}", "{overlap: skip}"},
	{"{after: {seconds: 5}}", ""},
	{"{on: {any: [{with: {type: t}}, {with: {type: t, source: /s}}]}}", ""},
	{"{on: {all: [{with: {type: t}, correlate: {k: {from: .data}}}, {with: {type: t}, correlate: {k: {from: .data}}}]}}", ""},
	{"{on: {any: [{with: {type: t}}], until: 'length >= 2'}}", ""},
	{"{on: {any: [{with: {type: t}}], until: {one: {with: {type: t}}}}}", ""},
}

// model is a schedule, and what is known to have happened to it.
type model struct {
	t       *rapid.T
	limits  schedule.Limits
	now     time.Time
	live    *schedule.State
	history []*journalv1.Event
	summary int // the place of the last one in the history; 0: there is none
	version int // of the definition
	def     *workflow.Definition

	next     int64           // when it is due next, by the history
	ids      map[string]bool // of orders for due times
	sequence uint64
}

func newModel(t *rapid.T) *model {
	limits := schedule.Limits{
		Firings: rapid.IntRange(1, 5).Draw(t, "firings"), Collections: rapid.IntRange(1, 4).Draw(t, "collections"),
		Seen: rapid.IntRange(3, 10).Draw(t, "seen"), Summary: rapid.IntRange(3, 30).Draw(t, "summary"),
	}
	return &model{
		t: t, limits: limits, now: began, live: schedule.New(limits), ids: map[string]bool{},
	}
}

// turn decides some commands together, and commits what came of them, or not.
func (m *model) turn() {
	var batch []*journalv1.Event
	def := m.def
	for range rapid.IntRange(1, 3).Draw(m.t, "batch") {
		cmd := m.draw()
		if arm, arms := cmd.(schedule.Arm); !m.live.Exists() && !arms {
			continue
		} else if arms {
			def = arm.Definition
		}
		events, err := m.live.Decide(m.now, cmd)
		if err != nil && len(events) > 0 {
			m.t.Fatalf("%T: %v, and %d events", cmd, err, len(events))
		}
		batch = append(batch, events...)
	}
	if len(batch) > 0 && rapid.IntRange(0, 9).Draw(m.t, "fails") == 0 {
		m.live = m.fold(0)
		return
	}
	m.def = def
	for _, ev := range batch {
		m.history = append(m.history, ev)
		if ev.GetScheduleSummarized() != nil {
			m.summary = len(m.history)
		}
		m.check(ev)
	}
	if len(m.history) > 0 {
		m.compare(m.fold(0))
		m.compare(m.fold(m.summary))
	}
}

// draw makes a command, sensible or not, perhaps some time later.
func (m *model) draw() schedule.Command {
	pauses := []time.Duration{0, 0, 0, -2 * time.Second, time.Millisecond, time.Second, 7 * time.Second, time.Minute, time.Hour}
	m.now = m.now.Add(rapid.SampledFrom(pauses).Draw(m.t, "pause"))
	switch rapid.SampledFrom([]string{
		"arm", "disarm", "pause", "resume", "trigger", "submitted", "submitted", "submitted", "over", "over", "known", "forgotten",
		"offer", "offer", "offer", "offer", "offer", "fire", "due", "due",
	}).Draw(m.t, "command") {
	case "arm":
		r := rapid.SampledFrom(rules).Draw(m.t, "rule")
		m.version++
		return schedule.Arm{Schedule: opened, Definition: compile(m.t, fmt.Sprintf("1.0.%d", m.version), r.rule, r.settings)}
	case "disarm":
		if rapid.IntRange(0, 3).Draw(m.t, "really") == 0 {
			return schedule.Arm{}
		}
	case "pause":
		return schedule.Pause{By: "jane"}
	case "resume":
		return schedule.Resume{By: "joe"}
	case "trigger":
		return schedule.Trigger{OrderID: messages.OrderID(fmt.Sprint("hand-", len(m.history)))}
	case "submitted":
		if orders := m.live.Unsubmitted(); len(orders) > 0 {
			c := schedule.Submitted{Number: rapid.SampledFrom(orders).Draw(m.t, "order").Number}
			if rapid.IntRange(0, 4).Draw(m.t, "refused") == 0 {
				c.Error = problem
			}
			return c
		}
	case "over":
		if last := m.live.Show().GetLast(); last != nil {
			return schedule.Over{OrderID: messages.OrderID(last.GetFired().GetOrderId())}
		}
	case "known":
		return schedule.Known{Listener: m.listener()}
	case "forgotten":
		return schedule.Forgotten{Listener: m.listener()}
	case "offer":
		m.sequence++
		return schedule.Offered{
			Listener: m.listener(), Sequence: m.sequence,
			Event: event(fmt.Sprint("e", rapid.IntRange(0, 30).Draw(m.t, "event")), fmt.Sprint(rapid.IntRange(0, 1).Draw(m.t, "data"))),
		}
	case "due":
		if due := m.live.NextDue(); due.After(m.now) {
			m.now = due
		}
	}
	return schedule.TimerFired{}
}

// listener is the number of a listener, of which the last ones are there.
func (m *model) listener() uint32 {
	last := uint32(1)
	for _, ev := range m.history {
		for _, l := range slices.Concat(ev.GetScheduleArmed().GetListeners(), ev.GetScheduleResumed().GetListeners()) {
			last = max(last, l.GetNumber())
		}
	}
	return last - rapid.Uint32Range(0, min(last-1, 3)).Draw(m.t, "listener")
}

// fold folds the history from an event on.
func (m *model) fold(from int) *schedule.State {
	s := schedule.From(messages.Version(max(from, 1)), m.limits)
	for _, ev := range m.history[max(from-1, 0):] {
		s.Evolve(proto.CloneOf(ev))
	}
	if name, _ := s.Wanting(); name != "" {
		if m.def == nil || name != m.def.Ref.String() {
			m.t.Fatalf("it wants %s, but armed is %v", name, m.def)
		}
		s.Give(m.def)
	}
	return s
}

// view is all that can be seen of a state.
func view(s *schedule.State) []any {
	begin, end := s.Untold()
	facts := s.Facts()
	verdicts := map[uint32]journalv1.Verdict{}
	for n := range uint32(20) {
		verdicts[n] = s.Verdict(n, 1<<40)
	}
	return []any{
		s.Version(), s.NextDue(), s.Size(), s.Busy(), s.Idle(), fmt.Sprint(s.Show()), fmt.Sprint(facts.OpenRow()),
		fmt.Sprint(s.Unsubmitted()), fmt.Sprint(begin, end), verdicts,
	}
}

// compare compares a state that was read with the live one, but for whether it knows where it can be read from.
func (m *model) compare(read *schedule.State) {
	if got, want := view(read), view(m.live); !reflect.DeepEqual(got, want) {
		m.t.Fatalf("read is\n%v\nlive is\n%v", got, want)
	}
}

// check checks one more event of the history.
func (m *model) check(ev *journalv1.Event) {
	switch {
	case ev.GetScheduleArmed() != nil:
		m.next = ev.GetScheduleArmed().GetNext()
	case ev.GetScheduleResumed() != nil:
		m.next = ev.GetScheduleResumed().GetNext()
	case ev.GetSchedulePaused() != nil, ev.GetScheduleDisarmed() != nil:
		m.next = 0
	case ev.GetFiringEnded() != nil:
		m.next = ev.GetFiringEnded().GetNext()
	case ev.GetScheduleFired() != nil:
		m.fired(ev.GetScheduleFired())
	case ev.GetScheduleSkipped() != nil:
		e := ev.GetScheduleSkipped()
		if e.GetFrom() != 0 && (e.GetFrom() != m.next || e.GetTo() < e.GetFrom() || e.GetNext() <= e.GetTo()) {
			m.t.Fatalf("passed over is %v, but it was due at %d", e, m.next)
		}
		m.next = e.GetNext()
	}
}

func (m *model) fired(e *journalv1.ScheduleFired) {
	if e.GetDue() != 0 && m.ids[e.GetOrderId()] {
		m.t.Fatalf("order %s comes into being twice", e.GetOrderId())
	}
	m.ids[e.GetOrderId()] = true
	if e.GetDue() != 0 && (e.GetDue() != m.next || e.GetNext() != 0 && e.GetNext() <= e.GetDue()) {
		m.t.Fatalf("fired is %v, but it was due at %d", e, m.next)
	}
	m.next = e.GetNext()
}
