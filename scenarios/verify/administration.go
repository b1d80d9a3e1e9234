package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// adminWindow is how many orders of each of the two definitions are in flight: together as many as in the row accept.
	adminWindow = 128
	// adminEvery is how often administrators ask; each time it is another question.
	adminEvery = 20 * time.Millisecond
	// groupings is how often they have all faulted orders grouped, one time after the other, while orders run. That looks at
	// each of them, so it is timed by itself, when the rest was measured: its cost grows with their number, and would be taken
	// for a difference between the phases.
	groupings = 3
	// adminIdlers is how many idle clients there are: each has a connection, and a stream for orders.
	adminIdlers = 5000
	// adminMemory is what a node needs for so many.
	adminMemory = "5GiB"
)

// flooded is a node under load, and those who look after it.
type flooded struct {
	s     *site
	node  *stage.Node
	conn  *client.Client
	admin *client.Client

	mu             sync.Mutex
	asked          map[string][]time.Duration // by question
	checks, silent int                        // of health, and those that were not answered in time
	faulted        int64                      // that were grouped at once
}

// administration floods a node with orders of two definitions, with thousands of idle clients beside. In turn, the orders
// of the second definition complete and fault. Meanwhile administrators ask, and health is checked.
func administration(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	a := &flooded{s: s, asked: map[string][]time.Duration{}}
	var err error
	if a.node, err = st.StartNode(ctx, s.holdfast, true, "--memory", adminMemory); err != nil {
		return nil, err
	}
	if a.conn, err = a.node.Dial(); err != nil {
		return nil, err
	}
	defer a.conn.Close() //nolint:errcheck // it fails only if it was closed before
	if a.admin, err = a.node.DialAdmin(); err != nil {
		return nil, err
	}
	defer a.admin.Close() //nolint:errcheck // as above
	for _, name := range []string{"healthy", "calm", "faulting", "million"} {
		if err := deploy(ctx, a.conn, name); err != nil {
			return nil, why(ctx, err)
		}
	}
	_, err = st.Start(ctx, stage.Spec{Name: "adapter", Path: s.holdfast, Args: []string{"adapter", "bench", "--server", a.node.Server}})
	if err != nil {
		return nil, err
	}
	idlers, err := a.idle(ctx)
	defer func() {
		for _, c := range idlers {
			_ = c.Close() // it fails only if it was closed before
		}
	}()
	if err != nil {
		return nil, why(ctx, err)
	}
	f := figures{"idle_clients": len(idlers)}
	err = a.measure(ctx, f)
	f["idle_lost"] = lost(idlers)
	return f, why(ctx, err)
}

// idle connects idle clients.
func (a *flooded) idle(ctx context.Context) (conns []*client.Client, err error) {
	for range adminIdlers {
		c, err := a.node.Dial(grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(0))
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if _, err := c.Orders().SubmitStream(ctx, grpc.WaitForReady(true)); err != nil {
			return conns, fmt.Errorf("open stream: %w", err)
		}
	}
	return conns, nil
}

// measure runs the load in pairs of phases, and judges.
func (a *flooded) measure(ctx context.Context, f figures) error {
	pairs, phase := 12, 2500*time.Millisecond
	if a.s.ci() {
		pairs, phase = 2, 1500*time.Millisecond
	}
	questions, fallout, err := a.questions(ctx)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watchers sync.WaitGroup
	asked := make(chan error, 1)
	watchers.Go(func() { asked <- a.ask(watching, adminEvery, questions...) })
	watchers.Go(func() { a.checkHealth(watching) })
	calm, faulting, err := a.pairs(ctx, pairs, phase)
	stop()
	watchers.Wait()
	if err := errors.Join(err, <-asked); err != nil {
		return err
	}
	var all []time.Duration
	for name, took := range a.asked {
		f[name+"_p99_ms"] = milliseconds(quantile(took, 0.99))
		all = append(all, took...)
	}
	f["questions"], f["admin_p99_ms"] = len(all), milliseconds(quantile(all, 0.99))
	f["pairs"] = pairs
	f["healthy_rate_per_s"] = round(median(pairs, func(i int) float64 { return calm[i].rate }), 0)
	f["healthy_rate_beside_faults_per_s"] = round(median(pairs, func(i int) float64 { return faulting[i].rate }), 0)
	f["healthy_kept"] = round(median(pairs, func(i int) float64 { return faulting[i].rate / calm[i].rate }), 3)
	f["cpu_ratio"] = round(median(pairs, func(i int) float64 { return faulting[i].cpu / calm[i].cpu }), 3)
	f["health_checks"], f["health_silent"] = a.checks, a.silent
	if err := a.group(ctx, fallout, f); err != nil {
		return err
	}
	usage, err := a.node.Usage()
	f["node_peak_rss_bytes"] = usage.PeakRSS
	return err
}

// pairs runs pairs of phases, in one of which the other orders complete, and in one of which they fault. Each comes first as
// often. What is compared lies within seconds, because the speed of a machine that others use drifts.
func (a *flooded) pairs(ctx context.Context, n int, phase time.Duration) (calm, faulting []turn, err error) {
	if _, err = a.phase(ctx, "calm", phase); err != nil { // whatever is slow only once
		return nil, nil, err
	}
	for i := range 2 * n {
		neighbour, turns := "calm", &calm
		if i%4 == 1 || i%4 == 2 {
			neighbour, turns = "faulting", &faulting
		}
		t, err := a.phase(ctx, neighbour, phase)
		if err != nil {
			return nil, nil, err
		}
		*turns = append(*turns, t)
	}
	return calm, faulting, nil
}

// group has all faulted orders grouped while orders run.
func (a *flooded) group(ctx context.Context, fallout question, f figures) error {
	running := newFleet(orderOf("healthy"))
	var slowest time.Duration
	err := running.during(ctx, a.conn, adminWindow, func(ctx context.Context) error {
		for range groupings {
			began := time.Now()
			if err := fallout.ask(ctx); err != nil {
				return fmt.Errorf("%s: %w", fallout.name, err)
			}
			slowest = max(slowest, time.Since(began))
		}
		return nil
	})
	f["fallout_orders"], f["fallout_slowest_ms"] = a.faulted, milliseconds(slowest)
	return errors.Join(append(running.wrong, err)...)
}

// phase runs both definitions for a time, and returns at which rate the orders of the healthy one ended, and what all
// orders took of the node's CPU for each of those.
func (a *flooded) phase(ctx context.Context, neighbour string, d time.Duration) (turn, error) {
	healthy, other := newFleet(orderOf("healthy")), newFleet(orderOf(neighbour))
	if neighbour == "faulting" {
		other.want = []orderv1.Status{orderv1.Status_STATUS_FAULTED}
	}
	before, err := a.node.Usage()
	if err != nil {
		return turn{}, err
	}
	began := time.Now()
	var both sync.WaitGroup
	errs := make(chan error, 2)
	for _, client := range []*fleet{healthy, other} {
		enough := time.AfterFunc(d, client.finish)
		defer enough.Stop()
		both.Go(func() {
			err := client.run(ctx, a.conn, adminWindow)
			if n := client.counts().resubmitted; n > 0 {
				err = errors.Join(err, fmt.Errorf("%d orders were refused, or their stream broke", n))
			}
			errs <- errors.Join(append(client.wrong, err)...)
		})
	}
	both.Wait()
	after, err := a.node.Usage()
	if err = errors.Join(err, <-errs, <-errs); err != nil {
		return turn{}, err
	}
	t := turnOf(healthy.orders, began, began.Add(d))
	if t.rate == 0 {
		return t, fmt.Errorf("no order ended within %v", d)
	}
	t.cpu = (after.CPU - before.CPU).Seconds() * 1000 / float64(len(healthy.orders))
	return t, nil
}

// orderOf makes orders of a definition, all alike.
func orderOf(definition string) func(int) *orderv1.WorkOrder {
	return func(int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{Definition: "verify/" + definition + ":1.0.0", Input: []byte(`{}`)}
	}
}

// question is what an administrator asks, or does.
type question struct {
	name string
	ask  func(context.Context) error
}

// questions are what administrators ask. Some are about an order that has a key, and one that waits for it.
func (a *flooded) questions(ctx context.Context) (questions []question, fallout question, err error) {
	public := a.conn.Orders()
	for _, id := range []string{"first", "second"} {
		_, err := public.Submit(ctx, &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{
			Id: id, Definition: "verify/million:1.0.0", Input: []byte(`{"delay":"PT1H"}`), OrderKey: "subscriber",
		}})
		if err != nil {
			return nil, fallout, fmt.Errorf("submit %s: %w", id, err)
		}
	}
	orders, admin := a.admin.Orders(), a.admin.Admin()
	act := func(ctx context.Context, action *adminv1.Action) error {
		action.By, action.Reason = "verify", "to see how long it takes"
		_, err := admin.Operate(ctx, &adminv1.OperateRequest{Id: "first", Action: action})
		return err
	}
	questions = []question{
		{"get", func(ctx context.Context) error {
			_, err := orders.Get(ctx, &orderv1.GetRequest{Id: "second"})
			return err
		}},
		{"list", func(ctx context.Context) error {
			_, err := orders.List(ctx, &orderv1.ListRequest{PageSize: 100})
			return err
		}},
		{"suspend", func(ctx context.Context) error {
			return act(ctx, &adminv1.Action{Kind: &adminv1.Action_Suspend{Suspend: &adminv1.Suspend{}}})
		}},
		{"key", func(ctx context.Context) error {
			_, err := admin.ShowKey(ctx, &adminv1.ShowKeyRequest{OrderKey: "subscriber"})
			return err
		}},
		{"resume", func(ctx context.Context) error {
			return act(ctx, &adminv1.Action{Kind: &adminv1.Action_Resume{Resume: &adminv1.Resume{}}})
		}},
		{"status", func(ctx context.Context) error {
			_, err := admin.Status(ctx, &adminv1.StatusRequest{})
			return err
		}},
		{"activities", func(ctx context.Context) error {
			_, err := admin.ListActivities(ctx, &adminv1.ListActivitiesRequest{})
			return err
		}},
		{"limit", func(ctx context.Context) error {
			_, err := admin.LimitActivity(ctx, &adminv1.LimitActivityRequest{Activity: "bench.other", Concurrency: 10})
			return err
		}},
	}
	return questions, question{"fallout", func(ctx context.Context) error {
		r, err := admin.ListFallout(ctx, &adminv1.ListFalloutRequest{})
		a.faulted = max(a.faulted, r.GetOrders())
		return err
	}}, nil
}

// ask asks all questions, one after the other, again and again until ctx ends.
func (a *flooded) ask(ctx context.Context, every time.Duration, questions ...question) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		q := questions[n%len(questions)]
		began := time.Now()
		err := q.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		a.mu.Lock()
		a.asked[q.name] = append(a.asked[q.name], time.Since(began))
		a.mu.Unlock()
	}
}

// checkHealth checks each second whether the node says, within a second, that it lives and is ready.
func (a *flooded) checkHealth(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, time.Second)
		err := errors.Join(a.node.Live(within), a.node.Ready(within))
		cancel()
		if err != nil && ctx.Err() == nil {
			a.silent++
			a.s.sayf("admin: %v", err)
		}
		a.checks++
	}
}

func administrationBars(s *site) bars {
	return bars{
		"admin_p99_ms": s.within(100), "healthy_kept": s.atRate(0.8), "idle_clients": atLeast(adminIdlers), "health_checks": atLeast(5),
	}.none("health_silent", "idle_lost")
}

// lost counts the idle clients whose connections broke.
func lost(conns []*client.Client) (n int) {
	for _, c := range conns {
		if c.Conn().GetState() != connectivity.Ready {
			n++
		}
	}
	return n
}
