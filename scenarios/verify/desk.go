package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	deskTick = time.Second
	// deskPatience is how long no order may end before what is left counts as stuck.
	deskPatience = time.Minute
)

// desk is an operator who retries whatever has faulted.
type desk struct {
	conn *client.Client

	mu      sync.Mutex
	retried int
	wrong   []error
}

func newDesk(conn *client.Client) *desk { return &desk{conn: conn} }

// run retries until ctx ends.
func (d *desk) run(ctx context.Context) {
	tick := time.NewTicker(deskTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := d.clear(ctx); err != nil && ctx.Err() == nil && !passing(err) {
				d.wrongf("%w", err)
			}
		}
	}
}

// clear retries what has faulted now.
func (d *desk) clear(ctx context.Context) error {
	faulted, err := listAll(ctx, d.conn, &orderv1.ListRequest{Statuses: []orderv1.Status{orderv1.Status_STATUS_FAULTED}})
	if err != nil {
		return err
	}
	client := d.conn.Admin()
	for _, o := range faulted {
		_, err := client.Operate(ctx, &adminv1.OperateRequest{Id: o.GetId(), Action: &adminv1.Action{
			By: "verify", Reason: "it may go well now", Kind: &adminv1.Action_Retry{Retry: &adminv1.Retry{}},
		}})
		switch {
		case err == nil:
			d.mu.Lock()
			d.retried++
			d.mu.Unlock()
		case status.Code(err) == codes.FailedPrecondition: // it goes on already
		default:
			return fmt.Errorf("retry %s: %w", o.GetId(), err)
		}
	}
	return nil
}

func (d *desk) wrongf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.wrong) < maxWrong {
		d.wrong = append(d.wrong, fmt.Errorf(format, args...))
	}
}

// settle waits until no order is open or has faulted, and counts those that are, if no more of them end.
func (d *desk) settle(ctx context.Context) (left int, err error) {
	unsettled := &orderv1.ListRequest{Statuses: []orderv1.Status{
		orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING, orderv1.Status_STATUS_FAULTED,
		orderv1.Status_STATUS_SUSPENDED,
	}}
	last := time.Now()
	for before := -1; ; {
		open, err := listAll(ctx, d.conn, unsettled)
		if err != nil {
			return 0, err
		}
		if left = len(open); left != before {
			before, last = left, time.Now()
		}
		if left == 0 || time.Since(last) > deskPatience {
			return left, nil
		}
		if err := stage.Pause(ctx, deskTick/4); err != nil {
			return left, err
		}
	}
}
