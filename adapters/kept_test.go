package adapters_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// These tests are about results that wait for a node: each is sent as soon as that can be, or by time.

// byTime is how long a result rests at most until it is sent again, by the defaults: a fifth longer than ResendAfter, and until the next tick.
const byTime = 13 * time.Second

// owner is a node of a cluster that leaves acknowledgements to the test; old takes no listings.
func owner(id string) adaptertest.Options {
	return adaptertest.Options{ID: id, HoldAcks: true, Lists: true}
}

func old(id string) adaptertest.Options { return adaptertest.Options{ID: id, HoldAcks: true} }

// took checks how long something has taken that should not take longer.
func took(t *testing.T, what string, since time.Time, most time.Duration) {
	t.Helper()
	if d := time.Since(since); d > most {
		t.Errorf("%s took %v, longer than %v", what, d, most)
	}
}

// slow is a node that says nothing while a token is in the gate.
type slow struct{ gate chan struct{} }

func (s *slow) options(id string) adaptertest.Options {
	o := owner(id)
	o.ServerOptions = []grpc.ServerOption{grpc.StreamInterceptor(
		func(srv any, conn grpc.ServerStream, _ *grpc.StreamServerInfo, serve grpc.StreamHandler) error {
			return serve(srv, slowStream{conn, s.gate})
		},
	)}
	return o
}

type slowStream struct {
	grpc.ServerStream

	gate chan struct{}
}

func (s slowStream) SendMsg(m any) error {
	s.gate <- struct{}{}
	<-s.gate
	return s.ServerStream.SendMsg(m)
}

// A node that would refuse a result, because it takes no listings and its stream is older than the key, may not be the owner any more.
func TestAResultThatItsOwnerWouldRefuseIsAskedAboutByTime(t *testing.T) {
	t.Parallel()
	townInBubble(t, []adaptertest.Options{owner("a"), old("old")}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
		t.Helper()
		nodes[0].Announce(adaptertest.Topology(1, nodes...))
		p := nodes[0].Run(newEcho(), c)
		nodes[1].AwaitSomeCredit(inTime(t), "work")
		r := nodes[0].Do(inTime(t), "work", "x")
		for i := range 3 {
			nodes[0].NotOwner("old", r)
			start := time.Now()
			nodes[0].AwaitResults(inTime(t), i+2)
			took(t, "asking another node", start, byTime)
		}
		if n := len(nodes[1].Results()); n != 0 {
			t.Errorf("the owner, which would refuse it, got the result %d times", n)
		}
		stop(t, p, nodes[0])
	})
}

// Nodes that take no listings get a dead one's results as soon as it is dead, and again by time, if their hellos list the keys.
func TestOldNodesGetWhatADeadOneHasNotAcknowledged(t *testing.T) {
	t.Parallel()
	townInBubble(t, []adaptertest.Options{old("dies"), old("lives")}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
		t.Helper()
		c.Servers = []string{nodes[0].Addr(), nodes[1].Addr()}
		p := nodes[0].Run(newEcho(), c)
		nodes[1].AwaitStreams(inTime(t), 1)
		r := nodes[0].Do(inTime(t), "work", "x")
		nodes[1].Break()
		nodes[1].AwaitHellos(inTime(t), 2)
		nodes[1].AwaitStreams(inTime(t), 1)
		nodes[1].AwaitSomeCredit(inTime(t), "work")
		start := time.Now()
		nodes[0].Close()
		nodes[1].Await(inTime(t), r.GetKey(), 1)
		took(t, "sending it to the other node", start, time.Second)
		nodes[1].AwaitResults(inTime(t), 2)
		took(t, "sending it by time", start, byTime)
		nodes[1].Broadcast(&adapterv1.ConnectResponse{Again: []uint64{r.GetSeq()}})
		start = time.Now()
		nodes[1].AwaitResults(inTime(t), 3)
		took(t, "sending it when the node asks", start, time.Second)
		stop(t, p, nodes[1])
	})
}

// What comes up between the hello of a stream and its welcome is listed there, and sent with all that waits for it.
func TestAStreamThatBeginsGetsWhatIsYoungerThanItsHello(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(t *testing.T, a *adaptertest.Node, settled *adapterv1.Task) *adapterv1.Result{
		"moved to it": func(t *testing.T, a *adaptertest.Node, _ *adapterv1.Task) *adapterv1.Result {
			t.Helper()
			r := a.Do(inTime(t), "work", "x")
			a.NotOwner("b", r)
			heard(t, a)
			return r
		},
		"of a stream that has ended": func(t *testing.T, a *adaptertest.Node, _ *adapterv1.Task) *adapterv1.Result {
			t.Helper()
			r := a.Do(inTime(t), "work", "x")
			a.Close()
			return r
		},
		"asked for again after its acknowledgement": func(t *testing.T, a *adaptertest.Node, settled *adapterv1.Task) *adapterv1.Result {
			t.Helper()
			a.Send(inTime(t), adaptertest.Attempt(settled, 2))
			r := a.Await(inTime(t), settled.GetKey(), 2)
			a.Close()
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b slow
			townInBubble(t, []adaptertest.Options{owner("a"), b.options("b")}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
				t.Helper()
				b.gate = make(chan struct{}, 1)
				c.Servers = []string{nodes[0].Addr(), nodes[1].Addr()}
				p := nodes[0].Run(newEcho(), c)
				nodes[1].AwaitSomeCredit(inTime(t), "work")
				settled := nodes[0].Task("work", "settled")
				nodes[0].Send(inTime(t), settled)
				nodes[0].Ack(nodes[0].Await(inTime(t), settled.GetKey(), 1))
				heard(t, nodes[0])

				b.gate <- struct{}{}
				nodes[1].Break()
				nodes[1].AwaitHellos(inTime(t), 2)
				r := late(t, nodes[0], settled)
				synctest.Wait()
				start := time.Now()
				<-b.gate
				if got := nodes[1].Await(inTime(t), r.GetKey(), r.GetAttempt()); got.GetSeq() != r.GetSeq() {
					t.Errorf("sent again: %v, at first: %v", got, r)
				}
				took(t, "sending it", start, time.Second)
				stop(t, p, nodes[1])
			})
		})
	}
}

// A node that is known under two addresses has one stream: that gets what other nodes say is the node's.
func TestANodeWithTwoAddressesGetsItsResults(t *testing.T) {
	t.Parallel()
	townInBubble(t, []adaptertest.Options{owner("a"), owner("b")}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
		t.Helper()
		c.Servers = []string{nodes[0].Addr(), nodes[1].Addr(), "also-" + nodes[1].Addr()}
		p := nodes[0].Run(newEcho(), c)
		nodes[1].AwaitHellos(inTime(t), 2)
		nodes[1].AwaitStreams(inTime(t), 1)
		for range 20 { // which link was taken was left to chance
			r := nodes[0].Do(inTime(t), "work", "x")
			start := time.Now()
			nodes[0].NotOwner("b", r)
			nodes[1].Await(inTime(t), r.GetKey(), 1)
			took(t, "sending it to the owner", start, time.Second)
			nodes[1].Ack(r)
		}
		stop(t, p, nodes[1])
	})
}

// A result whose owner is not known stays where it is, and is sent there by time, until another one is named that is known.
func TestAResultStaysUntilItsOwnerIsKnown(t *testing.T) {
	t.Parallel()
	townInBubble(t, []adaptertest.Options{owner("a"), owner("b")}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
		t.Helper()
		nodes[0].Announce(adaptertest.Topology(1, nodes[0]))
		p := nodes[0].Run(newEcho(), c)
		r := nodes[0].Do(inTime(t), "work", "x")
		asks := func(count int) {
			t.Helper()
			start := time.Now()
			nodes[0].NotOwner("b", r)
			nodes[0].AwaitResults(inTime(t), count)
			took(t, "sending it by time", start, byTime)
		}
		asks(2)
		nodes[0].Announce(adaptertest.Topology(2, nodes...))
		nodes[1].AwaitSomeCredit(inTime(t), "work")
		nodes[0].NotOwner("b", r)
		nodes[1].Await(inTime(t), r.GetKey(), 1)
		nodes[0].Announce(adaptertest.Topology(3, nodes[0])) // the owner goes
		heard(t, nodes[0])
		start := time.Now()
		nodes[1].Break()
		nodes[0].AwaitResults(inTime(t), 3)
		took(t, "sending it to the node that is left", start, time.Second)
		asks(4)
		asks(5)
		if n := len(nodes[1].Hellos()); n != 1 {
			t.Errorf("%d streams to a node that is not announced", n)
		}
		stop(t, p, nodes[0])
	})
}

// While an adapter drains it still follows the nodes: one that has come may own what it has results of.
func TestADrainingAdapterFollowsTheNodes(t *testing.T) {
	t.Parallel()
	townInBubble(t, []adaptertest.Options{owner("a"), owner("b")}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
		t.Helper()
		g := newGate()
		nodes[0].Announce(adaptertest.Topology(1, nodes[0]))
		p := nodes[0].Run(g.Adapter, c)
		task := nodes[0].Task("work", "x")
		nodes[0].Send(inTime(t), task)
		<-g.begun
		p.Drain()
		nodes[0].AwaitDrain(inTime(t))
		nodes[0].Announce(adaptertest.Topology(2, nodes...))
		nodes[1].AwaitDrain(inTime(t)) // it gets no tasks from there
		g.release <- struct{}{}
		nodes[0].NotOwner("b", nodes[0].Await(inTime(t), task.GetKey(), 1))
		nodes[1].Ack(nodes[1].Await(inTime(t), task.GetKey(), 1))
		start := time.Now()
		if err := p.Wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
		took(t, "ending", start, time.Second)
		nodes[1].AwaitStreams(inTime(t), 0)
	})
}
