package adapters

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// FuzzReceive gives a running hub what a node might send, on a stream that has credits, and checks that it neither panics
// nor loses count of the credits, and that it still works afterwards.
func FuzzReceive(f *testing.F) {
	task := &adapterv1.Task{OrderId: "o", Key: "k", Attempt: 1, Activity: "echo", Input: []byte("7"), Epoch: 1}
	for _, m := range []*adapterv1.ConnectResponse{
		{},
		{Tasks: []*adapterv1.Task{task, task}, Cancellations: []*adapterv1.Cancellation{{Key: "k", Attempt: 1}}},
		{Tasks: []*adapterv1.Task{{Activity: "slow", Key: "s", Attempt: 1, MaybeStarted: true, Deadline: 1}}, Acks: []uint64{1, 2, 1 << 63}},
		{Returned: []*adapterv1.Returned{{Activity: "echo", Count: 1}, {Activity: "slow", Count: 1 << 63}}},
		{Depths: []*adapterv1.QueueDepth{{Activity: "echo", Waiting: 1 << 63}, {Activity: "none"}}, Drain: true},
		{Welcome: &adapterv1.Welcome{Node: "n", Nodes: []string{"x:1"}}},
		{
			Owned:    []*adapterv1.Owned{{Epoch: 3}, {Partition: 7, Epoch: 2}, {Epoch: 1}},
			NotOwner: []*adapterv1.NotOwner{{Seq: 1, Node: "n"}, {Seq: 9}},
		},
		{Owned: []*adapterv1.Owned{{Partition: 1 << 31}}},
		{Cancellations: []*adapterv1.Cancellation{{Key: "k", Attempt: 1, Partition: 1 << 31}}},
		{Topology: &adapterv1.Topology{Version: 2, Nodes: []*adapterv1.Node{{Id: "n", Address: "x:1"}, {Address: "x"}, {Address: "127.0.0.1:1"}}}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, raw)
	}
	h, l := startFuzzHub(f)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if err := h.attach(l, &adapterv1.ConnectResponse{Welcome: &adapterv1.Welcome{MaxOutputBytes: 100}}); err != nil {
			t.Fatal(err)
		}
		for _, raw := range [][]byte{first, second} {
			m := &adapterv1.ConnectResponse{}
			if proto.Unmarshal(raw, m) != nil {
				continue
			}
			if h.receive(l, m) != nil {
				break
			}
			if out, _ := h.compose(l, true, true); out != nil {
				if _, err := proto.Marshal(out); err != nil {
					t.Fatalf("can't be sent: %v", err)
				}
			}
			h.tick()
		}
		h.detach(l)
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, p := range h.pools {
			if p.credits.active < 0 || p.credits.active > p.credits.capacity || p.credits.active < p.queue.len {
				t.Fatalf("%d active of %d, %d queued", p.credits.active, p.credits.capacity, p.queue.len)
			}
		}
	})
}

func startFuzzHub(f *testing.F) (*hub, *link) {
	f.Helper()
	a := New("fuzz")
	Handle(a, "echo", func(_ context.Context, _ Task, in json.RawMessage) (json.RawMessage, error) { return in, nil }, Idempotent())
	Handle(a, "slow", func(ctx context.Context, task Task, in any) (any, error) {
		task.Progress("begun")
		<-ctx.Done()
		return in, ctx.Err()
	}, Timeout(1))
	h := newHub(a, Config{KeepResults: 100}.withDefaults())
	h.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	h.base = f.Context()
	h.transport = insecure.NewCredentials()
	gone, stop := context.WithCancel(f.Context())
	stop() // no stream is opened to the nodes that are announced
	h.links = gone
	f.Cleanup(h.running.Wait)
	for _, p := range h.pools {
		if err := p.start(); err != nil {
			f.Fatal(err)
		}
	}
	f.Cleanup(func() {
		for _, p := range h.pools {
			if err := p.stop(); err != nil {
				f.Error(err)
			}
		}
		h.system.Shutdown()
	})
	l := &link{hub: h, stream: 1, address: "x:1", wake: make(chan struct{}, 1)}
	h.streams[1], h.addresses["x:1"] = l, l
	return h, l
}
