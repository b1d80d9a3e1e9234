package attack

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

const (
	// liarEach is how many lies a stream tells before it is ended.
	liarEach = 2000
	// liarBatch is how many lies there are in one message.
	liarBatch = 20
	// liarRoom is how many tasks of its own a stream has at most.
	liarRoom = 200
	// liarPause is between two messages.
	liarPause = 5 * time.Millisecond
)

// Liar is an adapter that says whatever it likes of orders, keys, partitions, activities and attempts of others, under a name of its own.
type Liar struct {
	Client adapterv1.AdapterServiceClient
	// Order is one of those that are under way, as a rule.
	Order func(chance *rand.Rand) messages.OrderID
	// Offers are the activities that it offers. Of the first one it has tasks, about which it says the truth after the lies. It is always
	// idempotent; so are those that are not in Once.
	Offers, Once []string
	// Foreign are others' activities of which it speaks, too, Steps the tasks of the orders, as in keys.
	Foreign, Steps []string

	mu                   sync.Mutex
	told, heard, streams int
}

// AdapterStream is the stream of an adapter.
type AdapterStream = grpc.BidiStreamingClient[adapterv1.ConnectRequest, adapterv1.ConnectResponse]

// Counts tells how many lies were told, how many of them were acknowledged, and on how many streams.
func (l *Liar) Counts() (told, heard, streams int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told, l.heard, l.streams
}

// Lie runs one stream, and returns why that ended before all was said: the node may refuse it.
func (l *Liar) Lie(ctx context.Context, chance *rand.Rand) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := l.Client.Connect(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if err := st.Send(l.first(chance)); err != nil {
		return err //nolint:wrapcheck // the same
	}
	tasks := make(chan *adapterv1.Task, liarRoom)
	ended := make(chan error, 1)
	go func() { ended <- l.listen(ctx, st, tasks) }()
	l.mu.Lock()
	l.streams++
	l.mu.Unlock()
	pause := time.NewTicker(liarPause)
	defer pause.Stop()
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
		if st.Send(m) != nil {
			return <-ended
		}
		l.mu.Lock()
		l.told += len(m.GetResults())
		l.mu.Unlock()
		select {
		case <-pause.C:
		case err := <-ended:
			return err
		}
	}
	cancel()
	<-ended //nolint:errcheck // it was cancelled
	return nil
}

// first is the first message.
func (l *Liar) first(chance *rand.Rand) *adapterv1.ConnectRequest {
	m := &adapterv1.ConnectRequest{Hello: &adapterv1.Hello{
		Adapter: "liar", Process: fmt.Sprint("liar-", chance.Uint64()), Protocol: 1,
		Features: []adapterv1.Feature{adapterv1.Feature_FEATURE_BEGUN},
	}}
	m.Hello.Ledger = m.GetHello().GetProcess()
	for _, name := range l.Offers {
		m.Hello.Activities = append(m.Hello.Activities, &adapterv1.Activity{
			Name: name, Idempotent: !slices.Contains(l.Once, name), Concurrency: 1000, Recoverable: true,
		})
		m.Credits = append(m.Credits, &adapterv1.Credit{Activity: name, Total: 1000})
	}
	for range chance.IntN(1000) {
		m.Hello.Keys = append(m.Hello.Keys, l.key(chance))
	}
	return m
}

// listen takes what the node says.
func (l *Liar) listen(ctx context.Context, st AdapterStream, tasks chan<- *adapterv1.Task) error {
	for {
		m, err := st.Recv()
		if err != nil {
			return err //nolint:wrapcheck // it is judged
		}
		l.mu.Lock()
		l.heard += len(m.GetAcks())
		l.mu.Unlock()
		for _, t := range m.GetTasks() {
			select {
			case tasks <- t:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// message is one full of lies.
func (l *Liar) message(chance *rand.Rand, seq *uint64) *adapterv1.ConnectRequest {
	m := &adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}}
	for range liarBatch {
		m.Results = append(m.Results, l.result(chance, seq))
	}
	m.Begun = append(m.Begun, &adapterv1.Begun{Key: l.key(chance), Attempt: attempt(chance)})
	m.Heartbeat.Progress = append(m.Heartbeat.Progress, &adapterv1.Progress{Key: l.key(chance), Note: "it goes on"})
	m.Credits = append(m.Credits, &adapterv1.Credit{Activity: l.activity(chance), Total: chance.Uint64N(2000)})
	if chance.IntN(10) == 0 {
		m.Revocations = append(m.Revocations, &adapterv1.Revocation{Activity: l.activity(chance), Count: chance.Uint64N(10)})
	}
	m.Drain = chance.IntN(200) == 0
	return m
}

// own is what a liar says of a task of its own: the truth at last.
func (l *Liar) own(chance *rand.Rand, t *adapterv1.Task, seq *uint64) []*adapterv1.Result {
	truth := &adapterv1.Result{
		OrderId: t.GetOrderId(), Partition: t.GetPartition(), Key: t.GetKey(), Attempt: t.GetAttempt(), Activity: t.GetActivity(),
		Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: t.GetInput(),
	}
	var all []*adapterv1.Result
	for _, spoil := range []func(*adapterv1.Result){
		func(r *adapterv1.Result) { r.OrderId = string(l.Order(chance)) + "x" },
		func(r *adapterv1.Result) { r.Partition = (r.GetPartition() + 1) % messages.Partitions },
		func(r *adapterv1.Result) { r.Activity = l.Offers[len(l.Offers)-1] },
		func(r *adapterv1.Result) { r.Attempt += 1 + chance.Uint32N(10) },
	} {
		lie, _ := proto.Clone(truth).(*adapterv1.Result)
		spoil(lie)
		lie.Output = []byte(Lie)
		all = append(all, lie)
	}
	all = append(all, truth)
	for _, r := range all {
		*seq++
		r.Seq = *seq
	}
	return all
}

// Lie is the output in results that are lies.
const Lie = `"a lie"`

// result is a lie about an order. Some numbers come twice, some out of their order.
func (l *Liar) result(chance *rand.Rand, seq *uint64) *adapterv1.Result {
	outcomes := slices.Sorted(maps.Keys(adapterv1.Outcome_name))
	r := &adapterv1.Result{
		OrderId: string(l.Order(chance)), Attempt: attempt(chance), Activity: l.activity(chance), Output: []byte(Lie),
		Outcome: adapterv1.Outcome(outcomes[chance.IntN(len(outcomes))]), Permanent: chance.IntN(2) == 0,
	}
	*seq += chance.Uint64N(2)
	r.Seq = *seq + 1
	if chance.IntN(20) == 0 {
		r.Seq = chance.Uint64N(r.GetSeq()) + chance.Uint64N(2)
	}
	r.Key = r.GetOrderId() + ":/do/" + l.Steps[chance.IntN(len(l.Steps))]
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

func (l *Liar) activity(chance *rand.Rand) string {
	n := chance.IntN(len(l.Offers) + len(l.Foreign))
	if n < len(l.Offers) {
		return l.Offers[n]
	}
	return l.Foreign[n-len(l.Offers)]
}

func (l *Liar) key(chance *rand.Rand) string {
	n := chance.IntN(len(l.Steps) + 2)
	if n < len(l.Steps) {
		return string(l.Order(chance)) + ":/do/" + l.Steps[n]
	}
	return string(l.Order(chance)) + ":/do/" + []string{"0/own", ""}[n-len(l.Steps)]
}
