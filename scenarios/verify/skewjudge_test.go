package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

var skewBegan = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func skewAt(ms int) time.Time { return skewBegan.Add(time.Duration(ms) * time.Millisecond) }

// skewEvent makes an event at so many milliseconds, which is due at others; 0: never.
func skewEvent(what orderv1.EventType, at, due int) *orderv1.HistoryEvent {
	e := &orderv1.HistoryEvent{EventType: what, At: timestamppb.New(skewAt(at))}
	if due != 0 {
		e.Due = timestamppb.New(skewAt(due))
	}
	return e
}

// skewAttempt makes one of the first attempt at a key.
func skewAttempt(what orderv1.EventType, at, due int, key string) *orderv1.HistoryEvent {
	e := skewEvent(what, at, due)
	e.Key, e.Attempt = key, 1
	return e
}

func TestSkewVerdict(t *testing.T) {
	t.Parallel()
	told := tellings{executions: map[attemptAt]execution{{"k", 1}: {skewAt(1000), skewAt(2000)}}}
	for name, c := range map[string]struct {
		events []*orderv1.HistoryEvent
		want   skewVerdict
	}{
		"good": {[]*orderv1.HistoryEvent{
			skewEvent(eventtype.OrderStarted, 0, 0), skewEvent(eventtype.WaitStarted, 0, 500), skewEvent(eventtype.TaskCompleted, 500, 0),
			skewAttempt(eventtype.AttemptScheduled, 999, 0, "k"), skewAttempt(eventtype.AttemptSucceeded, 1500, 0, "k"),
			skewEvent(eventtype.TaskCompleted, 1500, 0), skewEvent(eventtype.RetryScheduled, 1500, 1600),
			skewEvent(eventtype.RetryStarted, 1601, 0), skewAttempt(eventtype.AttemptScheduled, 1700, 1800, "other"),
			skewEvent(eventtype.StopRequested, 1800, 9000), skewEvent(eventtype.OrderCompleted, 1800, 0),
		}, skewVerdict{timers: 3, ended: 1}},
		"falls": {[]*orderv1.HistoryEvent{
			skewEvent(eventtype.OrderStarted, 1, 0), skewEvent(eventtype.TaskStarted, 0, 0),
		}, skewVerdict{falls: 1}},
		"a wait was over early, by a clock that was ahead": {[]*orderv1.HistoryEvent{
			skewEvent(eventtype.WaitStarted, 0, 1100), skewEvent(eventtype.TaskCompleted, 1100, 0),
			skewAttempt(eventtype.AttemptScheduled, 1100, 0, "k"),
		}, skewVerdict{timers: 1, early: 1, ahead: 1}},
		"a wait is over early": {[]*orderv1.HistoryEvent{
			skewEvent(eventtype.WaitStarted, 0, 500), skewEvent(eventtype.TaskCompleted, 499, 0),
		}, skewVerdict{timers: 1, early: 1}},
		"a retry comes early": {[]*orderv1.HistoryEvent{
			skewEvent(eventtype.RetryScheduled, 0, 500), skewEvent(eventtype.RetryStarted, 499, 0),
		}, skewVerdict{timers: 1, early: 1}},
		"a timeout strikes early": {[]*orderv1.HistoryEvent{
			skewAttempt(eventtype.AttemptScheduled, 0, 500, "other"), skewEvent(eventtype.StopRequested, 499, 900),
		}, skewVerdict{timers: 1, early: 1}},
		"executed before it was scheduled": {[]*orderv1.HistoryEvent{
			skewAttempt(eventtype.AttemptScheduled, 1001, 0, "k"),
		}, skewVerdict{ahead: 1}},
		"over long before it was executed": {[]*orderv1.HistoryEvent{
			skewAttempt(eventtype.AttemptFailed, 999, 0, "k"),
		}, skewVerdict{behind: 1}},
		"never executed": {[]*orderv1.HistoryEvent{
			skewAttempt(eventtype.AttemptSucceeded, 999, 0, "other"),
		}, skewVerdict{unseen: 1}},
	} {
		var got skewVerdict
		if got.take(&told, c.events); got != c.want {
			t.Errorf("%s: %+v, not %+v", name, got, c.want)
		}
	}
}

// Who has a partition says so itself, and has it until another one says so.
func TestSkewOwners(t *testing.T) {
	t.Parallel()
	var o owners
	says := func(at int, self, has string) {
		o.note(skewAt(at), &adminv1.ShowClusterResponse{
			Nodes:      []*adminv1.ClusterNode{{Node: "other"}, {Node: self, Self: true}},
			Partitions: []*adminv1.ClusterPartition{{Partition: 7, Has: has}},
		})
	}
	for at := range 5 {
		says(100*at, "a", "a/1")
		says(100*at, "b", "a/1") // it is as the other one says
	}
	says(550, "b", "")
	says(600, "b", "b/1")
	for _, c := range []struct {
		from, to int
		moved    int
	}{{0, 500, 0}, {500, 700, 1}, {601, 700, 0}} {
		var v skewVerdict
		id := messages.OrderID("o")
		for messages.PartitionOf(id, "") != 7 {
			id += "o"
		}
		v.follow(&o, id, []*orderv1.HistoryEvent{skewEvent(eventtype.OrderStarted, c.from, 0), skewEvent(eventtype.OrderCompleted, c.to, 0)})
		if v.moved != c.moved {
			t.Errorf("from %d to %d the order has moved %d times, not %d", c.from, c.to, v.moved, c.moved)
		}
	}
}
