package load

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// drainPoll is how often a node is asked how many orders have ended.
const drainPoll = 250 * time.Millisecond

// drain waits until all accepted orders have ended, and counts those that did not complete as errors.
func (b *bench) drain(ctx context.Context, t *tally) error {
	want := t.counts().all + 1 // the trial
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	var before float64
	for {
		m, err := b.nodes[0].Metrics(ctx)
		if err != nil {
			return err
		}
		ended := 0.0
		for _, status := range []string{"completed", "faulted", "cancelled"} {
			n, err := m.Value(`holdfast_orders_ended_total{status="` + status + `"}`)
			if err != nil {
				return err
			}
			ended += n
		}
		if ended >= float64(want) {
			break
		}
		if ended > before {
			t.heard(time.Now())
		}
		before = ended
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%d orders were accepted, %.0f of them have ended: %w", want, ended, context.Cause(ctx))
		}
	}
	completed, err := b.completed(ctx)
	if err != nil {
		return err
	}
	for range want - completed {
		t.fail(fmt.Errorf("%d orders were accepted, but only %d are listed as completed", want, completed))
	}
	return nil
}

// completed counts the completed orders that the node lists.
func (b *bench) completed(ctx context.Context) (int64, error) {
	client := b.conns[0].Orders()
	q := &orderv1.ListRequest{
		Statuses: []orderv1.Status{orderv1.Status_STATUS_COMPLETED}, Definition: b.script.definition, PageSize: 1000,
	}
	var n int64
	for {
		page, err := client.List(ctx, q)
		if err != nil {
			return 0, fmt.Errorf("list completed orders: %w", err)
		}
		n += int64(len(page.GetOrders()))
		if q.PageToken = page.GetNextPageToken(); q.PageToken == "" {
			return n, nil
		}
	}
}
