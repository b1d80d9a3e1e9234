package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// say says something on a stream again and again, until the node takes no more or the stream is over. It returns how often that was when
// nobody had anything more to do, and what ends the saying.
func say(a *adaptertest.Stream, m *adapterv1.ConnectRequest) (said func() int, over <-chan struct{}) {
	ended := make(chan struct{})
	count := make(chan int, 1)
	count <- 0
	go func() {
		defer close(ended)
		for range 3000 {
			if a.Send(m) != nil {
				return
			}
			count <- <-count + 1
		}
	}()
	return func() int {
		settle()
		n := <-count
		count <- n
		return n
	}, ended
}

// TestHoarder: an adapter that grants all that can be said and reads nothing gets a quarter of the memory at the most. It is gone when it has
// not read for long, although it shows that it lives; others get what it had.
func TestHoarder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) {
			s.gateway.Heartbeat, s.gateway.SlowReader, s.engine.AdapterBytes = time.Second, 10*time.Second, 8<<20
		})
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(math.MaxUint64)
		beat := func(s *adaptertest.Stream) {
			s.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
			time.Sleep(time.Second)
			settle()
		}
		const orders = 40
		input := []byte(`"` + strings.Repeat("x", 250_000) + `"`)
		for i := range orders {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, Input: input}, accepted)
		}
		for range 3 {
			beat(a)
		}
		if got := n.engine.Activities().All()[0]; got.InFlight < 5 || got.InFlight > 9 {
			t.Errorf("it has %d tasks", got.InFlight)
		}
		for range 9 {
			beat(a)
		}
		wantRefusal(t, a.End(), codes.ResourceExhausted, "NOT_READING")
		b := n.connect(orders, func(h *adapterv1.Hello) { h.Process, h.Ledger = "q", "q" })
		for range 4 { // the grace is over then
			beat(b)
		}
		for done := 0; done < orders; {
			for _, task := range b.Tasks(1) {
				done++
				b.Report(adaptertest.ResultOf(task, uint64(done)))
			}
		}
		settle()
		if got := n.engine.Activities().All()[0]; got.InFlight+got.Waiting+got.Overflow != 0 {
			t.Errorf("left are %+v", got)
		}
		if got := n.engine.Activities().AdapterBytes(); got > 64<<10 {
			t.Errorf("%d bytes are left", got)
		}
	})
}

// TestAnswersNobodyReads: a node does not read on from an adapter that does not read its answers, and ends its stream.
func TestAnswersNobodyReads(t *testing.T) {
	t.Parallel()
	many := &adapterv1.ConnectRequest{}
	for range 10_000 {
		many.Revocations = append(many.Revocations, &adapterv1.Revocation{Activity: "do", Count: 1})
	}
	for name, m := range map[string]*adapterv1.ConnectRequest{
		"returned": many,
		"begun":    {Begun: []*adapterv1.Begun{{Key: strings.Repeat("x", 16<<10), Attempt: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, func(s *settings) { s.gateway.SlowReader, s.log = 20*time.Second, io.Discard })
				a := n.connect(0)
				said, over := say(a, m)
				if got := said(); got >= 2000 {
					t.Errorf("the node has taken %d messages, and has sent no answer", got)
				}
				time.Sleep(19 * time.Second)
				if settle(); a.Context().Err() != nil {
					t.Error("the stream is over")
				}
				time.Sleep(2 * time.Second)
				settle()
				wantRefusal(t, a.End(), codes.ResourceExhausted, "NOT_READING")
				<-over
			})
		})
	}
}

// TestHoarderLosesItsConnection: an adapter whose stream ends while it has tasks, and that reads nothing, leaves nothing behind in its
// connection: that is closed.
func TestHoarderLosesItsConnection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tasks, after int
		act          func(a *adaptertest.Stream) error
	}{
		"it does not read": {2, 11, func(a *adaptertest.Stream) error {
			return a.Send(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		}},
		"it is silent": {1, 4, func(*adaptertest.Stream) error { return nil }},
		"it leaves":    {1, 1, func(a *adaptertest.Stream) error { return a.CloseSend() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, func(s *settings) { s.gateway.Heartbeat, s.gateway.SlowReader = time.Second, 10*time.Second })
				l := bufconn.Listen(1 << 20)
				served := make(chan error, 1)
				go func() { served <- n.grpc.Serve(gateway.Listener{Listener: l}) }()
				conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
					grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
					grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<20))
				if err != nil {
					t.Fatal(err)
				}
				def := n.deploy("one", "1.0.0", callOne)
				a := adaptertest.Dial(t, conn, &adapterv1.ConnectRequest{
					Hello: adaptertest.Hello(), Credits: []*adapterv1.Credit{{Activity: "do", Total: 10}},
				})
				for i := range tt.tasks {
					input := []byte(`"` + strings.Repeat("x", 250_000) + `"`)
					n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, Input: input}, accepted)
				}
				settle()
				began := time.Now()
				for conn.GetState() == connectivity.Ready && time.Since(began) < time.Minute {
					_ = tt.act(a) // it fails in the end
					time.Sleep(time.Second)
					settle()
				}
				if took := int(time.Since(began).Seconds()); took < tt.after || took > tt.after+1 {
					t.Errorf("its connection is closed after %d s", took)
				}
				n.stop()
				if err := errors.Join(conn.Close(), <-served); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestHelloComesInTime: who calls as an adapter and says no hello is not waited for; who has said it may take its time.
func TestHelloComesInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway.RequestWithin, s.gateway.Heartbeat = 10*time.Second, time.Minute })
		good := n.connect(1)
		began := time.Now()
		st, err := adapterv1.NewAdapterServiceClient(n.conn).Connect(t.Context())
		if err == nil {
			_, err = st.Recv()
		}
		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != 10*time.Second {
			t.Errorf("without a hello the stream ends after %v with %v", took, err)
		}
		time.Sleep(time.Minute)
		if err := good.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := good.End(); !errors.Is(err, io.EOF) {
			t.Errorf("with a hello it ends with %v", err)
		}
	})
}

// TestOverlongKeyIsNotEchoed: what can't be a key of a task is refused without a word.
func TestOverlongKeyIsNotEchoed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		a := n.connect(0)
		a.Say(&adapterv1.ConnectRequest{Begun: []*adapterv1.Begun{{Key: strings.Repeat("x", 1<<20), Attempt: 1}, {Key: "short", Attempt: 1}}})
		if c := a.Hear().GetCancellations(); len(c) != 1 || c[0].GetKey() != "short" {
			t.Errorf("%d cancellations", len(c))
		}
		a.Break()
	})
}

// TestManyParts: what would take much more memory than bytes is not even decoded.
func TestManyParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		for name, m := range map[string]*adapterv1.ConnectRequest{
			"credits":    {Hello: adaptertest.Hello(), Credits: make([]*adapterv1.Credit, 20_001)},
			"activities": {Hello: &adapterv1.Hello{Activities: make([]*adapterv1.Activity, 200_001)}},
			"keys":       {Hello: adaptertest.Hello(func(h *adapterv1.Hello) { h.Keys = make([]string, 200_001) })},
			"listed":     {Hello: adaptertest.Hello(), Listings: []*adapterv1.Listing{{Keys: make([]string, 200_001)}}},
		} {
			t.Log(name)
			wantRefusal(t, adaptertest.Dial(t, n.conn, m).End(), codes.InvalidArgument, "FRAME")
		}
		st, err := n.orders.SubmitStream(t.Context())
		if err == nil {
			err = st.Send(&orderv1.SubmitStreamRequest{Submissions: make([]*orderv1.SubmitRequest, 20_001)})
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = collect(st)
		wantRefusal(t, err, codes.InvalidArgument, "FRAME")
	})
}

// TestHelloBounds: a hello that is more than there may be is refused, and names the bound; what it took is given back.
func TestHelloBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine.AdapterBytes, s.engine.Activities, s.gateway.Offers = 8<<20, 5, 10 })
		activities := func(count int) func(*adapterv1.Hello) {
			return func(h *adapterv1.Hello) {
				for i := range count - 1 {
					h.Activities = append(h.Activities, &adapterv1.Activity{Name: fmt.Sprint("a", i)})
				}
			}
		}
		keys := func(count int) func(*adapterv1.Hello) {
			return func(h *adapterv1.Hello) {
				for i := range count {
					h.Keys = append(h.Keys, fmt.Sprintf("o%010d", i))
				}
			}
		}
		for bound, tt := range map[string]struct {
			change func(*adapterv1.Hello)
			code   codes.Code
			reason string
			fields []string
		}{
			"--max-offers":     {activities(11), codes.InvalidArgument, "BAD_REQUEST", []string{"hello.activities"}},
			"--max-activities": {activities(6), codes.ResourceExhausted, "ADAPTERS", nil},
			"--adapter-memory": {keys(20_000), codes.ResourceExhausted, "ADAPTERS", nil},
		} {
			err := adaptertest.Dial(t, n.conn, &adapterv1.ConnectRequest{Hello: adaptertest.Hello(tt.change)}).End()
			wantRefusal(t, err, tt.code, tt.reason, tt.fields...)
			if !strings.Contains(fmt.Sprint(err), bound) {
				t.Errorf("%v does not name %s", err, bound)
			}
		}
		if got := n.engine.Activities().AdapterBytes(); got != 0 {
			t.Errorf("%d bytes are left", got)
		}
		a := n.connect(1, keys(10_000))
		if err := a.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := a.End(); !errors.Is(err, io.EOF) {
			t.Errorf("a hello within the bounds: %v", err)
		}
	})
}

// TestRefusalsNobodyReads: a client that submits what is refused, under ids that are too long, and reads nothing is not read for long, and what
// it is answered does not echo them.
func TestRefusalsNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		st, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const frames = 400
		long := strings.Repeat("x", 1<<20)
		sent, over := make(chan int, frames+1), make(chan struct{})
		go func() {
			defer close(over)
			for i := range frames {
				if st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{{Order: &orderv1.WorkOrder{Id: long}}}}) != nil {
					return
				}
				sent <- i
			}
			_ = st.CloseSend()
		}()
		answers, err := collect(st)
		<-over
		if err != nil || len(answers) != frames {
			t.Fatalf("%d answers: %v", len(answers), err)
		}
		if id := answers[0].GetId(); len(id) > messages.MaxOrderID+3 || !strings.HasPrefix(long, strings.TrimSuffix(id, "…")) {
			t.Errorf("an id of %d bytes is echoed", len(id))
		}
	})
}

// TestKeptEnds: of the ends that a client does not read only some outputs are kept.
func TestKeptEnds(t *testing.T) {
	t.Parallel()
	if bytes, unread := gateway.KeptEnds(100, 100_000); bytes != 300_000 || unread != 97 {
		t.Errorf("%d bytes are kept, and the outputs of %d are not", bytes, unread)
	}
}

// TestWindowUntilSent: the answers of a stream that does not read count for its window, and their outputs take no memory: those that did not
// fit are read again, and come whole when the client reads.
func TestWindowUntilSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		st, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const orders = 40
		output := []byte(`"` + strings.Repeat("y", 200_000) + `"`)
		for i := range orders {
			if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
				{Order: &orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}, Wait: ended},
			}}); err != nil {
				t.Fatal(err)
			}
		}
		a := n.connect(orders)
		for i, task := range a.Tasks(orders) {
			r := adaptertest.ResultOf(task, uint64(i+1))
			r.Output = output
			a.Report(r)
		}
		settle()
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		answers, err := collect(st)
		if err != nil || len(answers) != 2*orders {
			t.Fatalf("%d answers: %v", len(answers), err)
		}
		whole := 0
		for _, x := range answers {
			if bytes.Equal(x.GetEnded().GetOutput(), output) {
				whole++
			}
		}
		if whole != orders || n.server.Unsent() != 0 {
			t.Errorf("%d outputs came whole, %d bytes are unsent", whole, n.server.Unsent())
		}
		a.Break()
	})
}
