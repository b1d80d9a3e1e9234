package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestLinkAsks(t *testing.T) {
	t.Parallel()
	d := startDownstream(t, "hss", logFile(t), "--refuse", "+1422", "--unavailable", "+1503=1", "--lose", "+1000=1", "--slow", "+1408=1m", "--slow", "+1200=200ms")
	l := linkTo(d.url + "/createSubscriber")
	t.Cleanup(l.Close)
	ask := func(ctx context.Context, msisdn string) (subscriberID, error) {
		var out subscriberID
		err := l.ask(ctx, adapters.Task{Key: msisdn, OrderID: "o"}, subscriber{IMSI: "1", MSISDN: msisdn}, &out)
		return out, err
	}
	if out, err := ask(t.Context(), "+1"); err != nil || !strings.HasPrefix(out.SubscriberID, "SUB-") {
		t.Errorf("got %+v, %v", out, err)
	}
	for msisdn, want := range map[string]adapters.Problem{
		"+1422": {Title: "Refused", Status: 422, Detail: "hss refuses +1422"},
		"+1503": {Title: "Unavailable", Status: 503, Detail: "hss is out of order; nothing changed"},
	} {
		_, err := ask(t.Context(), msisdn)
		p, ok := errors.AsType[adapters.Problem](err)
		if !ok || p.Title != want.Title || p.Status != want.Status || !strings.HasPrefix(p.Detail, want.Detail) {
			t.Errorf("%q: got %v, want %+v", msisdn, err, want)
		}
	}
	first, err := ask(t.Context(), "+1000")
	if err == nil {
		t.Errorf("an answer was lost, and yet there is %+v", first)
	}
	if _, err := ask(t.Context(), "+1000"); err != nil {
		t.Errorf("asking again: %v", err)
	}
	if got := d.outcomes(t)["+1000"]; got != "1 applied, 1 repeated" {
		t.Errorf("log has %q", got)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask(short, "+1408"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow downstream: %v", err)
	}
	cancelled, cancel := context.WithTimeout(t.Context(), time.Minute)
	time.AfterFunc(50*time.Millisecond, cancel)
	if out, err := ask(cancelled, "+1200"); err != nil || out.SubscriberID == "" || cancelled.Err() == nil {
		t.Errorf("cancelled on the way: got %+v, %v (%v)", out, err, cancelled.Err())
	}
	d.kill()
	if _, err := ask(t.Context(), "+2"); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("a dead downstream: %v", err)
	}
}

// TestAdapterProcess drives an adapter process, as a node would, with a downstream process behind it.
func TestAdapterProcess(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	d := startDownstream(t, "hss", logFile(t), "--refuse", "+1422", "--unavailable", "+1503=1")
	c := telecom(t.Context(), t, "adapter", "hss", "--downstream", d.url)
	c.Env = append(c.Env, "HOLDFAST_SERVER="+node.Addr())
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	for _, tt := range []struct {
		msisdn    string
		outcome   adapterv1.Outcome
		status    int32
		permanent bool
		log       string
	}{
		{"+1", adapterv1.Outcome_OUTCOME_SUCCEEDED, 0, false, "1 applied"},
		{"+1422", adapterv1.Outcome_OUTCOME_FAILED, 422, true, "1 refused"},
		{"+1503", adapterv1.Outcome_OUTCOME_FAILED, 503, false, "1 refused"},
	} {
		r := node.Do(t.Context(), "createSubscriber", subscriber{IMSI: "1", MSISDN: tt.msisdn})
		if r.GetOutcome() != tt.outcome || r.GetError().GetStatus() != tt.status || r.GetPermanent() != tt.permanent {
			t.Errorf("%s: got %v", tt.msisdn, r)
		}
		if got := d.outcomes(t)[r.GetKey()]; got != tt.log {
			t.Errorf("%s: log has %q, want %q", tt.msisdn, got, tt.log)
		}
		for _, e := range d.entries(t) {
			if e.Key == r.GetKey() && e.Order != r.GetOrderId() {
				t.Errorf("%s: log has the order %s, not %s", tt.msisdn, e.Order, r.GetOrderId())
			}
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, stderr.String())
	}
}

// TestEveryAdapter has each activity executed once, with the arguments that its downstream wants.
func TestEveryAdapter(t *testing.T) {
	t.Parallel()
	inputs := map[string]any{
		"hss.createSubscriber":  subscriber{IMSI: "1", MSISDN: "+1"},
		"hss.deleteSubscriber":  subscriberID{SubscriberID: "SUB-1"},
		"policy.assignProfile":  assignProfile{IMSI: "1", Plan: "5G"},
		"policy.removeProfile":  profileID{ProfileID: "POL-1"},
		"npdb.requestPort":      requestPort{MSISDN: "+1", Donor: "D042", Window: window{"2030-01-01T00:00:00Z", "2030-01-01T02:00:00Z"}},
		"npdb.routeNumber":      routeNumber{PortID: "PORT-1", MSISDN: "+1"},
		"sim.updateCard":        updateCard{ICCID: "1", IMSI: "1", MSISDN: "+1"},
		"billing.startContract": startContract{MSISDN: "+1", Plan: "5G"},
		"billing.endContract":   contract{AccountID: "ACC-1"},
		"sms.send":              message{To: "+1", Text: "hello"},
	}
	for name, operations := range systems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDownstream(t, name, logFile(t))
			node := adaptertest.Start(t)
			o := offers{Adapter: adapters.New(name), downstream: d.url, concurrency: 2, timeout: time.Minute}
			activities[name](o)
			node.Run(o.Adapter, adapters.Config{})
			for operation := range operations {
				r := node.Do(t.Context(), operation, inputs[name+"."+operation])
				if r.GetOutcome() != adapterv1.Outcome_OUTCOME_SUCCEEDED || len(r.GetOutput()) < len(`{"a":"b"}`) {
					t.Errorf("%s: got %v", operation, r)
				}
			}
		})
	}
}
