package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// lateOrders is how many orders there are in a round.
const lateOrders = 300

func lateRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 20
}

// lateRow is the row late_result under way.
type lateRow struct {
	*clusterRow

	witness *witness
	chance  *rand.Rand
	pulse   pulse
	// halted are the results that were sent to a node just before it was stopped, and late those that were sent afterwards. Others had taken
	// over the orders of the latter before it went on.
	halted, late []*givenResult
	// again counts the tasks that others then asked for again, and said what a node that went on has said of results before it ended. lived
	// is how long that took at most.
	again, said int
	lived       time.Duration
}

// lateResult stops owners that results are on their way to, and lets them go on once others have taken over and wait for other results of
// the same orders; and looks whether anybody acknowledges what is not in the journal.
func lateResult(ctx context.Context, s *site) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	c, err := s.clusters.take(ctx, s)
	if err != nil {
		return nil, err
	}
	return c.enter(ctx, s, func(ctx context.Context, _ *stage.Stage, r *clusterRow) (figures, error) {
		var witnessing sync.WaitGroup
		defer witnessing.Wait()
		ctx, leave := context.WithCancel(ctx)
		defer leave()
		l := &lateRow{clusterRow: r, witness: newWitness(len(r.Nodes), s.seed), chance: s.chance()}
		for i, n := range r.Nodes {
			conn, err := n.Dial()
			if err != nil {
				return nil, err
			}
			defer conn.Close() //nolint:errcheck // it fails only if it was closed before
			witnessing.Go(func() { l.witness.run(ctx, i, adapterv1.NewAdapterServiceClient(conn.Conn())) })
		}
		if r.conn, err = r.Dial(); err != nil {
			return nil, err
		}
		defer r.conn.Close() //nolint:errcheck // as above
		if err := deploy(ctx, r.conn, "late"); err != nil {
			return nil, err
		}
		l.pulse.conn, l.pulse.patience = r.conn, r.patience
		for n := range lateRounds(s) {
			if err := l.round(ctx, n); err != nil {
				return nil, err
			}
		}
		return l.judge(ctx)
	})
}

// round has one node be late.
func (l *lateRow) round(ctx context.Context, n int) error {
	if err := l.settled(ctx); err != nil {
		return err
	}
	l.witness.hold(true)
	ours := l.submit(ctx, n)
	if err := l.witness.await(ctx, func() bool { return l.witness.heldOf(ours, every) == len(ours) }); err != nil {
		return err
	}
	if err := l.stop(ctx, l.chance.IntN(len(l.Nodes)), ours); err != nil {
		return err
	}
	l.witness.hold(false)
	if _, err := l.witness.answer(every, every); err != nil {
		return err
	}
	return l.drained(ctx)
}

// submit has orders be accepted.
func (l *lateRow) submit(ctx context.Context, round int) map[messages.OrderID]bool {
	var all sync.WaitGroup
	ours := map[messages.OrderID]bool{}
	for i := range lateOrders {
		id := messages.OrderID(fmt.Sprintf("%s-%d-%d", l.s.row, round, i))
		ours[id] = true
		o := &order{id: id, request: &orderv1.WorkOrder{Id: string(id), Definition: "verify/late:1.0.0", Input: []byte(`{}`)}}
		all.Go(func() { l.pulse.submit(ctx, o) })
	}
	all.Wait()
	return ours
}

// stop stops a node while it takes the first half of its results, sends it the others, lets it go on when others have taken over, and waits
// until it has ended by itself and is back.
func (l *lateRow) stop(ctx context.Context, victim int, ours map[messages.OrderID]bool) error {
	half := 0
	if err := l.witness.await(ctx, func() bool { half = l.witness.heldOf(ours, victim) / 2; return true }); err != nil {
		return err
	}
	node, starts := l.Nodes[victim], l.Nodes[victim].Starts()
	stream := l.witness.stream(victim)
	halted, err := l.witness.answer(victim, half)
	if err != nil {
		return err
	}
	l.halted = append(l.halted, halted...)
	if err := between(ctx, l.chance, 0, 10*time.Millisecond); err != nil {
		return err
	}
	if err := node.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	goesOn := sync.OnceValue(func() error { return node.Signal(syscall.SIGCONT) })
	defer goesOn() //nolint:errcheck // if that was not done before, something else has failed
	if err := isStopped(ctx, node.PID()); err != nil {
		return err
	}
	given, err := l.witness.answer(victim, every)
	if err != nil {
		return err
	}
	l.late = append(l.late, given...)
	theirs := map[messages.OrderID]bool{}
	for _, r := range given {
		theirs[messages.OrderID(r.GetOrderId())] = true
	}
	before := 0
	err = l.witness.await(ctx, func() bool {
		before = stream.said
		return l.witness.heldOf(theirs, every) == len(theirs)
	})
	if err != nil {
		return err
	}
	l.again += len(theirs)
	resumed := time.Now()
	if err := goesOn(); err != nil {
		return err
	}
	if err := node.AwaitStart(ctx, starts); err != nil {
		return err
	}
	return l.witness.await(ctx, func() bool { // and so has heard all that there was on the last one
		if l.witness.streams[victim] == stream {
			return false
		}
		l.said += stream.said - before
		l.lived = max(l.lived, stream.ended.Sub(resumed))
		return true
	})
}

// isStopped waits until a process that was told to has stopped.
func isStopped(ctx context.Context, pid int) error {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || bytes.Contains(status, []byte("\nState:\tT")) {
			return err
		}
		if err := stage.Pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// judge compares what was acknowledged with what is in the journal.
func (l *lateRow) judge(ctx context.Context) (figures, error) {
	journaled := map[messages.OrderID]string{}
	completed := 0
	untold, err := readHistories(ctx, l.conn, idsOf(l.pulse.orders), func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
		for _, e := range events {
			switch e.GetEventType() {
			case eventtype.AttemptSucceeded:
				journaled[id] = string(e.GetData())
			case eventtype.OrderCompleted:
				completed++
			default:
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f := figures{
		"rounds": lateRounds(l.s), "acknowledged": len(l.pulse.orders), "client_errors": len(l.pulse.failed), "without_history": untold,
		"lost": len(l.pulse.orders) - completed, "late": len(l.late), "asked_again": l.again, "answers_of_late_owners": l.said,
		"restarts": l.restarts(), "late_owners_lived_s": round(l.lived.Seconds(), 3), "halted": len(l.halted),
	}
	f["halted_in_journal"], f["late_in_journal"] = inJournal(l.halted, journaled), inJournal(l.late, journaled)
	f["acknowledged_results"], f["acknowledged_falsely"] = l.acknowledged(journaled)
	f["fences"], err = l.logged("msg=\"takes over\"")
	return f, err
}

// inJournal counts the results that are the ones of their orders.
func inJournal(results []*givenResult, journaled map[messages.OrderID]string) (count int) {
	for _, r := range results {
		if string(r.GetOutput()) == journaled[messages.OrderID(r.GetOrderId())] {
			count++
		}
	}
	return count
}

// acknowledged counts the results that were acknowledged, and those of them that are not in the journal.
func (l *lateRow) acknowledged(journaled map[messages.OrderID]string) (results, falsely int) {
	l.witness.mu.Lock()
	defer l.witness.mu.Unlock()
	for seq, r := range l.witness.given {
		if len(r.acks) == 0 {
			continue
		}
		results++
		if is := journaled[messages.OrderID(r.GetOrderId())]; is != string(r.GetOutput()) {
			l.s.sayf("late_result: %s acknowledged result %d of %s at %v, which was sent at %v; the journal has %s",
				nodeName(r.node), seq, r.GetKey(), r.acks, r.sent, is)
			falsely++
		}
	}
	return results, falsely
}

func lateResultBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	rounds := float64(lateRounds(s))
	return bars{
		"acknowledged": atLeast(rounds * lateOrders), "late": atLeast(rounds * lateOrders / 12), "asked_again": atLeast(rounds * lateOrders / 12),
		"restarts": atLeast(rounds), "fences": atLeast(rounds), "halted": atLeast(rounds * lateOrders / 12),
		// Not those that were committed when the node was stopped, whose acknowledgements it never sent.
		"acknowledged_results": atLeast(rounds * lateOrders * 2 / 3),
	}.none("acknowledged_falsely", "late_in_journal", "lost", "client_errors", "without_history")
}
