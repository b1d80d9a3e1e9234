package schedule_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// withTerms is a schedule whose definition says something of its orders.
func withTerms(t *testing.T, rule, said string, most workflow.TermLimits) *shown {
	t.Helper()
	x := &shown{schedule.New(schedule.Limits{Terms: most, Summary: 10}), t, began}
	x.must(schedule.Arm{Schedule: opened, Definition: compileTerms(t, rule, said)})
	return x
}

// unsubmitted are the orders that are to be submitted, and what they are accepted with.
func (s *shown) unsubmitted() string {
	var out []string
	for _, o := range s.Unsubmitted() {
		text := fmt.Sprintf("%q %d", o.Order.GetOrderKey(), o.Order.GetPriority())
		for _, l := range o.Order.GetLabels() {
			text += " " + l.GetName() + "=" + l.GetValue()
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// What an order is accepted with is decided with its firing, and in the history.
func TestTermsAtTimes(t *testing.T) {
	t.Parallel()
	const said = `{orderKey: nightly, priority: 4, labels: {of: "${ .of }", kind: report}}`
	x := withTerms(t, "{every: PT1H}", said, workflow.TermLimits{})
	x.now = x.now.Add(time.Hour)
	history := x.must(schedule.TimerFired{})
	history = append(history, x.must(schedule.Trigger{OrderID: "by-hand", Input: []byte(`{"of":"x"}`)})...)
	const want = `"nightly" 4 kind=report, "nightly" 4 kind=report of=x`
	if got := x.unsubmitted(); got != want {
		t.Errorf("to be submitted is %s, want %s", got, want)
	}
	if _, err := x.Decide(x.now, schedule.Trigger{OrderID: "b", Input: []byte(`{"of":7}`)}); !errors.Is(err, schedule.ErrUnfit) ||
		!strings.Contains(err.Error(), `"metadata.holdfast.labels.of" must yield a string`) {
		t.Errorf("an input that does not fit: %v", err)
	}
	for len(history) < 12 { // until it is summarized
		history = append(history, x.must(schedule.Pause{})...)
		history = append(history, x.must(schedule.Resume{})...)
	}
	var summary *journalv1.Event
	for _, ev := range history {
		if ev.GetScheduleSummarized() != nil {
			summary = ev
		}
	}
	if summary == nil {
		t.Fatal("it was not summarized")
	}
	read := &shown{schedule.From(x.Version(), schedule.Limits{}), t, x.now}
	read.Evolve(proto.CloneOf(summary))
	if got := read.unsubmitted(); got != want {
		t.Errorf("to be submitted, as is read, is %s, want %s", got, want)
	}
}

// Events that do not fit are passed over, which is told, and the schedule goes on.
func TestTermsOfEvents(t *testing.T) {
	t.Parallel()
	x := withTerms(t, "{on: {one: {with: {type: t}}}}", `{orderKey: "${ .[0].data.k }"}`, workflow.TermLimits{})
	x.offer(0, 1, "a", `{"k":"one"}`)
	x.offer(0, 2, "b", `{"k":2}`)
	if s := x.Show().GetSkipped(); s.GetWhy() != journalv1.Skip_SKIP_UNFIT || !strings.Contains(s.GetDetail(), "metadata.holdfast.orderKey") {
		t.Errorf("passed over was %v", s)
	}
	x.offer(0, 3, "c", `{"k":"three"}`)
	if got, want := x.unsubmitted(), `"one" 0, "three" 0`; got != want {
		t.Errorf("to be submitted is %s, want %s", got, want)
	}
}

// What can't be accepted at a due time is passed over, again and again.
func TestUnfitTermsAtTimes(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"{every: PT10S}", "{after: PT10S}"} {
		x := withTerms(t, rule, `{orderKey: long}`, workflow.TermLimits{Key: 3})
		for n := 1; n < 4; n++ {
			due := began.Add(time.Duration(n) * 10 * time.Second)
			x.now = due
			events := x.must(schedule.TimerFired{})
			s := x.Show().GetSkipped()
			if len(events) != 1 || s.GetWhy() != journalv1.Skip_SKIP_UNFIT || s.GetFrom() != due.UnixNano() || s.GetTo() != due.UnixNano() ||
				!strings.Contains(s.GetDetail(), "at most 3 bytes") || x.unsubmitted() != "" {
				t.Errorf("%s: after %v there is %v, and to be submitted %s", rule, due.Sub(began), events, x.unsubmitted())
			}
			if next := x.NextDue(); !next.Equal(due.Add(10 * time.Second)) {
				t.Errorf("%s: next is %v", rule, next)
			}
		}
	}
}
