package cluster_test

import (
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	proto "github.com/asynkron/protoactor-go/cluster"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers with the partition that it stands for.
type echo messages.Partition

func (e echo) Receive(ctx actor.Context) {
	if ctx.Message() == "who" {
		ctx.Respond(messages.Partition(e))
	}
}

func TestSingle(t *testing.T) {
	t.Parallel()
	system := actor.NewActorSystem()
	defer system.Shutdown()
	s := cluster.NewSingle()
	if got := s.Order(1, "a"); got != nil {
		t.Errorf("before the start an order is at %v", got)
	}
	var owned []messages.Partition
	err := s.Start(system, func(p messages.Partition) (*actor.PID, error) {
		owned = append(owned, p)
		return system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return echo(p) })), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(owned) != messages.Partitions {
		t.Errorf("%d partitions are owned, want all %d", len(owned), messages.Partitions)
	}
	for p := range messages.Partition(messages.Partitions) {
		who, err := system.Root.RequestFuture(s.Order(p, "a/b"), "who", time.Minute).Result()
		if err != nil || who != p {
			t.Fatalf("an order of partition %d is with %v, %v", p, who, err)
		}
	}
	s.Stop()
	if got := s.Order(1, "a"); got != nil {
		t.Errorf("after the end an order is at %v", got)
	}
	s.Stop() // again
}

// An order is found by its identity; what is none is nobody's.
func TestLookup(t *testing.T) {
	t.Parallel()
	system := actor.NewActorSystem()
	defer system.Shutdown()
	s := cluster.NewSingle()
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return echo(0) }))
	if err := s.Start(system, func(messages.Partition) (*actor.PID, error) { return pid, nil }); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	find := s.Lookup()
	for identity, found := range map[string]bool{
		cluster.Identity(0, "a"): true, cluster.Identity(255, "x.y~z"): true, "ff/": true,
		"": false, "a": false, "100/a": false, "-1/a": false, "zz/a": false, "/a": false, "12345678901234567890/a": false,
	} {
		got := find.Get(proto.NewClusterIdentity(identity, cluster.Kind))
		if (got != nil) != found {
			t.Errorf("%q is at %v", identity, got)
		}
		if other := find.Get(proto.NewClusterIdentity(identity, "other")); other != nil {
			t.Errorf("%q of another kind is at %v", identity, other)
		}
	}
}

func TestSingleFailsToOwn(t *testing.T) {
	t.Parallel()
	system := actor.NewActorSystem()
	defer system.Shutdown()
	s := cluster.NewSingle()
	failure := errors.New("no")
	err := s.Start(system, func(p messages.Partition) (*actor.PID, error) {
		if p == 3 {
			return nil, failure
		}
		return &actor.PID{}, nil
	})
	if !errors.Is(err, failure) {
		t.Errorf("error is %v", err)
	}
	if got := s.Order(1, "a"); got != nil {
		t.Errorf("an order is at %v", got)
	}
	s.Stop()
}
