package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// refused is an error of a node that has no room, and asks to come back soon or not at all.
func refused(again bool) error {
	st := status.New(codes.ResourceExhausted, "busy")
	if again {
		st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
	}
	return st.Err()
}

// scripted answers submissions with errors, and accepts what comes after them.
func (w *world) scripted(errs ...error) (calls *int) {
	var mu sync.Mutex
	calls = new(int)
	for _, n := range w.nodes {
		n.submit = func(_ context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			*calls++
			if *calls <= len(errs) {
				return nil, errs[*calls-1]
			}
			w.store.accept(r.GetOrder())
			return &orderv1.SubmitResponse{Order: &orderv1.Order{Id: r.GetOrder().GetId()}}, nil
		}
	}
	return calls
}

func TestCallsAreRepeated(t *testing.T) {
	t.Parallel()
	unavailable := status.Error(codes.Unavailable, "starting")
	for name, c := range map[string]struct {
		errs     []error
		patience client.Patience
		calls    int
		told     int
		want     codes.Code
		gaveUp   bool
	}{
		"a node that is away":               {errs: []error{unavailable, unavailable, unavailable}, calls: 4, told: 1},
		"no room for now":                   {errs: []error{refused(true), unavailable, refused(true)}, calls: 4, told: 1},
		"no room for good":                  {errs: []error{unavailable, refused(false)}, calls: 2, told: 1, want: codes.ResourceExhausted},
		"refused":                           {errs: []error{status.Error(codes.InvalidArgument, "bad")}, calls: 1, want: codes.InvalidArgument},
		"too late":                          {errs: []error{status.Error(codes.DeadlineExceeded, "late")}, calls: 1, want: codes.DeadlineExceeded},
		"the impatient":                     {errs: []error{unavailable}, patience: client.Patience{Most: -1}, calls: 1, want: codes.Unavailable},
		"patience is over":                  {errs: []error{unavailable, unavailable}, patience: client.Patience{Most: 1}, calls: 1, told: 1, want: codes.Unavailable, gaveUp: true},
		"what was lost may have been taken": {errs: []error{status.Error(codes.Unavailable, "the connection was lost")}, calls: 2, told: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 1)
			calls, told := w.scripted(c.errs...), 0
			c.patience.Tell = func(error) { told++ }
			_, err := w.dial(nil).Orders().Submit(t.Context(), request("a", "", orderv1.Wait_WAIT_ACCEPTED), client.Patiently(c.patience))
			st, _ := client.StatusOf(err)
			if _, gaveUp := errors.AsType[*client.GaveUpError](err); err == nil != (c.want == codes.OK) || err != nil && st.Code() != c.want || gaveUp != c.gaveUp {
				t.Errorf("got %v", err)
			}
			if *calls != c.calls || told != c.told {
				t.Errorf("%d calls, told %d times", *calls, told)
			}
		})
	}
}

// The caller's deadline ends repetitions, and the last failure says what stood in the way.
func TestCallsEndWithTheirDeadline(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	for _, n := range w.nodes {
		n.submit = func(context.Context, *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
			return nil, status.Error(codes.Unavailable, "starting")
		}
		n.get = func(*orderv1.GetRequest) (*orderv1.GetResponse, error) {
			time.Sleep(10 * time.Millisecond) // longer than the call may take
			return &orderv1.GetResponse{}, nil
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := w.dial(func(c *client.Config) { c.Backoff = client.Backoff{Initial: time.Hour, Max: time.Hour} }).
		Orders().Submit(ctx, request("a", "", orderv1.Wait_WAIT_ACCEPTED))
	if status.Code(err) != codes.Unavailable || ctx.Err() == nil {
		t.Errorf("a deadline: %v", err)
	}
	_, err = w.dial(func(c *client.Config) { c.CallTimeout = time.Nanosecond }).Orders().Get(t.Context(), &orderv1.GetRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("no deadline: %v", err)
	}
}

// Calls are spread over the nodes that answer; one that goes away, or is not ready, is passed over at once, even by the impatient.
func TestCallsFailOver(t *testing.T) {
	t.Parallel()
	w := setup(t, 3)
	var mu sync.Mutex
	seen := map[string]int{}
	for _, n := range w.nodes {
		n.submit = func(_ context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			seen[n.address]++
			if n == w.nodes[1] {
				return nil, status.Error(codes.Unavailable, "starting")
			}
			w.store.accept(r.GetOrder())
			return &orderv1.SubmitResponse{Order: &orderv1.Order{Id: r.GetOrder().GetId()}}, nil
		}
	}
	submit := func(c *client.Client, id string) error {
		_, err := c.Orders().Submit(t.Context(), request(id, "", orderv1.Wait_WAIT_ACCEPTED))
		return err
	}
	all := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == len(w.nodes)
	}
	impatient := w.dial(func(c *client.Config) { c.Patience = -1 })
	for !all() { // connections come one after another
		_ = submit(impatient, "before")
	}
	for range 20 {
		if err := submit(impatient, "spread"); err != nil {
			t.Errorf("with all nodes: %v", err)
		}
	}
	mu.Lock()
	for address, n := range seen {
		if n < 5 {
			t.Errorf("%s was asked %d times", address, n)
		}
	}
	mu.Unlock()
	w.nodes[0].server.Stop()
	patient := w.dial(nil)
	for range 20 {
		if err := submit(patient, "after"); err != nil {
			t.Errorf("without one: %v", err)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	_, err := client.New(client.Config{
		Addresses: []string{"a", "::1", ":7460", "b:"}, KeepAlive: time.Second, MaxAnswer: -1, ConnectTimeout: -1, KeepAliveTimeout: -1,
		Backoff: client.Backoff{Initial: 2, Max: 1, Jitter: 2},
	})
	if err == nil {
		t.Fatal("it is valid")
	}
	for _, want := range []string{
		`address ":7460" is not of the form host:port`, `address "b:" is`, "connect timeout -1ns is negative", "keepalive timeout -1ns is negative",
		"keepalive 1s is less than 10s", "max answer -1 is negative", "backoff from 2ns to 1ns", "jitter 2 of the backoff",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 8 {
		t.Errorf("%d mistakes are told: %v", n, err)
	}
	c, err := client.New(client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err == nil {
		t.Error("it can be closed twice")
	}
}

func TestCompleteAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"a": "a:1", "a:2": "a:2", "127.0.0.1": "127.0.0.1:1", "::1": "[::1]:1", "[::1]:2": "[::1]:2", "": "", ":2": "", "a:": "", "http://a:2": "", "a b": "", "a:0": "", "a:65536": "", "a:https": "a:https",
	} {
		got, err := client.CompleteAddress(address, "1")
		if got != want || err == nil != (want != "") {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
}
