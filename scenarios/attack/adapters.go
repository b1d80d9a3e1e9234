package attack

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// What adapters do.
const (
	// Lies says whatever it likes of others' orders: see Liar.
	Lies = "lies"
	// Hoard grants all that can be said, reads nothing, and shows that it lives.
	Hoard = "hoard"
	// Answers has the node answer what nobody reads.
	Answers = "answers"
	// Names offers a thousand activities that nobody has heard of, and leaves; again and again.
	Names = "names"
	// Keys lists ten thousand keys beside a thousand activities, on many streams.
	Keys = "keys"
	// Reconnects connects, says hello and leaves, a thousand times a second.
	Reconnects = "reconnects"
	// Silent says hello, and nothing more.
	Silent = "silent"
	// Partial sends parts of frames and of messages, and not the rest.
	Partial = "partial"
	// Parts sends what would take far more memory than bytes, and hellos that make no sense.
	Parts = "parts"
)

// Evil is the adapter that attacks, and EvilTakes the activity of its own.
const (
	Evil      = "evil"
	EvilTakes = "take"
)

// connectMethod is the method that adapters call.
const connectMethod = adapterv1.AdapterService_Connect_FullMethodName

// hello is one of the evil adapter.
func hello(chance *rand.Rand, activities ...string) *adapterv1.Hello {
	h := &adapterv1.Hello{Adapter: Evil, Process: fmt.Sprint("evil-", chance.Uint64()), Protocol: 1}
	h.Ledger = h.GetProcess()
	for _, name := range activities {
		h.Activities = append(h.Activities, &adapterv1.Activity{Name: name, Idempotent: true, Concurrency: 1000})
	}
	return h
}

// connect begins a stream.
func (a *assault) connect(ctx context.Context, first *adapterv1.ConnectRequest) (AdapterStream, error) {
	st, err := adapterv1.NewAdapterServiceClient(a.conn.Conn()).Connect(ctx, grpc.WaitForReady(true))
	if err == nil {
		_ = st.Send(first) // why that fails, is received
	}
	return st, err
}

// forks are sources of chance for so many goroutines.
func (a *assault) forks(n int) []*rand.Rand {
	all := make([]*rand.Rand, n)
	for i := range all {
		all[i] = rand.New(rand.NewPCG(a.chance.Uint64(), uint64(i)))
	}
	return all
}

// lookEvery is how often it is looked which orders are under way.
const lookEvery = 200 * time.Millisecond

func lies(ctx context.Context, a *assault) {
	var mu sync.Mutex
	var seen []*orderv1.Order
	l := &Liar{
		Client: adapterv1.NewAdapterServiceClient(a.conn.Conn()),
		Offers: []string{EvilTakes, "echo"}, Foreign: []string{"good.echo", "none"}, Steps: []string{"0/first", "1/second", "2/third"},
		Order: func(chance *rand.Rand) messages.OrderID {
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 0 {
				return "nobody"
			}
			return messages.OrderID(seen[chance.IntN(len(seen))].GetId())
		},
	}
	var looking sync.WaitGroup
	looking.Go(func() {
		for ctx.Err() == nil {
			page, err := a.conn.Orders().List(ctx, &orderv1.ListRequest{
				Statuses: []orderv1.Status{orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING}, PageSize: 100,
			})
			if err == nil && len(page.GetOrders()) > 0 {
				mu.Lock()
				seen = page.GetOrders()
				mu.Unlock()
			}
			rest(ctx, lookEvery)
		}
	})
	chances := a.forks(2)
	atOnce(ctx, len(chances), func(i int) { a.failed(ctx, l.Lie(ctx, chances[i])) })
	looking.Wait()
	told, _, _ := l.Counts()
	a.did.Add(int64(told))
}

// evilBeat is how often an evil adapter shows that it lives, if it does.
const evilBeat = 200 * time.Millisecond

func hoard(ctx context.Context, a *assault) {
	chances := a.forks(2)
	atOnce(ctx, len(chances), func(i int) {
		st, err := a.connect(ctx, &adapterv1.ConnectRequest{
			Hello: hello(chances[i], EvilTakes), Credits: []*adapterv1.Credit{{Activity: EvilTakes, Total: math.MaxUint64}},
		})
		for ; err == nil; rest(ctx, evilBeat) {
			err = st.Send(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		}
		a.did.Add(1)
		a.over(ctx, st)
	})
}

// over reads what a stream has left, and counts how it has ended.
func (a *assault) over(ctx context.Context, st AdapterStream) {
	var err error
	for err == nil && st != nil {
		_, err = st.Recv()
	}
	a.failed(ctx, err)
}

func answers(ctx context.Context, a *assault) {
	many := &adapterv1.ConnectRequest{}
	for range 10_000 {
		many.Revocations = append(many.Revocations, &adapterv1.Revocation{Activity: EvilTakes, Count: 1})
	}
	begun := &adapterv1.ConnectRequest{Begun: []*adapterv1.Begun{{Key: strings.Repeat("x", 16<<10), Attempt: 1}}}
	chances := a.forks(4)
	atOnce(ctx, len(chances), func(i int) {
		st, err := a.connect(ctx, &adapterv1.ConnectRequest{Hello: hello(chances[i], EvilTakes)})
		for err == nil {
			if err = st.Send([]*adapterv1.ConnectRequest{many, begun}[i%2]); err == nil {
				a.did.Add(1)
			}
		}
		a.over(ctx, st)
	})
}

// strange are names that nobody has heard of.
func strange(chance *rand.Rand, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("a%x-%d", chance.Uint32(), i)
	}
	return all
}

func names(ctx context.Context, a *assault) {
	for ctx.Err() == nil {
		h := hello(a.chance, strange(a.chance, 1000)...)
		h.Adapter = fmt.Sprintf("evil%x", a.chance.Uint32())
		st, err := a.connect(ctx, &adapterv1.ConnectRequest{Hello: h})
		if err == nil {
			if _, err = st.Recv(); err == nil {
				err = st.CloseSend()
			}
		}
		a.did.Add(1)
		a.failed(ctx, err)
	}
}

func keys(ctx context.Context, a *assault) {
	chances := a.forks(20)
	activities := strange(a.chance, 1000)
	atOnce(ctx, len(chances), func(i int) {
		h := hello(chances[i], activities...)
		for n := range 10_000 {
			h.Keys = append(h.Keys, fmt.Sprintf("%032x:/do/0/%d", chances[i].Uint64(), n))
		}
		st, err := a.connect(ctx, &adapterv1.ConnectRequest{Hello: h})
		a.did.Add(1)
		if err == nil {
			_, err = st.Recv()
		}
		for ; err == nil; rest(ctx, evilBeat) {
			err = st.Send(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		}
		a.over(ctx, st)
		rest(ctx, evilBeat)
	})
}

// frame is a message of gRPC as it goes over the connection.
func frame(m proto.Message) []byte {
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil // these messages can be encoded
	}
	return append(Message(len(raw), 0), raw...)
}

func reconnects(ctx context.Context, a *assault) {
	often(ctx, 1000, func() {
		conn, closed, err := dial(ctx, a.server)
		if err != nil {
			return
		}
		defer closed()
		f, err := NewFrames(conn)
		if err != nil {
			a.refuse("closed")
			return
		}
		id, err := f.Call(connectMethod, http2.FlagHeadersEndHeaders)
		if err == nil {
			err = f.WriteData(id, false, frame(&adapterv1.ConnectRequest{Hello: hello(a.chance, EvilTakes)}))
		}
		if err != nil {
			a.refuse("closed")
			return
		}
		a.did.Add(1)
	})
}

func silent(ctx context.Context, a *assault) {
	chances := a.forks(100)
	atOnce(ctx, len(chances), func(i int) {
		st, err := a.connect(ctx, &adapterv1.ConnectRequest{Hello: hello(chances[i], EvilTakes)})
		a.did.Add(1)
		if err != nil {
			a.failed(ctx, err)
			return
		}
		a.over(ctx, st)
	})
}

// partialStreams is how many messages are begun on one connection.
const partialStreams = 100

func partial(ctx context.Context, a *assault) {
	atOnce(ctx, 20, func(i int) {
		a.frames(ctx, a.server, func(f *Frames) error {
			for range partialStreams {
				id, err := f.Call(connectMethod, http2.FlagHeadersEndHeaders)
				if err == nil {
					err = f.WriteData(id, false, Message(1<<20, 16_000))
				}
				if err == nil && i%2 == 0 { // half of a frame, and the connection is left
					_, err = f.Conn.Write([]byte{0, 0x40, 0, byte(http2.FrameData), 0})
					a.did.Add(1)
					return err //nolint:wrapcheck // it is counted
				}
				if err != nil {
					return err //nolint:wrapcheck // the connection's
				}
				a.did.Add(1)
			}
			return f.await(ctx)
		})
	})
}

// await waits until the node closes the connection, or has ended all the calls that Status has room for.
func (f *Frames) await(ctx context.Context) error {
	for {
		select {
		case why := <-f.Ended:
			f.Ended <- why
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(evilBeat):
			if len(f.Status) >= min(int(f.next/2), cap(f.Status)) {
				return nil
			}
		}
	}
}

func parts(ctx context.Context, a *assault) {
	credits := &adapterv1.ConnectRequest{Hello: hello(a.chance, EvilTakes)}
	for range 20_001 {
		credits.Credits = append(credits.Credits, &adapterv1.Credit{})
	}
	empty := &adapterv1.ConnectRequest{Hello: hello(a.chance, EvilTakes)}
	empty.Hello.Keys = make([]string, 200_001)
	foreign := &adapterv1.ConnectRequest{Hello: hello(a.chance, "é")}
	foreign.Hello.Protocol = 99
	for ctx.Err() == nil {
		for _, m := range []*adapterv1.ConnectRequest{credits, empty, foreign} {
			st, err := a.connect(ctx, m)
			a.did.Add(1)
			if err != nil {
				a.failed(ctx, err)
				continue
			}
			a.over(ctx, st)
		}
	}
}
