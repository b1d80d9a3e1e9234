package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// as is a context of a client that says who it is.
func as(t *testing.T, names ...string) context.Context {
	t.Helper()
	md := metadata.MD{}
	md.Set(messages.ClientMetadata, names...)
	return metadata.NewOutgoingContext(t.Context(), md)
}

func retryOf(t *testing.T, err error) time.Duration {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	t.Fatalf("there is no retry info in %v", err)
	return 0
}

// submitter submits orders of new ids.
func submitter(n *node, def string) func(context.Context) error {
	made := 0
	return func(ctx context.Context) error {
		made++
		_, err := n.orders.Submit(ctx, &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: fmt.Sprint("o", made), Definition: def}})
		return err
	}
}

// Each client has its burst and its rate; whoever is refused is told the limit, and succeeds when he was told to come back.
func TestClientRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway = gateway.Config{ClientRate: 2.5, ClientBurst: 3} })
		submit := submitter(n, n.deploy("set", "1.0.0", nothing))
		batch, desk := as(t, "batch"), as(t, "desk")
		for i := range 3 {
			if err := submit(batch); err != nil {
				t.Fatalf("order %d of the burst: %v", i, err)
			}
		}
		err := submit(batch)
		wantRefusal(t, err, codes.ResourceExhausted, "CLIENT_RATE")
		if want := `client "batch" may submit 2.5 orders/s, and 3 at once`; !strings.Contains(err.Error(), want) {
			t.Errorf("told %v, want %s", err, want)
		}
		if got := retryOf(t, err); got != 400*time.Millisecond {
			t.Errorf("told to come back after %v, want 400 ms", got)
		}
		for _, other := range []context.Context{desk, t.Context()} { // by name, and by address
			if err := submit(other); err != nil {
				t.Errorf("another client: %v", err)
			}
		}
		time.Sleep(399 * time.Millisecond)
		wantRefusal(t, submit(batch), codes.ResourceExhausted, "CLIENT_RATE")
		time.Sleep(time.Millisecond)
		if err := submit(batch); err != nil {
			t.Errorf("as told: %v", err)
		}
		wantRefusal(t, submit(batch), codes.ResourceExhausted, "CLIENT_RATE")
		if _, err := n.orders.Get(batch, &orderv1.GetRequest{Id: "o1"}); err != nil {
			t.Errorf("reading is not limited: %v", err)
		}
	})
}

// On a stream each order is answered by itself; those that were refused are told when to come back.
func TestClientRateOnStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway.ClientRate = 10 })
		def := n.deploy("set", "1.0.0", nothing)
		st, err := n.orders.SubmitStream(as(t, "batch"))
		if err != nil {
			t.Fatal(err)
		}
		var batch []*orderv1.SubmitRequest
		for i := range 15 {
			batch = append(batch, &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}})
		}
		if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: batch}); err != nil {
			t.Fatal(err)
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		answers, err := collect(st)
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, a := range answers {
			if r := a.GetRefused(); r == nil {
				accepted++
			} else if r.GetCode() != int32(codes.ResourceExhausted) || r.GetReason() != "CLIENT_RATE" ||
				r.GetRetryAfter().AsDuration() != 100*time.Millisecond {
				t.Errorf("refused as %v", r)
			}
		}
		if accepted != 10 || len(answers) != 15 {
			t.Errorf("%d of %d were accepted, want 10 of 15", accepted, len(answers))
		}
	})
}

// However many clients there are, only some are told apart; those that were quiet are forgotten for others.
func TestManyClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway = gateway.Config{ClientRate: 1, Clients: 2} })
		submit := submitter(n, n.deploy("set", "1.0.0", nothing))
		for _, name := range []string{"a", "b", "c"} {
			if err := submit(as(t, name)); err != nil {
				t.Errorf("client %s: %v", name, err)
			}
		}
		err := submit(as(t, "d")) // shares with c
		wantRefusal(t, err, codes.ResourceExhausted, "CLIENT_RATE")
		if want := `clients beyond the 2 that are told apart, of whom client "d" is one, together`; !strings.Contains(err.Error(), want) {
			t.Errorf("told %v, want %s", err, want)
		}
		time.Sleep(time.Second)
		for _, name := range []string{"d", "e"} { // a and b are forgotten
			if err := submit(as(t, name)); err != nil {
				t.Errorf("client %s: %v", name, err)
			}
		}
	})
}

func TestClientName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway.ClientRate = 1 })
		submit := submitter(n, n.deploy("set", "1.0.0", nothing))
		for _, names := range [][]string{{""}, {strings.Repeat("x", 129)}, {"a", "b"}} {
			wantRefusal(t, submit(as(t, names...)), codes.InvalidArgument, "BAD_REQUEST", "metadata.holdfast-client")
			st, err := n.orders.SubmitStream(as(t, names...))
			if err == nil {
				_, err = st.Recv()
			}
			wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "metadata.holdfast-client")
		}
		if err := submit(as(t, strings.Repeat("x", 128))); err != nil {
			t.Error(err)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]gateway.Config{
		"":                       {ClientRate: 0.5, ClientBurst: 2},
		"Accepting is -1":        {Accepting: -1},
		"Streams is 1099511":     {Streams: 1 << 40},
		"Headers are 1 b":        {Headers: 1},
		"Heartbeat is -1":        {Heartbeat: -1},
		"Heartbeat is 1200h":     {Heartbeat: 1200 * time.Hour},
		"SlowReader is 2500000h": {SlowReader: 2_500_000 * time.Hour},
		"ClientRate is -1":       {ClientRate: -1},
		"without ClientRate":     {ClientBurst: 1},
		"ClientRate is 1e+10,":   {ClientRate: 1e10},
	} {
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}
