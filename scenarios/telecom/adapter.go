package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
)

// activities adds the activities of one adapter. Every one passes the key of its task on, and the downstreams apply a
// key once: so all are idempotent, and a lost attempt may be repeated by any adapter process.
var activities = map[string]func(o offers){
	"hss": func(o offers) {
		offer[subscriber, subscriberID](o, "createSubscriber")
		offer[subscriberID, subscriberID](o, "deleteSubscriber")
	},
	"policy": func(o offers) {
		offer[assignProfile, profile](o, "assignProfile")
		offer[profileID, profileID](o, "removeProfile")
	},
	"sim": func(o offers) { offer[updateCard, cardUpdate](o, "updateCard") },
	"billing": func(o offers) {
		offer[startContract, contract](o, "startContract")
		offer[contract, contract](o, "endContract")
	},
	"sms": func(o offers) { offer[message, messageID](o, "send") },
	"npdb": func(o offers) {
		offer[requestPort, port](o, "requestPort")
		offer[routeNumber, route](o, "routeNumber")
	},
}

// offers is an adapter in the making.
type offers struct {
	*adapters.Adapter

	downstream  string // URL
	concurrency int
	timeout     time.Duration
}

// offer adds one activity: an actor asks the downstream over a connection of its own.
func offer[In, Out any](o offers, activity string) {
	open := func(context.Context) (*link, error) { return linkTo(o.downstream + "/" + activity), nil }
	ask := func(ctx context.Context, l *link, t adapters.Task, in In) (Out, error) {
		var out Out
		err := l.ask(ctx, t, in, &out)
		return out, err
	}
	adapters.HandleWith(o.Adapter, activity, open, ask,
		adapters.Idempotent(), adapters.Concurrency(o.concurrency), adapters.Timeout(o.timeout))
}

// link is one connection to an operation of a downstream.
type link struct {
	url    string
	client *http.Client
}

func linkTo(operation string) *link {
	return &link{url: operation, client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, IdleConnTimeout: time.Minute}}}
}

// Close closes the connection.
func (l *link) Close() { l.client.CloseIdleConnections() }

// ask makes one request. What came of a request without an answer is not known: it is in doubt, with the error of a failed
// communication, so that definitions ask again, under the same key.
//
// A request that is under way is awaited even if the attempt is cancelled, until its deadline: to hang up would not stop
// the downstream, it would only hide what came of it.
func (l *link) ask(ctx context.Context, t adapters.Task, in, out any) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
	}
	body, err := json.Marshal(in)
	if err != nil {
		return adapters.Permanent(fmt.Errorf("encode arguments: %w", err))
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return adapters.Permanent(fmt.Errorf("make request: %w", err))
	}
	q.GetBody = nil // net/http would repeat requests that have a key by itself; when to repeat is for the definition to say
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set(headerKey, t.Key)
	q.Header.Set(headerOrder, string(t.OrderID))
	resp, err := l.client.Do(q)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the rest of it is no news to the operator, and different at every start
		}
		return unknown(fmt.Errorf("no answer: %w", err))
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return unknown(fmt.Errorf("answer broke off: %w", err))
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(answer, out); err != nil {
			return unknown(fmt.Errorf("answer is not understood: %w", err))
		}
		return nil
	}
	said := problemJSON{Title: resp.Status, Status: resp.StatusCode}
	if json.Unmarshal(answer, &said) != nil {
		said.Detail = string(answer)
	}
	p := adapters.Problem{Title: said.Title, Status: resp.StatusCode, Detail: said.Detail}
	if resp.StatusCode >= http.StatusInternalServerError {
		p.Status = http.StatusServiceUnavailable // whatever ails it: what definitions retry
		return adapters.Transient(p)
	}
	return adapters.Permanent(p)
}

// unknown marks an error after which the work may have been done, unless its request was never sent, or its time was over,
// which says so already.
func unknown(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return adapters.InDoubt(adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "Activity failed", Status: http.StatusServiceUnavailable, Detail: err.Error(),
	})
}
