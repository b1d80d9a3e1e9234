package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// poison is how many panics in a row have an order faulted.
const poison = 3

// panics has one order panic again and again, then a partition, then what ends the process: the journal and a dispatcher.
func panics(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	err := withFaults(ctx, s, f, func(ctx context.Context, x *faulty) error {
		pid, err := x.pid()
		if err != nil {
			return err
		}
		if err := x.panicOrder(ctx, f); err != nil {
			return fmt.Errorf("order: %w", err)
		}
		if err := x.panicPartition(ctx, f); err != nil {
			return fmt.Errorf("partition: %w", err)
		}
		now, err := x.pid()
		if err != nil {
			return err
		}
		f["same_process"] = 0
		if now == pid {
			f["same_process"] = 1
		}
		told := 0
		for point, reason := range map[string]string{"journal": "panic of the committer", "dispatcher": "injected into dispatcher"} {
			after, isTold, err := x.panicProcess(ctx, point, reason)
			if err != nil {
				return fmt.Errorf("%s: %w", point, err)
			}
			f[point+"_restarted_s"] = after
			if isTold {
				told++
			}
		}
		f["reason_is_last_line"] = told
		return nil
	})
	return f, err
}

// panicOrder has an order panic as often as it can: when it is told to start, which is why it has a key.
func (x *faulty) panicOrder(ctx context.Context, f figures) error {
	victim := messages.NewOrderID()
	if err := x.arm(ctx, "order", string(victim), "panic", 10*poison); err != nil {
		return err
	}
	r, err := x.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{
		Wait:  orderv1.Wait_WAIT_ENDED,
		Order: &orderv1.WorkOrder{Id: string(victim), Definition: "verify/kill:1.0.0", OrderKey: "poisoned"},
	}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	f["poisoned_faulted"] = 0
	if r.GetOrder().GetStatus() == orderv1.Status_STATUS_FAULTED {
		f["poisoned_faulted"] = 1
	}
	f["poisoned_panics"], err = x.happened(ctx)
	if err != nil {
		return err
	}
	return x.goesOn(ctx)
}

// panicPartition has some partition panic, which is then read anew.
func (x *faulty) panicPartition(ctx context.Context, f figures) error {
	if err := x.mark(); err != nil {
		return err
	}
	if err := x.arm(ctx, "partition", "", "panic", 1); err != nil {
		return err
	}
	_, err := x.await(ctx, "a partition is restarted", func(l said) bool {
		return l.who == "node" && strings.HasPrefix(l.Actor, "partition-") && !strings.Contains(l.Actor, "/")
	})
	if err != nil {
		return err
	}
	f["partition_reloaded"] = 1
	return x.goesOn(ctx)
}

// panicProcess has something panic without which the process can't go on. It tells how long it took until the next one was
// started, and whether the last that the process said was why.
func (x *faulty) panicProcess(ctx context.Context, point, reason string) (seconds float64, told bool, err error) {
	if err := x.mark(); err != nil {
		return 0, false, err
	}
	began := time.Now()
	if err := x.arm(ctx, point, "", "panic", 1); err != nil {
		return 0, false, err
	}
	at, err := x.restarted(ctx)
	if err != nil {
		return 0, false, err
	}
	all, err := x.said()
	if err != nil {
		return 0, false, err
	}
	exited, last := false, ""
	for _, l := range all {
		exited = exited || l.ofNode(hasEnded) && l.Exit == "exit status 1"
		if l.who == "node" && (l.Time.IsZero() || l.Time.Before(at)) {
			last = l.text
		}
	}
	return round(at.Sub(began).Seconds(), 1), exited && strings.HasPrefix(last, "holdfast: ") && strings.Contains(last, reason), nil
}

func panicsBars(*site) bars {
	b := bars{
		"poisoned_faulted": atLeast(1), "poisoned_panics": {Min: new(float64(poison)), Max: new(float64(poison))},
		"partition_reloaded": atLeast(1), "same_process": atLeast(1), "reason_is_last_line": atLeast(2),
		"journal_restarted_s": atMost(stuckWithin), "dispatcher_restarted_s": atMost(stuckWithin),
		"acknowledged": atLeast(faultyInFlight),
	}
	return b.unharmed()
}
