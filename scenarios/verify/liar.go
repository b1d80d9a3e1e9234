package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// liarInFlight is how many orders are under way.
	liarInFlight = 200
	// liars is how many streams lie at a time.
	liars = 4
	// liarEach is how many lies a stream tells before it is ended, and another one begins.
	liarEach = 2000
	// liarOwn is of how many orders one has a task for the liar itself.
	liarOwn = 10
	// liarBatch is how many lies there are in one message.
	liarBatch = 20
)

// liarOrders is how many orders there are.
func liarOrders(s *site) int {
	if s.ci() {
		return 1000
	}
	return 20_000
}

// liar is an adapter that says whatever it likes.
type liar struct {
	client adapterv1.AdapterServiceClient
	orders *fleet

	mu      sync.Mutex
	told    int // lies
	heard   int // acknowledgements of them
	streams int
}

// lied has an adapter under a name of its own say whatever it likes of orders, keys, partitions, activities and attempts of
// others, while another adapter executes them, and sees whether any of that had an effect.
func lied(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, log, err := startMortal(ctx, s, st)
	if err != nil {
		return nil, why(ctx, err)
	}
	conn, err := prepared(ctx, node, "poison", "liar")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	client := newFleet(func(n int) *orderv1.WorkOrder {
		name := "poison"
		if n%liarOwn == 0 {
			name = "liar"
		}
		return &orderv1.WorkOrder{Definition: "verify/" + name + ":1.0.0", Input: fmt.Appendf(nil, `{"n": %d}`, n)}
	})
	client.most = liarOrders(s)
	l := &liar{client: adapterv1.NewAdapterServiceClient(conn.Conn()), orders: client}
	if err := l.during(ctx, s.seed, func(ctx context.Context) error { return client.run(ctx, conn, liarInFlight) }); err != nil {
		return nil, why(ctx, err)
	}
	for _, wrong := range client.wrong {
		s.sayf("liar: %v", wrong)
	}
	c := client.counts()
	f := figures{
		"lies": l.told, "acknowledged_lies": l.heard, "streams": l.streams, "wrong_answers": len(client.wrong),
		"completed": c.completed, "lost": c.lost(), "never_acknowledged": c.submitted - c.accepted,
	}
	metrics, err := node.Metrics(ctx)
	if err != nil {
		return f, err
	}
	refused, err := metrics.Value(`holdfast_adapter_claims_refused_total{what="result"}`)
	if err != nil {
		return f, err
	}
	f["refused"] = refused
	seen := mortalSeen{poisonous: map[messages.OrderID]bool{}, told: map[messages.OrderID][]*orderv1.HistoryEvent{}}
	if f["without_history"], err = seen.read(ctx, conn, client.orders); err != nil {
		return f, err
	}
	if seen.lines, err = players.ReadLines[players.MortalLine](log); err != nil {
		return f, err
	}
	judged := seen.judge()
	f["applied_again"], f["in_doubt"] = judged["applied_again"], judged["in_doubt"]
	f["changed"] = changed(s, client.orders, seen.told)
	return f, node.Live(ctx)
}

// honest is what happens in an order that nobody lies about.
const honest = "order.accepted order.started " +
	"task.started attempt.scheduled attempt.succeeded task.completed " +
	"task.started attempt.scheduled attempt.sent attempt.succeeded task.completed order.completed"

// changed counts the histories in which anything else happened, or whose last output is not that of the adapter that was asked.
// That a stream of the liar ended with a task of its own is no lie.
func changed(s *site, orders []*order, told map[messages.OrderID][]*orderv1.HistoryEvent) int {
	count := 0
	for _, o := range orders {
		var types []string
		output, lies := "", false
		for _, e := range told[o.id] {
			lies = lies || strings.Contains(string(e.GetData()), "a lie")
			switch {
			case e.GetEventType() == eventtype.AttemptLost && e.GetTask() == "/do/0/own":
				continue
			case e.GetEventType() == eventtype.AttemptSucceeded:
				output = string(e.GetData())
			}
			types = append(types, eventtype.Name(e.GetEventType()))
		}
		is := strings.Join(types, " ")
		if is != honest || lies || output != fmt.Sprintf(`{"poison":false,"n":%d}`, o.n) {
			if count++; count <= maxWrong {
				s.sayf("liar: the history of %s is %s, and its output %s", o.id, is, output)
			}
		}
	}
	return count
}

// during has liars lie until something is done.
func (l *liar) during(ctx context.Context, seed uint64, do func(context.Context) error) error {
	lying, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for n := range liars {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(n)+1)) //nolint:gosec // no secret
			for lying.Err() == nil {
				l.lie(lying, chance)
				_ = stage.Pause(lying, 10*time.Millisecond)
			}
		})
	}
	err := do(ctx)
	stop()
	all.Wait()
	return err
}

// lie runs one stream. How it ends does not matter: the node may refuse it.
func (l *liar) lie(ctx context.Context, chance *rand.Rand) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := l.client.Connect(ctx, grpc.WaitForReady(true))
	if err != nil {
		return
	}
	hello := &adapterv1.Hello{
		Adapter: "liar", Process: fmt.Sprint("liar-", chance.Uint64()), Protocol: 1,
		Features: []adapterv1.Feature{adapterv1.Feature_FEATURE_BEGUN},
	}
	hello.Ledger = hello.GetProcess()
	for _, name := range []string{"own", "apply", "charge"} {
		hello.Activities = append(hello.Activities, &adapterv1.Activity{
			Name: name, Idempotent: name != "charge", Concurrency: 1000, Recoverable: true,
		})
	}
	for range chance.IntN(1000) {
		hello.Keys = append(hello.Keys, l.key(chance))
	}
	first := &adapterv1.ConnectRequest{Hello: hello}
	for _, name := range []string{"own", "apply", "charge"} {
		first.Credits = append(first.Credits, &adapterv1.Credit{Activity: name, Total: 1000})
	}
	if st.Send(first) != nil {
		return
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	tasks := make(chan *adapterv1.Task, liarInFlight)
	reading.Go(func() { l.listen(ctx, st, tasks) })
	l.mu.Lock()
	l.streams++
	l.mu.Unlock()
	seq := uint64(0)
	for told := 0; told < liarEach; told += liarBatch {
		m := l.message(chance, &seq)
		for more := true; more; {
			select {
			case t := <-tasks:
				m.Results = append(m.Results, l.own(chance, t, &seq)...)
			default:
				more = false
			}
		}
		if st.Send(m) != nil || stage.Pause(ctx, 5*time.Millisecond) != nil {
			return
		}
		l.mu.Lock()
		l.told += len(m.GetResults())
		l.mu.Unlock()
	}
}

type adapterStream = grpc.BidiStreamingClient[adapterv1.ConnectRequest, adapterv1.ConnectResponse]

// listen takes what the node says.
func (l *liar) listen(ctx context.Context, st adapterStream, tasks chan<- *adapterv1.Task) {
	for {
		m, err := st.Recv()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.heard += len(m.GetAcks())
		l.mu.Unlock()
		for _, t := range m.GetTasks() {
			select {
			case tasks <- t:
			case <-ctx.Done():
				return
			}
		}
	}
}

// message is one full of lies.
func (l *liar) message(chance *rand.Rand, seq *uint64) *adapterv1.ConnectRequest {
	m := &adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}}
	for range liarBatch {
		m.Results = append(m.Results, l.result(chance, seq))
	}
	m.Begun = append(m.Begun, &adapterv1.Begun{Key: l.key(chance), Attempt: attempt(chance)})
	m.Heartbeat.Progress = append(m.Heartbeat.Progress, &adapterv1.Progress{Key: l.key(chance), Note: "it goes on"})
	m.Credits = append(m.Credits, &adapterv1.Credit{Activity: activityOf(chance), Total: chance.Uint64N(2000)})
	if chance.IntN(10) == 0 {
		m.Revocations = append(m.Revocations, &adapterv1.Revocation{Activity: activityOf(chance), Count: chance.Uint64N(10)})
	}
	m.Drain = chance.IntN(200) == 0
	return m
}

// own is what a liar says of a task of its own: the truth at last.
func (l *liar) own(chance *rand.Rand, t *adapterv1.Task, seq *uint64) []*adapterv1.Result {
	truth := &adapterv1.Result{
		OrderId: t.GetOrderId(), Partition: t.GetPartition(), Key: t.GetKey(), Attempt: t.GetAttempt(), Activity: t.GetActivity(),
		Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: t.GetInput(),
	}
	var all []*adapterv1.Result
	for _, spoil := range []func(*adapterv1.Result){
		func(r *adapterv1.Result) { r.OrderId = string(l.order(chance)) + "x" },
		func(r *adapterv1.Result) { r.Partition = (r.GetPartition() + 1) % messages.Partitions },
		func(r *adapterv1.Result) { r.Activity = "charge" },
		func(r *adapterv1.Result) { r.Attempt += 1 + chance.Uint32N(10) },
	} {
		lie, _ := proto.Clone(truth).(*adapterv1.Result)
		spoil(lie)
		lie.Output = []byte(`"a lie"`)
		all = append(all, lie)
	}
	all = append(all, truth)
	for _, r := range all {
		*seq++
		r.Seq = *seq
	}
	return all
}

// result is a lie about an order.
func (l *liar) result(chance *rand.Rand, seq *uint64) *adapterv1.Result {
	outcomes := slices.Sorted(maps.Keys(adapterv1.Outcome_name))
	r := &adapterv1.Result{
		OrderId: string(l.order(chance)), Attempt: attempt(chance), Activity: activityOf(chance), Output: []byte(`"a lie"`),
		Outcome: adapterv1.Outcome(outcomes[chance.IntN(len(outcomes))]), Permanent: chance.IntN(2) == 0,
	}
	*seq += chance.Uint64N(2) // some numbers twice
	r.Seq = *seq + 1
	r.Key = r.GetOrderId() + ":/do/" + []string{"0/apply", "1/charge"}[chance.IntN(2)]
	r.Partition = uint32(messages.PartitionOf(messages.OrderID(r.GetOrderId()), ""))
	switch chance.IntN(10) {
	case 0:
		r.Partition = chance.Uint32N(messages.Partitions)
	case 1:
		r.Key = l.key(chance)
	}
	return r
}

func attempt(chance *rand.Rand) uint32 {
	if chance.IntN(4) > 0 {
		return 1
	}
	return chance.Uint32()
}

func activityOf(chance *rand.Rand) string {
	return []string{"apply", "charge", "own", "none", "mortal.apply"}[chance.IntN(5)]
}

// order is one of those that are under way, as a rule.
func (l *liar) order(chance *rand.Rand) messages.OrderID {
	l.orders.mu.Lock()
	defer l.orders.mu.Unlock()
	all := l.orders.orders
	if len(all) == 0 {
		return "nobody"
	}
	if chance.IntN(5) > 0 {
		all = all[max(0, len(all)-2*liarInFlight):]
	}
	return all[chance.IntN(len(all))].id
}

func (l *liar) key(chance *rand.Rand) string {
	return string(l.order(chance)) + ":/do/" + []string{"0/apply", "1/charge", "0/own", ""}[chance.IntN(4)]
}

func liarBars(s *site) bars {
	some := float64(liarOrders(s))
	return bars{
		"completed": atLeast(some), "lies": atLeast(some), "refused": atLeast(some), "acknowledged_lies": atLeast(some / 2),
		"streams": atLeast(2 * liars),
	}.none("changed", "lost", "never_acknowledged", "wrong_answers", "without_history", "applied_again", "in_doubt")
}
