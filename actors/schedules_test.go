package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

// scheduled deploys a version of a definition with a schedule, and what its metadata says of that.
func (n *node) scheduled(version, rule, settings, tasks string) {
	n.t.Helper()
	n.deployDocument(fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: job, version: %s, metadata: {holdfast: {schedule: %s}}}\n"+
		"schedule: %s\n%s", version, settings, rule, tasks))
	n.sleep(2 * time.Second) // until the schedule knows
}

const setOne = "do: [{a: {set: {b: 1}}}]"

// came returns the ids of the scheduled orders that have come into being, the first one first.
func (n *node) came() []string {
	n.t.Helper()
	var out []string
	q := persistence.Query{Definition: "test/job", Limit: 1000, Scan: 1 << 20}
	for {
		found, next, err := n.journal.List(n.t.Context(), q)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, f := range found {
			out = append(out, f.Row.GetId())
		}
		if q.After = next; next.IsZero() {
			slices.Reverse(out)
			return out
		}
	}
}

// tellSchedule tells the schedule something.
func (n *node) tellSchedule(m *nodev1.Envelope) *nodev1.ScheduleState {
	n.t.Helper()
	s, err := n.Schedule(n.t.Context(), "test", "job", m)
	if err != nil {
		n.t.Fatal(err)
	}
	settle()
	return s
}

func (n *node) showSchedule() *nodev1.ScheduleState {
	n.t.Helper()
	return n.tellSchedule(&nodev1.Envelope{Message: &nodev1.Envelope_ShowSchedule{ShowSchedule: &nodev1.ShowSchedule{}}})
}

// dues returns the due times that orders are for, since a time.
func dues(t *testing.T, ids []string, since time.Time) []time.Duration {
	t.Helper()
	var out []time.Duration
	for _, id := range ids {
		parts := strings.Split(id, "~")
		at, err := time.Parse("20060102T150405.000Z", parts[len(parts)-1])
		if err != nil {
			t.Fatalf("order %s: %v", id, err)
		}
		out = append(out, at.Sub(since))
	}
	return out
}

// Orders come into being in time, each once, also when the node is killed again and again, and in each commit; what was due while there was
// none is made up for as the definition says.
func TestScheduleAcrossKills(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]int{"all": 36, "last": 6 + 1 + 24} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				n.scheduled("1.0.0", "{every: {seconds: 10}}", "{missed: "+policy+"}", setOne)
				first := time.Unix(0, n.showSchedule().GetNext()).Add(-10 * time.Second)
				for range 6 {
					n.sleep(10 * time.Second)
					n = n.crash()
				}
				n.stop()
				time.Sleep(55 * time.Second)
				n = n.restart()
				for time.Since(first) < 6*time.Minute {
					n.sleep(time.Second)
				}
				got := dues(t, n.came(), first)
				slices.Sort(got)
				if dup := slices.Compact(slices.Clone(got)); len(dup) != len(got) || got[len(got)-1] != 6*time.Minute {
					t.Errorf("orders came into being for %v", got)
				}
				if policy == "all" && len(got) != want || len(got) > 36 || len(got) < want {
					t.Errorf("%d orders came into being, want %d: %v", len(got), want, got)
				}
			})
		})
	}
}

// An order comes into being so long after the one before has ended, which it tells.
func TestScheduleAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.scheduled("1.0.0", "{after: {seconds: 10}}", "{}", "do: [{w: {wait: PT25S}}]")
		first := time.Unix(0, n.showSchedule().GetNext())
		n.sleep(time.Until(first))
		n = n.crash()
		n.sleep(26 * time.Second)
		n.sleep(9500 * time.Millisecond)
		if got := n.came(); len(got) != 2 {
			t.Fatalf("orders %v came into being, want 2", got)
		}
		n.sleep(30 * time.Second)
		s := n.state(n.came()[1])
		if s.Status() != completed || s.Untold() || s.Accepted().GetParent() == nil {
			t.Errorf("the second order is %v, and its schedule knows: %v", s.Status(), !s.Untold())
		}
	})
}

// Events make orders, which get them; while the schedule is paused they are kept.
func TestScheduleOnEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.scheduled("1.0.0", "{on: {one: {with: {type: paid, data: '${ .amount > 1 }'}}}}", "{}", "do: [{a: {set: '${ .[0].data.amount }'}}]")
		n.publish("1", "paid", `{"amount":1}`)
		n.publish("2", "paid", `{"amount":2}`)
		n.publish("2", "paid", `{"amount":2}`)
		n = n.crash()
		n.publish("3", "paid", `{"amount":3}`)
		n.sleep(2 * time.Second)
		wantOutputs(n, "2", "3")
		n.tellSchedule(&nodev1.Envelope{Message: &nodev1.Envelope_PauseSchedule{PauseSchedule: &nodev1.PauseSchedule{By: "jane"}}})
		n.sleep(2 * time.Second)
		n.publish("4", "paid", `{"amount":4}`)
		n = n.restart()
		n.sleep(2 * time.Second)
		wantOutputs(n, "2", "3")
		n.tellSchedule(&nodev1.Envelope{Message: &nodev1.Envelope_ResumeSchedule{ResumeSchedule: &nodev1.ResumeSchedule{By: "joe"}}})
		n.sleep(2 * time.Second)
		wantOutputs(n, "2", "3", "4")
		n.scheduled("2.0.0", "{on: {one: {with: {type: refunded}}}}", "{}", "do: [{a: {set: '${ -.[0].data.amount }'}}]")
		n.publish("5", "paid", `{"amount":5}`)
		n.publish("6", "refunded", `{"amount":6}`)
		n.sleep(2 * time.Second)
		wantOutputs(n, "2", "3", "4", "-6")
		n.tellSchedule(&nodev1.Envelope{Message: &nodev1.Envelope_TriggerSchedule{TriggerSchedule: &nodev1.TriggerSchedule{By: "jane"}}})
		n.sleep(2 * time.Second)
		for name, want := range map[string]map[string]int{
			"holdfast_schedule_firings_total": {"events": 2, "asked": 1, "time": 0}, "holdfast_schedule_skips_total": {"missed": 0},
			"holdfast_slot_events_total": {"published": 2, "taken": 2, "expired": 0},
		} {
			for label, want := range want {
				if got := n.gauge(name, label); got != want {
					t.Errorf("%s of %s is %d, want %d", name, label, got, want)
				}
			}
		}
	})
}

func wantOutputs(n *node, want ...string) {
	n.t.Helper()
	var got []string
	for _, id := range n.came() {
		got = append(got, string(n.state(id).Output().JSON()))
	}
	if !slices.Equal(got, want) {
		n.t.Errorf("orders have left %v, want %v", got, want)
	}
}

// Orders of events are accepted with what their definition makes of these: those of a key run one after the other.
func TestScheduleWithKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.deployDocument("document: {dsl: 1.0.3, namespace: test, name: job, version: 1.0.0, metadata: {holdfast: " +
			"{orderKey: '${ .[0].data.k }', priority: 7, labels: {k: '${ .[0].data.k }'}}}}\n" +
			"schedule: {on: {one: {with: {type: paid}}}}\ndo: [{a: {wait: PT10S}}]")
		n.sleep(2 * time.Second)
		n.publish("1", "paid", `{"k":"x"}`)
		n.publish("2", "paid", `{"k":"x"}`)
		n.publish("3", "paid", `{"k":3}`)
		n.publish("4", "paid", `{"k":"y"}`)
		n = n.crash()
		n.sleep(2 * time.Second)
		if s := n.showSchedule().GetSkipped(); !strings.Contains(s.GetDetail(), "metadata.holdfast.orderKey") {
			t.Errorf("passed over was %v", s)
		}
		ids := n.came()
		if len(ids) != 3 {
			t.Fatalf("orders %v came into being, want 3", ids)
		}
		var of []string
		for i, id := range ids {
			a := n.state(id).Accepted()
			if want := []string{"x", "x", "y"}[i]; a.GetOrderKey() != want || a.GetPriority() != 7 || len(a.GetLabels()) != 1 ||
				a.GetLabels()[0].GetValue() != want {
				t.Errorf("order %s was accepted as %v", id, a)
			}
			if a.GetOrderKey() == "x" {
				of = append(of, id)
			}
		}
		n.expect(of[1], pending)
		n.sleep(time.Minute)
		n.checkSequence(true, of...)
		for _, id := range ids {
			n.expect(id, completed)
		}
	})
}

// What is retired has no more orders come into being, until it is reinstated. A trigger does at once.
func TestScheduleRetired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.scheduled("1.0.0", "{cron: '* * * * *'}", "{}", setOne)
		ref := messages.DefinitionRef{Namespace: "test", Name: "job", Version: "1.0.0"}
		n.sleep(time.Minute)
		if got := n.came(); len(got) != 1 {
			t.Fatalf("orders %v came into being, want one", got)
		}
		if _, err := n.Catalog().Retire(t.Context(), ref, &journalv1.Retirement{At: 1}); err != nil {
			t.Fatal(err)
		}
		n.sleep(10 * time.Minute)
		if got := n.came(); len(got) != 1 || n.showSchedule().GetDefinition() != "" {
			t.Errorf("orders %v came into being, want no more; %v", got, n.showSchedule())
		}
		if _, err := n.Catalog().Retire(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		n.sleep(2 * time.Second)
		trigger := func() {
			n.tellSchedule(&nodev1.Envelope{Message: &nodev1.Envelope_TriggerSchedule{TriggerSchedule: &nodev1.TriggerSchedule{
				OrderId: "by-hand", By: "jane",
			}}})
			n.sleep(time.Second)
		}
		trigger()
		trigger()
		n.expect("by-hand", completed)
		n.sleep(time.Minute)
		if got := n.came(); len(got) != 3 {
			t.Errorf("orders %v came into being, want 3", got)
		}
	})
}
