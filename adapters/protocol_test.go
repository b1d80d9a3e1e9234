package adapters_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestABrokenProtocolEndsTheStream(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*adapterv1.ConnectResponse{
		"no key":             {Tasks: []*adapterv1.Task{{Activity: "work", Attempt: 1}}},
		"no attempt":         {Tasks: []*adapterv1.Task{{Activity: "work", Key: "k"}}},
		"wrong partition":    {Tasks: []*adapterv1.Task{{Activity: "work", Key: "k", Attempt: 1, Partition: 256}}},
		"unknown activity":   {Tasks: []*adapterv1.Task{{Activity: "play", Key: "k", Attempt: 1}}},
		"too many returned":  {Returned: []*adapterv1.Returned{{Activity: "work", Count: 3}}},
		"unknown returned":   {Returned: []*adapterv1.Returned{{Activity: "play"}}},
		"more than credited": {Tasks: tasksFor("work", 3)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := adaptertest.Start(t)
			node.Run(newEcho(adapters.Concurrency(1), adapters.Prefetch(1)), config(t))
			node.AwaitCredits(within(t), "work", 2)
			node.Broadcast(m)
			node.AwaitHellos(within(t), 2)
			node.AwaitStreams(within(t), 1) // the node may hear of the end of the first one after the second one's beginning
			if r := node.Do(within(t), "work", "x"); r.GetOutcome() != succeeded {
				t.Errorf("afterwards: %v", r)
			}
		})
	}
}

func tasksFor(activity string, n int) []*adapterv1.Task {
	tasks := make([]*adapterv1.Task, n)
	for i := range tasks {
		tasks[i] = &adapterv1.Task{Activity: activity, Key: fmt.Sprint(i), Attempt: 1}
	}
	return tasks
}

// refuser is a node that takes no adapter.
type refuser struct {
	adapterv1.UnimplementedAdapterServiceServer
}

func (refuser) Connect(grpc.BidiStreamingServer[adapterv1.ConnectRequest, adapterv1.ConnectResponse]) error {
	return status.Error(codes.InvalidArgument, "hello.adapter: there is another one")
}

func TestAnAdapterThatIsRefusedEnds(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	adapterv1.RegisterAdapterServiceServer(server, refuser{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	c := config(t)
	c.Servers = []string{listener.Addr().String()}
	if err := newEcho().Run(within(t), c); err == nil || !strings.Contains(err.Error(), "there is another one") {
		t.Errorf("Run: %v", err)
	}
}

func TestAllMistakesAreReported(t *testing.T) {
	t.Parallel()
	a := adapters.New("a.b")
	adapters.Handle(a, "no spaces", func(context.Context, adapters.Task, string) (string, error) { return "", nil },
		adapters.Concurrency(-1), adapters.Prefetch(1<<20), adapters.Version("one"), adapters.Timeout(0),
		adapters.RateLimit(0, 1), adapters.Breaker(0, 0))
	adapters.Handle[string, string](a, "nil", nil, adapters.Recover(
		func(context.Context, adapters.Task, int) (string, error) { return "", nil }))
	adapters.Handle[string, string](a, "nil", nil, adapters.Recover[string, string](nil))
	adapters.HandleWith[int, string, string](a, "with", nil, nil)
	err := a.Run(t.Context(), adapters.Config{
		Servers: []string{"here"}, DrainTimeout: -1, KeepBytes: -1,
	})
	if err == nil {
		t.Fatal("Run takes it")
	}
	for _, want := range []string{
		`adapter name "a.b"`, `"no spaces": its name`, "concurrency -1", "prefetch 1048576", `version "one"`, "timeout 0s", "rate limit",
		"breaker", "nil: function is nil", "takes int", "activity nil is added twice", "recover function is nil", "with: function or open",
		`server "here"`, "drain timeout", "keep bytes",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in:\n%v", want, err)
		}
	}
	if err := adapters.New("empty").Run(t.Context(), adapters.Config{}); err == nil || !strings.Contains(err.Error(), "0 activities") {
		t.Errorf("an adapter without activities: %v", err)
	}
}
