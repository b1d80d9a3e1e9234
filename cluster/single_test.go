package cluster_test

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers with the partition that it stands for.
type echo messages.Partition

func (e echo) Receive(ctx actor.Context) {
	if ctx.Message() == "who" {
		ctx.Respond(messages.Partition(e))
	}
}

// host owns at once what it is to own.
type host struct {
	system *actor.ActorSystem
	single *cluster.Single
	owned  []messages.Partition
	pid    *actor.PID
}

func (h *host) Take(ps ...messages.Partition) {
	for _, p := range ps {
		h.owned = append(h.owned, p)
		h.pid = h.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return echo(p) }))
		h.single.Serve(p, h.pid)
	}
}

func (*host) Give(...messages.Partition) {}
func (*host) Receive(*nodev1.Answer)     {}
func (*host) Lost(string)                {}

func TestSingle(t *testing.T) {
	t.Parallel()
	system := actor.NewActorSystem()
	defer system.Shutdown()
	s := cluster.NewSingle()
	if got := s.Owner(1); got != nil {
		t.Errorf("before the start an order is at %v", got)
	}
	h := &host{system: system, single: s}
	if err := s.Start(system, h); err != nil {
		t.Fatal(err)
	}
	if len(h.owned) != messages.Partitions {
		t.Errorf("%d partitions are owned, want all %d", len(h.owned), messages.Partitions)
	}
	for p := range messages.Partition(messages.Partitions) {
		who, err := system.Root.RequestFuture(s.Owner(p), "who", time.Minute).Result()
		if err != nil || who != p {
			t.Fatalf("an order of partition %d is with %v, %v", p, who, err)
		}
	}
	if got := s.Owner(messages.Partitions); got != nil {
		t.Errorf("an order of no partition is at %v", got)
	}
	s.Serve(1, nil)
	if got := s.Owner(1); got != nil {
		t.Errorf("what is not here is at %v", got)
	}
	if s.Lost(1); s.Owner(1) == nil {
		t.Error("what was lost is not taken again")
	}
	s.Stop()
	s.Serve(1, h.pid) // too late
	if got := s.Owner(1); got != nil {
		t.Errorf("after the end an order is at %v", got)
	}
	s.Stop() // again
}
