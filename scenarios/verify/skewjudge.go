package main

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// owners is who had which partition when, as nodes have told, by a clock that is right.
type owners [messages.Partitions][]ownedSince

type ownedSince struct {
	at   time.Time
	node messages.NodeID
}

// follow asks the nodes again and again until ctx ends.
func (o *owners) follow(ctx context.Context, nodes []*stage.Node) {
	var all sync.WaitGroup
	defer all.Wait()
	told := make(chan *adminv1.ShowClusterResponse)
	for _, n := range nodes {
		all.Go(func() { tellCluster(ctx, n, told) })
	}
	for {
		select {
		case c := <-told:
			o.note(time.Now(), c)
		case <-ctx.Done():
			return
		}
	}
}

// tellCluster tells how a node sees the cluster, again and again until ctx ends.
func tellCluster(ctx context.Context, n *stage.Node, told chan<- *adminv1.ShowClusterResponse) {
	conn, err := n.DialAdmin()
	if err != nil {
		return // then no order is seen to move
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	for stage.Pause(ctx, 50*time.Millisecond) == nil {
		if c, err := conn.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{}); err == nil {
			select {
			case told <- c:
			case <-ctx.Done():
			}
		}
	}
}

// note takes what a node tells. It counts only what it has itself: what it knows of others may be old.
func (o *owners) note(at time.Time, c *adminv1.ShowClusterResponse) {
	var self messages.NodeID
	for _, n := range c.GetNodes() {
		if n.GetSelf() {
			self = messages.NodeID(n.GetNode())
		}
	}
	for _, p := range c.GetPartitions() {
		had := &o[p.GetPartition()]
		if messages.Incarnation(p.GetHas()).Node() != self || len(*had) > 0 && (*had)[len(*had)-1].node == self {
			continue
		}
		*had = append(*had, ownedSince{at, self})
	}
}

// between returns who had a partition from one time to another, those who came later behind the others.
func (o *owners) between(p messages.Partition, from, to time.Time) (nodes []messages.NodeID) {
	for i, x := range o[p] {
		if x.at.Before(to) && (i+1 == len(o[p]) || o[p][i+1].at.After(from)) {
			nodes = append(nodes, x.node)
		}
	}
	return nodes
}

// skewVerdict counts what is wrong with histories, and what they are about.
type skewVerdict struct {
	// falls are events that are dated before the one before them; early are timers that struck before their time, as they are dated or by
	// when the work was executed that came next; ahead are attempts that were scheduled later than they were executed, and behind are
	// results that came much sooner than they were: as they are dated.
	falls, early, ahead, behind int
	// unseen are attempts of which the adapter knows nothing, though they have succeeded.
	unseen int
	timers int // that struck
	ended  int
	moved  int // orders whose partitions had more than one owner while they ran
}

// mostBehind is how much sooner than it came a result may be dated: less than clocks are wrong.
const mostBehind = time.Second

// judge reads all histories, and compares them with what the adapter has seen by a clock that is right.
func (r *skewRow) judge(ctx context.Context, f figures, p *pulse) error {
	var v skewVerdict
	untold, err := recordHistories(ctx, r.conn, idsOf(p.orders), r.s.dir+"/histories.jsonl",
		func(id messages.OrderID, events []*orderv1.HistoryEvent) {
			v.take(&r.told, events)
			v.follow(&r.owners, id, events)
		})
	if err != nil {
		return err
	}
	for _, wrong := range p.failed[:min(len(p.failed), maxWrong)] {
		r.s.sayf("skew: %v", wrong)
	}
	f["without_history"], f["lost"], f["history_falls"], f["early"] = untold, len(p.orders)-v.ended, v.falls, v.early
	f["dated_ahead"], f["dated_behind"], f["unseen"] = v.ahead, v.behind, v.unseen
	f["timers"], f["moved"] = v.timers, v.moved
	return nil
}

// take looks at the history of an order, whose tasks come one after the other.
func (v *skewVerdict) take(told *tellings, events []*orderv1.HistoryEvent) {
	var last, due, struck time.Time // struck was due before the next attempt
	strikes := func(at time.Time) {
		v.timers++
		if due.IsZero() || at.Before(due) {
			v.early++
		}
		due, struck = time.Time{}, due
	}
	waits := false
	for _, e := range events {
		at := e.GetAt().AsTime()
		if at.Before(last) {
			v.falls++
		}
		last = at
		execution, seen := told.executions[attemptAt{e.GetKey(), e.GetAttempt()}]
		switch e.GetEventType() { //nolint:exhaustive // the others have no time to keep
		case eventtype.WaitStarted, eventtype.RetryScheduled:
			due, waits = e.GetDue().AsTime(), e.GetEventType() == eventtype.WaitStarted
		case eventtype.RetryStarted, eventtype.StopRequested:
			strikes(at)
		case eventtype.TaskCompleted:
			if waits {
				strikes(at)
			}
			waits = false
		case eventtype.AttemptScheduled:
			if e.GetDue() != nil {
				due = e.GetDue().AsTime()
			}
			if seen && execution.began.Before(at) {
				v.ahead++
			}
			if seen && execution.began.Before(struck) {
				v.early++
			}
			struck = time.Time{}
		case eventtype.AttemptSucceeded, eventtype.AttemptFailed:
			switch {
			case !seen && e.GetEventType() == eventtype.AttemptSucceeded:
				v.unseen++
			case seen && at.Before(execution.ended.Add(-mostBehind)):
				v.behind++
			}
		case eventtype.OrderCompleted:
			v.ended++
		}
	}
}

// follow finds out whether an order ran at more nodes than one.
func (v *skewVerdict) follow(o *owners, id messages.OrderID, events []*orderv1.HistoryEvent) {
	had := o.between(messages.PartitionOf(id, ""), events[0].GetAt().AsTime(), events[len(events)-1].GetAt().AsTime())
	if len(had) > 1 {
		v.moved++
	}
}
