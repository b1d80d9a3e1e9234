package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// adminWindow is how many orders of each of the two definitions are in flight: together as many as in the row accept.
	adminWindow = 128
	// adminEvery is how often administrators ask; each time it is another question.
	adminEvery = 20 * time.Millisecond
	// falloutEvery is how often they have all faulted orders grouped. That looks at each of them, so it is timed by itself.
	falloutEvery = 2 * time.Second
	// adminIdlers is how many idle clients there are: each has a connection, and a stream for orders.
	adminIdlers = 5000
)

// flooded is a node under load, and those who look after it.
type flooded struct {
	s     *site
	node  *stage.Node
	conn  *grpc.ClientConn
	admin *grpc.ClientConn

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
	if a.node, err = st.StartNode(ctx, s.holdfast, true); err != nil {
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
func (a *flooded) idle(ctx context.Context) (conns []*grpc.ClientConn, err error) {
	for range adminIdlers {
		c, err := a.node.Dial(grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(0))
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if _, err := orderv1.NewOrderServiceClient(c).SubmitStream(ctx, grpc.WaitForReady(true)); err != nil {
			return conns, fmt.Errorf("open stream: %w", err)
		}
	}
	return conns, nil
}

// measure runs the load in pairs of phases, and judges.
func (a *flooded) measure(ctx context.Context, f figures) error {
	pairs, phase := 5, 6*time.Second
	if a.s.ci() {
		pairs, phase = 2, 3*time.Second
	}
	questions, fallout, err := a.questions(ctx)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watchers sync.WaitGroup
	errs := make(chan error, 2)
	watchers.Go(func() { errs <- a.ask(watching, adminEvery, questions...) })
	watchers.Go(func() { errs <- a.ask(watching, falloutEvery, fallout) })
	watchers.Go(func() { a.checkHealth(watching) })
	var calm, faulting []float64
	for pair := range 2 * pairs {
		neighbour, rates := "calm", &calm
		if pair%4 == 1 || pair%4 == 2 { // each has the other before it as often
			neighbour, rates = "faulting", &faulting
		}
		var rate float64
		if rate, err = a.phase(ctx, neighbour, phase); err != nil {
			break
		}
		*rates = append(*rates, rate)
	}
	stop()
	watchers.Wait()
	if err := errors.Join(err, <-errs, <-errs); err != nil {
		return err
	}
	usage, err := a.node.Usage()
	if err != nil {
		return err
	}
	var all []time.Duration
	for name, took := range a.asked {
		f[name+"_p99_ms"] = milliseconds(quantile(took, 0.99))
		if name != fallout.name {
			all = append(all, took...)
		}
	}
	f["questions"], f["admin_p99_ms"] = len(all), milliseconds(quantile(all, 0.99))
	f["healthy_rate_per_s"], f["healthy_rate_beside_faults_per_s"] = round(quantile(calm, 0.5), 0), round(quantile(faulting, 0.5), 0)
	f["healthy_kept"] = round(quantile(faulting, 0.5)/quantile(calm, 0.5), 3)
	f["health_checks"], f["health_silent"] = a.checks, a.silent
	f["fallout_orders"], f["node_peak_rss_bytes"] = a.faulted, usage.PeakRSS
	return nil
}

// phase runs both definitions for a time, and returns at which rate the orders of the healthy one ended.
func (a *flooded) phase(ctx context.Context, neighbour string, d time.Duration) (float64, error) {
	healthy, other := newFleet(orderOf("healthy")), newFleet(orderOf(neighbour))
	if neighbour == "faulting" {
		other.want = []orderv1.Status{orderv1.Status_STATUS_FAULTED}
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
	return turnOf(healthy.orders, began, began.Add(d)).rate, errors.Join(<-errs, <-errs)
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
	public := orderv1.NewOrderServiceClient(a.conn)
	for _, id := range []string{"first", "second"} {
		_, err := public.Submit(ctx, &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{
			Id: id, Definition: "verify/million:1.0.0", Input: []byte(`{"delay":"PT1H"}`), OrderKey: "subscriber",
		}})
		if err != nil {
			return nil, fallout, fmt.Errorf("submit %s: %w", id, err)
		}
	}
	orders, admin := orderv1.NewOrderServiceClient(a.admin), adminv1.NewAdminServiceClient(a.admin)
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
func lost(conns []*grpc.ClientConn) (n int) {
	for _, c := range conns {
		if c.GetState() != connectivity.Ready {
			n++
		}
	}
	return n
}
