package schedule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wantDues(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("orders came into being for %v, want %v", got, want)
	}
}

// Due times come in the interval, from when the definition was armed; and what was missed is dealt with as the definition says.
func TestMissed(t *testing.T) {
	t.Parallel()
	const s, late = time.Second, 10*time.Minute + 3*time.Second
	for name, c := range map[string]struct {
		settings string
		want     []time.Duration // after a pause of ten minutes and three seconds
	}{
		"by default the last":                   {"", []time.Duration{610 * s}},
		"last":                                  {"{missed: last}", []time.Duration{610 * s}},
		"none, but for one that is little late": {"{missed: skip}", []time.Duration{610 * s}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := armed(t, "{every: {seconds: 10}}", c.settings)
			wantDues(t, x.wait(9*s))
			wantDues(t, x.wait(1*s), 10*s)
			wantDues(t, x.wait(late), c.want...)
			if skipped := x.Show().GetSkipped(); skipped.GetFrom() != began.Add(20*s).UnixNano() ||
				skipped.GetTo() != began.Add(600*s).UnixNano() || skipped.GetWhy() != journalv1.Skip_SKIP_MISSED {
				t.Errorf("passed over were %v", skipped)
			}
			wantDues(t, x.wait(7*s), 620*s)
		})
	}
	x := armed(t, "{every: {minutes: 5}}", "{missed: skip}")
	wantDues(t, x.wait(8*time.Minute))
	wantDues(t, x.wait(2*time.Minute+10*s), 10*time.Minute)

	x = armed(t, "{every: {seconds: 10}}", "{missed: all}")
	got := x.wait(time.Hour)
	if len(got) != 360 || got[0] != 10*s || got[359] != time.Hour || !slices.IsSorted(got) {
		t.Errorf("%d orders came into being, from %v", len(got), got[:1])
	}
}

// Very many missed times take no time.
func TestMissedForYears(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]time.Duration{
		"{every: {seconds: 1}}": 9 * 365 * 24 * time.Hour,
		"{cron: '* * * * *'}":   9 * 365 * 24 * time.Hour,
		"{cron: '0 0 1 1 *'}":   time.Date(2038, time.January, 1, 0, 0, 0, 0, time.UTC).Sub(began),
	} {
		wantDues(t, armed(t, rule, "").wait(9*365*24*time.Hour), want)
	}
}

// Where orders may not overlap, what is due while one runs is passed over.
func TestOverlap(t *testing.T) {
	t.Parallel()
	const s = time.Second
	x := armed(t, "{every: {seconds: 10}}", "{overlap: skip}")
	wantDues(t, x.wait(10*s), 10*s)
	wantDues(t, x.wait(10*s))
	if why := x.Show().GetSkipped().GetWhy(); why != journalv1.Skip_SKIP_OVERLAP {
		t.Errorf("passed over because of %v", why)
	}
	x.must(schedule.Over{OrderID: messages.DueOrderID(opened, began.Add(10*s))})
	wantDues(t, x.wait(10*s), 30*s)
	x = armed(t, "{every: {seconds: 10}}", "")
	wantDues(t, append(x.wait(10*s), x.wait(10*s)...), 10*s, 20*s)
}

// The next order comes so long after the end of the one before.
func TestAfter(t *testing.T) {
	t.Parallel()
	const s = time.Second
	x := armed(t, "{after: {seconds: 10}}", "")
	wantDues(t, x.wait(10*s), 10*s)
	wantDues(t, x.wait(time.Hour))
	if o := x.NextDue(); !o.IsZero() {
		t.Errorf("the next one is due at %v, before the one before has ended", o)
	}
	x.must(schedule.Over{OrderID: messages.DueOrderID(opened, began.Add(10*s))})
	wantDues(t, x.wait(9*s))
	wantDues(t, x.wait(1*s), time.Hour+20*s)
	x.must(schedule.Trigger{OrderID: "by-hand"})
	x.submitAll()
	x.must(schedule.Over{OrderID: messages.DueOrderID(opened, began.Add(time.Hour+20*s))})
	wantDues(t, x.wait(time.Minute))
	x.must(schedule.Over{OrderID: "by-hand"})
	wantDues(t, x.wait(10*s), time.Hour+time.Minute+30*s)
}

// Whoever is paused passes over what becomes due, and does not make up for it.
func TestPause(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for rule, want := range map[string]time.Duration{
		"{every: {seconds: 10}}": 40 * s, "{cron: '*/10 * * * * *'}": 40 * s, "{after: {seconds: 10}}": 45 * s,
	} {
		x := armed(t, rule, "{}")
		x.must(schedule.Pause{By: "jane", Reason: "why"})
		x.must(schedule.Pause{By: "joe"})
		if p := x.Show().GetPaused(); p.GetBy() != "jane" || p.GetReason() != "why" {
			t.Errorf("paused: %v", p)
		}
		wantDues(t, x.wait(35*s))
		x.must(schedule.Resume{By: "jane"})
		wantDues(t, x.wait(10*s), want)
	}
	x := schedule.New(schedule.Limits{})
	for _, cmd := range []schedule.Command{schedule.Pause{}, schedule.Resume{}, schedule.Trigger{OrderID: "a"}} {
		if _, err := x.Decide(began, cmd); !errors.Is(err, schedule.ErrUnknown) {
			t.Errorf("%T of what is not there: %v", cmd, err)
		}
	}
}

// A later version takes over: with the same rule all goes on as it stands, with another one it begins anew.
func TestNextVersion(t *testing.T) {
	t.Parallel()
	const s = time.Second
	x := armed(t, "{every: {seconds: 10}}", "")
	x.wait(5 * s)
	arm := func(version, rule string) {
		x.must(schedule.Arm{Schedule: opened, Definition: compile(t, version, rule, "")})
	}
	arm("1.1.0", "{every: PT20S}")
	wantDues(t, x.wait(19*s))
	wantDues(t, x.wait(1*s), 25*s)
	arm("1.2.0", "{every: {seconds: 20}}") // the same, written otherwise
	wantDues(t, x.wait(20*s), 45*s)
	if got := x.Show().GetLast().GetFired().GetDefinition(); got != "test/job:1.2.0" {
		t.Errorf("it was an order of %s", got)
	}
	x.must(schedule.Arm{})
	wantDues(t, x.wait(time.Hour))
	if !x.Idle() {
		t.Error("it is not idle, though nothing is armed")
	}
	if _, err := x.Decide(x.now, schedule.Trigger{OrderID: "a"}); !errors.Is(err, schedule.ErrUnknown) {
		t.Errorf("trigger: %v", err)
	}
	arm("1.3.0", "{every: PT20S}")
	wantDues(t, x.wait(20*s), time.Hour+65*s)
}

// What is asked for comes into being once, with an input that the definition takes.
func TestTrigger(t *testing.T) {
	t.Parallel()
	x := armed(t, "{every: {seconds: 10}}", "")
	x.must(schedule.Trigger{OrderID: "a", Input: []byte(`{"x":1}`), By: "jane", Reason: "why"})
	if again := x.must(schedule.Trigger{OrderID: "a"}); len(again) != 0 {
		t.Errorf("triggered again: %v", again)
	}
	orders := x.Unsubmitted()
	if len(orders) != 1 || orders[0].Order.GetOrderId() != "a" || string(orders[0].Order.GetInput()) != `{"x":1}` {
		t.Errorf("to be submitted: %v", orders)
	}
	x.submitAll()
	if x.Busy() {
		t.Error("it is busy, though all is submitted")
	}
	def := compile(t, "2.0.0", "{every: {seconds: 10}}", "")
	def.Input = compileInput(t).Input
	x.must(schedule.Arm{Schedule: opened, Definition: def})
	if _, err := x.Decide(x.now, schedule.Trigger{OrderID: "b", Input: []byte(`{"x":"1"}`)}); !errors.Is(err, schedule.ErrUnfit) {
		t.Errorf("an input that does not fit: %v", err)
	}
}

// What is refused for good is told, and the schedule goes on.
func TestRefused(t *testing.T) {
	t.Parallel()
	const s = time.Second
	x := armed(t, "{after: {seconds: 10}}", "")
	x.now = x.now.Add(10 * s)
	x.must(schedule.TimerFired{})
	x.must(schedule.Submitted{Number: 1, Error: problem})
	if got := x.Show().GetLast().GetError().GetTitle(); got != problem.GetTitle() {
		t.Errorf("the last error is %q", got)
	}
	wantDues(t, x.wait(10*s), 20*s)
}

// Each event makes an order; and an event that comes through two filters makes one.
func TestOnAny(t *testing.T) {
	t.Parallel()
	x := armed(t, "{on: {any: [{with: {type: t}}, {with: {type: t, source: /s}}]}}", "")
	if v := x.offer(0, 7, "e1", "1"); v != journalv1.Verdict_VERDICT_TAKEN {
		t.Errorf("the first event: %v", v)
	}
	if v := x.offer(0, 7, "e1", "1"); v != journalv1.Verdict_VERDICT_TAKEN {
		t.Errorf("again: %v", v)
	}
	if v := x.offer(1, 7, "e1", "1"); v != journalv1.Verdict_VERDICT_DECLINED {
		t.Errorf("by the other filter: %v", v)
	}
	x.offer(0, 8, "e2", "2")
	wantInputs(t, x, `[{"specversion":"1.0","id":"e1","source":"/s","type":"t","data":1}]`,
		`[{"specversion":"1.0","id":"e2","source":"/s","type":"t","data":2}]`)
}

func wantInputs(t *testing.T, x *shown, want ...string) {
	t.Helper()
	var got []string
	for _, o := range x.Unsubmitted() {
		got = append(got, string(o.Order.GetInput()))
	}
	if !slices.Equal(got, want) {
		t.Errorf("to be submitted is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	x.submitAll()
}

// Events that belong together make one order, whichever come first.
func TestOnAll(t *testing.T) {
	t.Parallel()
	both := "{on: {all: [{with: {type: t}, correlate: {k: {from: .data}}}, {with: {type: t}, correlate: {k: {from: .data}}}]}}"
	x := armed(t, both, "")
	x.offer(0, 1, "a1", "1")
	x.offer(0, 2, "a2", "2")
	x.offer(0, 3, "b1", "1") // another one of the first filter
	wantInputs(t, x)
	x.offer(1, 1, "c2", "2")
	wantInputs(t, x, "["+string(event("a2", "2"))+","+string(event("c2", "2"))+"]")
	x.offer(1, 2, "c1", "1")
	wantInputs(t, x, "["+string(event("a1", "1"))+","+string(event("c1", "1"))+"]")
	if got := x.Show().GetCollected(); got != 1 {
		t.Errorf("%d events are collected, want 1", got)
	}
}

// Events are collected until a condition holds, or until another event comes.
func TestOnUntil(t *testing.T) {
	t.Parallel()
	x := armed(t, "{on: {any: [{with: {type: t}}], until: 'length >= 2'}}", "")
	x.offer(0, 1, "a", "1")
	wantInputs(t, x)
	x.offer(0, 2, "b", "2")
	wantInputs(t, x, "["+string(event("a", "1"))+","+string(event("b", "2"))+"]")

	x = armed(t, "{on: {any: [{with: {type: t}}], until: {one: {with: {type: t}}}}}", "")
	x.offer(1, 1, "stop", "0")
	if s := x.Show().GetSkipped(); s.GetWhy() != journalv1.Skip_SKIP_UNFIT {
		t.Errorf("an end before any event: %v", s)
	}
	x.offer(0, 1, "a", "1")
	x.offer(1, 2, "stop2", "0")
	wantInputs(t, x, "["+string(event("a", "1"))+"]")
}

// Whoever is paused does not listen, and what comes to a listener of before is for others.
func TestPausedListener(t *testing.T) {
	t.Parallel()
	x := armed(t, "{on: {one: {with: {type: t}}}}", "")
	x.offer(0, 5, "a", "1")
	x.must(schedule.Pause{})
	if v := x.Verdict(1, 5); v != journalv1.Verdict_VERDICT_TAKEN {
		t.Errorf("what was taken before: %v", v)
	}
	x.must(schedule.Offered{Listener: 1, Sequence: 6, Event: event("b", "1")})
	if v := x.Verdict(1, 6); v != journalv1.Verdict_VERDICT_OVER {
		t.Errorf("while it is paused: %v", v)
	}
	_, end := x.Untold()
	if len(end) != 1 || end[0].Listener != 1 || end[0].Consumed != 5 {
		t.Errorf("to be told: %v", end)
	}
	x.must(schedule.Forgotten{Listener: 1})
	x.must(schedule.Resume{})
	if begin, _ := x.Untold(); len(begin) != 1 || begin[0].Listener.GetListener() != 2 {
		t.Errorf("to be told: %v", begin)
	}
}

// What there is no room for is refused, and taken later.
func TestFullSchedule(t *testing.T) {
	t.Parallel()
	x := &shown{schedule.New(schedule.Limits{Firings: 1}), t, began}
	x.must(schedule.Arm{Schedule: opened, Definition: compile(t, "1.0.0", "{on: {one: {with: {type: t}}}}", "")})
	x.offer(0, 1, "a", "1")
	if _, err := x.Decide(x.now, schedule.Offered{Listener: 1, Sequence: 2, Event: event("b", "1")}); !errors.Is(err, schedule.ErrBehind) {
		t.Errorf("a second one: %v", err)
	}
	x.submitAll()
	x.offer(0, 2, "b", "1")
	wantInputs(t, x, "["+string(event("b", "1"))+"]")
}
