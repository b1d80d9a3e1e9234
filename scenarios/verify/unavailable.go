package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// lookEvery is how often the node is looked at while its journal does not answer, and an order submitted.
	lookEvery = 100 * time.Millisecond
	// noticedWithin is how long after that the node may take itself for ready.
	noticedWithin = time.Second
	// goesOnWithin is how long after it answers again the node may be unready, and an order stand still, in seconds.
	goesOnWithin = 2
)

func outageOf(s *site) time.Duration {
	if s.ci() {
		return 8 * time.Second
	}
	return 30 * time.Second
}

// unavailable has the journal answer for a while that it is unavailable, and sees what the node does meanwhile and afterwards.
func unavailable(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	err := withFaults(ctx, s, f, func(ctx context.Context, x *faulty) error {
		if err := deploy(ctx, x.conn, "good"); err != nil {
			return err
		}
		admin, err := x.node.DialAdmin()
		if err != nil {
			return fmt.Errorf("connect to the administration: %w", err)
		}
		defer admin.Close() //nolint:errcheck // it fails only if it was closed before
		o := &outage{faulty: x, admin: admin}
		return o.run(ctx, f)
	})
	return f, err
}

// outage is what is seen while the journal does not answer.
type outage struct {
	*faulty

	admin *client.Client
	// submitted are the orders that were refused meanwhile, though some may have been accepted.
	submitted []*orderv1.WorkOrder
	// dead and ready count how often the node was not alive, or said that it is ready; wrong counts refusals that say too little, and
	// closed what the administration did not answer as it should.
	dead, ready, wrong, closed int
}

func (o *outage) run(ctx context.Context, f figures) error {
	pid, err := o.pid()
	if err != nil {
		return err
	}
	if err := o.mark(); err != nil {
		return err
	}
	if _, err := o.journal(ctx, "away"); err != nil {
		return err
	}
	if err := o.endure(ctx); err != nil {
		return err
	}
	f["not_alive"], f["ready_meanwhile"], f["administration_failed"] = o.dead, o.ready, o.closed
	f["refused"], f["wrong_refusals"] = len(o.submitted), o.wrong
	underway := o.client.underway()
	back := time.Now()
	if f["commits_unanswered"], err = o.journal(ctx, "up"); err != nil {
		return err
	}
	if err := o.node.Ready(ctx); err != nil {
		return err
	}
	f["ready_s"] = round(time.Since(back).Seconds(), 3)
	if err := o.settle(ctx, f); err != nil {
		return err
	}
	if err := o.goOn(ctx, f, underway, back); err != nil {
		return err
	}
	return o.restarts(f, pid)
}

// journal has the journal be away or up from now on, and returns how many commits it did not answer.
func (o *outage) journal(ctx context.Context, is string) (unanswered int, err error) {
	body, err := o.faults(ctx, http.MethodPost, "/journal?is="+is)
	if err != nil {
		return 0, fmt.Errorf("have the journal be %s: %w", is, err)
	}
	if unanswered, err = strconv.Atoi(strings.TrimSpace(string(body))); err != nil {
		return 0, fmt.Errorf("the node tells of its journal: %w", err)
	}
	return unanswered, nil
}

// endure looks at the node, again and again, as long as the journal does not answer.
func (o *outage) endure(ctx context.Context) error {
	began := time.Now()
	for n := 0; time.Since(began) < outageOf(o.site); n++ {
		if err := o.node.Live(ctx); err != nil {
			o.dead++
			o.site.sayf("unavailable: after %v: %v", time.Since(began), err)
		}
		since := time.Since(began)
		if o.node.IsReady(ctx) && since > noticedWithin {
			o.ready++
		}
		if err := o.submit(ctx); err != nil {
			o.wrong++
			o.site.sayf("unavailable: after %v: %v", since, err)
		}
		if n%10 == 9 {
			if err := o.administer(ctx); err != nil {
				o.closed++
				o.site.sayf("unavailable: after %v: %v", since, err)
			}
		}
		if err := stage.Pause(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

// submit submits an order, and says what is wrong with its refusal.
func (o *outage) submit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	order := goodOrder()
	if len(o.submitted)%2 == 0 {
		order.OrderKey = "unavailable-" + strconv.Itoa(len(o.submitted)%10)
	}
	o.submitted = append(o.submitted, order)
	_, err := o.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: order})
	return refusedAway(err)
}

// refusedAway checks the refusal of an order that came while the journal did not answer.
func refusedAway(err error) error {
	if wrong := refused(err, codes.Unavailable); wrong != nil {
		return wrong
	}
	if reason, retry := reasonOf(err); reason != "JOURNAL_UNAVAILABLE" || retry <= 0 {
		return fmt.Errorf("refused for %q, to be tried again after %v: %.300s", reason, retry, status.Convert(err).Message())
	}
	return nil
}

// reasonOf returns the reason of a refusal, and when to try again.
func reasonOf(err error) (reason string, retry time.Duration) {
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration()
		}
	}
	return reason, retry
}

// administer asks the administration what it can tell without the journal, and what it can't.
func (o *outage) administer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := o.admin.Admin().Status(ctx, &adminv1.StatusRequest{})
	if err != nil || got.GetUnready() == "" || got.GetOpen() == 0 {
		return fmt.Errorf("the status is %v: %w", got, err)
	}
	if _, err := o.node.Metrics(ctx); err != nil {
		return err
	}
	_, err = o.admin.Orders().Get(ctx, &orderv1.GetRequest{Id: o.submitted[0].GetId()})
	return refusedAway(err)
}

// settle submits again what was refused, and counts what does not complete.
func (o *outage) settle(ctx context.Context, f figures) error {
	failed := 0
	for _, order := range o.submitted {
		r, err := o.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: order, Wait: orderv1.Wait_WAIT_ENDED}, grpc.WaitForReady(true))
		if err != nil || r.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED {
			failed++
			o.site.sayf("unavailable: order %s, submitted again: %v, %v", order.GetId(), r.GetOrder().GetStatus(), err)
		}
	}
	f["refused_not_completed"] = failed
	return context.Cause(ctx)
}

// goOn tells how long it took at most until an order went on that was under way when the journal answered again.
func (o *outage) goOn(ctx context.Context, f figures, underway []*order, back time.Time) error {
	f["under_way"] = len(underway)
	err := o.client.await(ctx, func(counts) bool {
		return !slices.ContainsFunc(o.client.underway(), func(x *order) bool { return slices.Contains(underway, x) })
	})
	if err != nil {
		return err
	}
	var latest time.Duration
	untold := 0
	_, err = readHistories(ctx, o.conn, idsOf(underway), func(_ messages.OrderID, events []*orderv1.HistoryEvent) error {
		for _, e := range events {
			if at := e.GetAt().AsTime(); !at.Before(back) {
				latest = max(latest, at.Sub(back))
				return nil
			}
		}
		untold++ // its last commit was one of those whose outcome was not told
		return nil
	})
	f["gone_on_s"], f["ended_untold"] = round(latest.Seconds(), 3), untold
	return err
}

// restarts tells whether anything was started again: the process, or an actor in it.
func (o *outage) restarts(f figures, pid int) error {
	said, err := o.said()
	if err != nil {
		return err
	}
	processes, actors, lines := 0, 0, 0
	for _, l := range said {
		if l.ofNode(hasStarted) || l.ofNode(isKilled) || l.ofNode(hasEnded) {
			processes++
		}
		if l.who == "node" {
			lines++
			if l.Actor != "" {
				actors++
			}
		}
	}
	now, err := o.pid()
	f["same_process"], f["restarts"], f["actors_restarted"], f["node_log_lines"] = 0, processes, actors, lines
	if now == pid {
		f["same_process"] = 1
	}
	return err
}

func unavailableBars(s *site) bars {
	b := bars{
		"refused": atLeast(outageOf(s).Seconds() * 2), "commits_unanswered": atLeast(faultyInFlight), "under_way": atLeast(faultyInFlight / 2),
		"ready_s": s.within(goesOnWithin), "gone_on_s": s.within(goesOnWithin), "same_process": atLeast(1),
		"acknowledged": atLeast(faultyInFlight),
	}.none("not_alive", "ready_meanwhile", "administration_failed", "wrong_refusals", "refused_not_completed", "restarts", "actors_restarted")
	return b.unharmed()
}
