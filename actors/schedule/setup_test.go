package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

var (
	began  = time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)
	opened = messages.ScheduleOf("test", "job")
)

// compile compiles a definition with a schedule, and what its metadata says of that; empty: nothing.
func compile(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, version, rule, settings string,
) *workflow.Definition {
	t.Helper()
	metadata := ""
	if settings != "" {
		metadata = ", metadata: {holdfast: {schedule: " + settings + "}}"
	}
	def, mistakes := definition.Compile(fmt.Appendf(nil,
		"document: {dsl: 1.0.3, namespace: test, name: job, version: %s%s}\nschedule: %s\ndo: [{a: {set: {b: 1}}}]\n", version, metadata, rule),
		definition.Limits{})
	if def == nil {
		t.Fatalf("%s: %v", rule, mistakes)
	}
	return def
}

// compileTerms compiles a definition with a schedule, and what its metadata says of its orders.
func compileTerms(t *testing.T, rule, said string) *workflow.Definition {
	t.Helper()
	def, mistakes := definition.Compile(fmt.Appendf(nil,
		"document: {dsl: 1.0.3, namespace: test, name: job, version: 1.0.0, metadata: {holdfast: %s}}\nschedule: %s\ndo: [{a: {set: {b: 1}}}]\n",
		said, rule), definition.Limits{})
	if def == nil {
		t.Fatalf("%s: %v", rule, mistakes)
	}
	return def
}

// shown is a schedule in a test, and what has happened to it.
type shown struct {
	*schedule.State

	t   *testing.T
	now time.Time
}

func armed(t *testing.T, rule, settings string) *shown {
	t.Helper()
	s := &shown{schedule.New(schedule.Limits{}), t, began}
	s.must(schedule.Arm{Schedule: opened, Definition: compile(t, "1.0.0", rule, settings)})
	return s
}

// must decides a command that is not refused, and returns what has happened.
func (s *shown) must(cmd schedule.Command) []*journalv1.Event {
	s.t.Helper()
	events, err := s.Decide(s.now, cmd)
	if err != nil {
		s.t.Fatalf("%T: %v", cmd, err)
	}
	return events
}

// wait moves the clock, and has what is due happen. It returns the due times that orders came into being for, as offsets from the beginning.
func (s *shown) wait(d time.Duration) []time.Duration {
	s.t.Helper()
	s.now = s.now.Add(d)
	var out []time.Duration
	for !s.NextDue().IsZero() && !s.NextDue().After(s.now) {
		for _, ev := range append(s.must(schedule.TimerFired{}), s.submitAll()...) {
			if f := ev.GetScheduleFired(); f != nil {
				out = append(out, time.Unix(0, f.GetDue()).Sub(began))
			}
		}
	}
	return out
}

// submitAll has all orders accepted that are to be submitted, and returns what has happened.
func (s *shown) submitAll() []*journalv1.Event {
	s.t.Helper()
	var out []*journalv1.Event
	for _, o := range s.Unsubmitted() {
		out = append(out, s.must(schedule.Submitted{Number: o.Number})...)
	}
	return out
}

// offer gives the first listener that a filter has an event, and returns what it does with it.
func (s *shown) offer(filter uint32, sequence uint64, id, data string) journalv1.Verdict {
	s.t.Helper()
	begin, _ := s.Untold()
	for _, l := range begin {
		s.must(schedule.Known{Listener: l.Listener.GetListener()})
	}
	for n := uint32(1); n < 100; n++ {
		if f, listens := s.filterOf(n); listens && f == filter {
			s.must(schedule.Offered{Listener: n, Sequence: sequence, Event: event(id, data)})
			return s.Verdict(n, sequence)
		}
	}
	s.t.Fatalf("nobody listens with filter %d", filter)
	return 0
}

// filterOf tells which filter a listener has; false if it does not listen.
func (s *shown) filterOf(listener uint32) (uint32, bool) {
	const never = 1 << 40
	if s.Verdict(listener, never) == journalv1.Verdict_VERDICT_OVER {
		return 0, false
	}
	filters := uint32(len(s.Definition().Schedule.On.Filters()))
	return (listener - 1) % filters, true
}

func event(id, data string) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/s","type":"t","data":%s}`, id, data)
}

var problem = &problemv1.Problem{Type: workflow.ErrorTypeConfiguration, Title: "The order's id is taken", Status: 409}

// compileInput compiles a definition that takes an object whose x is a number.
func compileInput(t *testing.T) *workflow.Definition {
	t.Helper()
	def, mistakes := definition.Compile([]byte("document: {dsl: 1.0.3, namespace: test, name: job, version: 1.0.0}\n"+
		"input: {schema: {document: {properties: {x: {type: number}}}}}\ndo: [{a: {set: {b: 1}}}]\n"), definition.Limits{})
	if def == nil {
		t.Fatal(mistakes)
	}
	return def
}
