package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/rude"
)

const (
	// rudeMemory is what the node may have, and rudeAdapterMemory what the adapter may be seen to have.
	rudeMemory, rudeAdapterMemory = 256 << 20, 256 << 20
	// rudeInFlight is how many requests are under way.
	rudeInFlight = 64
	// rudeMostTaken is the most that may be taken of an answer that has no end: its limit is 1 MiB, and the system keeps some MiB between.
	rudeMostTaken = 32 << 20
)

// rudeRow is the row under way.
type rudeRow struct {
	*site

	node    *stage.Node
	adapter *stage.Process
	conn    *client.Client
	// bait is a server that must not be asked.
	bait  *rude.Server
	cases []*rudeCase
	// lasting is closed at the end of the row.
	lasting chan struct{}
	lasts   sync.WaitGroup

	mu       sync.Mutex
	ends     map[string]int // of requests, by how they are to end
	requests int
	wrong    []string
	twice    int
	taken    int64
}

// rudeServers has requests sent to servers that behave as none should, and judges by the histories of their orders, and by what the
// servers have seen, whether each ended as it should.
func rudeServers(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	r := &rudeRow{site: s, lasting: make(chan struct{}), ends: map[string]int{}}
	defer r.lasts.Wait()
	defer close(r.lasting)
	var err error
	if r.bait, err = rude.Serve(ctx, "127.0.0.2", rude.Says(rude.Answer("200 OK", "caught"))); err != nil {
		return nil, err
	}
	defer r.bait.Close()
	if err := r.start(ctx, st); err != nil {
		return nil, why(ctx, err)
	}
	defer r.conn.Close() //nolint:errcheck // it fails only if it was closed before
	asks := r.asks()
	if err := r.deploy(ctx, asks); err != nil {
		return nil, why(ctx, err)
	}
	if err := r.askAll(ctx, asks); err != nil {
		return nil, why(ctx, err)
	}
	f := figures{"cases": len(r.cases), "asked": len(asks)}
	if err := r.tell(f); err != nil {
		return f, err
	}
	return f, r.node.Live(ctx)
}

// start makes the cases, and starts a node and an adapter.
func (r *rudeRow) start(ctx context.Context, st *stage.Stage) error {
	authority, err := rude.NewAuthority()
	if err != nil {
		return err
	}
	ca := filepath.Join(r.dir, "ca.pem")
	if err := authority.Write(ca); err != nil {
		return err
	}
	large, err := hugeCases()
	if err != nil {
		return err
	}
	secured, err := tlsCases(authority)
	if err != nil {
		return err
	}
	// What takes long comes first.
	r.cases = slices.Concat(slowCases(), large, resetCases(), secured, waitCases(), redirectCases(r.bait.Address), formCases(), typeCases(),
		[]*rudeCase{caseOf("an answer as it should be", rude.Says(rude.Answer("200 OK", "abc")), isAnswered).everyOutput()})
	if r.node, err = st.StartNode(ctx, r.holdfast, true, "--memory", fmt.Sprint(rudeMemory)); err != nil {
		return err
	}
	if err := r.node.Ready(ctx); err != nil {
		return err
	}
	r.adapter, err = st.Start(ctx, stage.Spec{Name: "adapter", Path: r.holdfast, Restart: true, Args: []string{
		"adapter", "http", "--server", r.node.Server, "--allow", "127.0.0.1", "--ca-file", ca, "--timeout", rudeTimeout.String(),
		"--retry-after", rudeRetryAfter.String(),
	}})
	if err == nil {
		r.conn, err = r.node.Dial()
	}
	return err
}

// asks are the requests of all cases.
func (r *rudeRow) asks() []ask {
	var all []ask
	for _, c := range r.cases {
		for _, method := range c.methods {
			for _, output := range c.outputs {
				all = append(all, ask{c, method, output})
			}
		}
	}
	return all
}

// definition is the name of the definition whose orders send such requests.
func (a ask) definition() string { return fmt.Sprintf("http-%s-%s-%t", a.method, a.output, a.redirect) }

// deploy deploys what the requests need.
func (r *rudeRow) deploy(ctx context.Context, asks []ask) error {
	deployed := map[string]bool{}
	for _, a := range asks {
		name, body := a.definition(), ""
		if deployed[name] {
			continue
		}
		deployed[name] = true
		if a.method == "put" || a.method == "post" || a.method == "patch" {
			body = ", body: {a: 1}"
		}
		if err := deployDocument(ctx, r.conn, fmt.Appendf(nil, `document: {dsl: 1.0.3, namespace: verify, name: %s, version: 1.0.0}
do:
- ask:
    try:
    - send: {call: http, with: {method: %s, endpoint: '${ .uri }', output: %s, redirect: %t%s}}
    catch: {retry: {delay: PT0.1S, limit: {attempt: {count: 1}}}}
`, name, a.method, a.output, a.redirect, body)); err != nil {
			return fmt.Errorf("deploy %s: %w", name, err)
		}
	}
	return nil
}

// askAll sends all requests, and judges.
func (r *rudeRow) askAll(ctx context.Context, asks []ask) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan ask)
	var all sync.WaitGroup
	for range rudeInFlight {
		all.Go(func() {
			for a := range next {
				if err := r.one(ctx, a); err != nil {
					cancel(fmt.Errorf("%v: %w", a, err))
				}
			}
		})
	}
	for _, a := range asks {
		select {
		case next <- a:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	all.Wait()
	return context.Cause(ctx)
}

// one sends a request to a server of its own.
func (r *rudeRow) one(ctx context.Context, a ask) error {
	server, err := rude.Serve(ctx, "127.0.0.1", a.manner)
	if err != nil {
		return err
	}
	events, err := r.order(ctx, a, server.Address)
	if a.lasts {
		r.lasts.Go(func() {
			<-r.lasting
			server.Close()
		})
	} else {
		server.Close()
	}
	if err != nil {
		return err
	}
	requests := server.Requests()
	wrong, twice := judgeAsk(a, events, requests)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends[a.want(a).end]++
	r.requests += len(requests)
	r.taken = max(r.taken, server.Poured())
	if twice {
		r.twice++
	}
	if wrong != "" {
		r.wrong = append(r.wrong, fmt.Sprintf("%v: %s", a, wrong))
	}
	return nil
}

// order has an order send a request, and returns its history.
func (r *rudeRow) order(ctx context.Context, a ask, server string) ([]*orderv1.HistoryEvent, error) {
	id := messages.NewOrderID()
	_, err := r.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Wait: orderv1.Wait_WAIT_ENDED, Order: &orderv1.WorkOrder{
		Id: string(id), Definition: "verify/" + a.definition() + ":1.0.0", Input: fmt.Appendf(nil, `{"uri":%q}`, fmt.Sprintf(a.to, server)),
	}})
	if err != nil {
		return nil, fmt.Errorf("submit: %w", err)
	}
	return readHistory(ctx, r.conn.Orders(), id)
}

// tell tells what was seen.
func (r *rudeRow) tell(f figures) error {
	node, err1 := r.node.Usage()
	adapter, err2 := r.adapter.Usage()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for end, n := range r.ends {
		f["asked_"+end] = n
	}
	f["requests"], f["wrong"], f["sent_twice"], f["forbidden_asked"] = r.requests, len(r.wrong), r.twice, r.bait.Connections()
	f["most_taken_bytes"], f["adapter_peak_rss_bytes"], f["node_peak_rss_bytes"] = r.taken, adapter.PeakRSS, node.PeakRSS
	f["node_restarts"], f["adapter_restarts"] = r.node.Starts()-1, r.adapter.Starts()-1
	slices.Sort(r.wrong)
	for _, wrong := range r.wrong[:min(len(r.wrong), 5*maxWrong)] {
		r.sayf("http: %s", strings.ToValidUTF8(wrong, "?"))
	}
	return nil
}

func rudeBars(*site) bars {
	return bars{
		"cases": atLeast(200), "asked": atLeast(1200), "asked_done": atLeast(100), "asked_lost": atLeast(100), "asked_failed": atLeast(100),
		"asked_refused": atLeast(100), "asked_in_doubt": atLeast(100), "adapter_peak_rss_bytes": atMost(rudeAdapterMemory),
		"node_peak_rss_bytes": atMost(rudeMemory * 5 / 4), "most_taken_bytes": atMost(rudeMostTaken),
	}.none("wrong", "sent_twice", "forbidden_asked", "node_restarts", "adapter_restarts")
}
