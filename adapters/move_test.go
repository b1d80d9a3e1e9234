package adapters_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// town starts nodes that know each other. None acknowledges anything by itself.
func town(t *testing.T, ids ...string) []*adaptertest.Node {
	t.Helper()
	var nodes []*adaptertest.Node
	for _, id := range ids {
		nodes = append(nodes, adaptertest.Start(t, adaptertest.Options{ID: id, HoldAcks: true, Lists: true}))
	}
	for _, n := range nodes {
		n.Announce(adaptertest.Topology(1, nodes...))
	}
	return nodes
}

// connect runs an adapter at the first node, and waits for its streams to all.
func connect(t *testing.T, a *adapters.Adapter, nodes []*adaptertest.Node) *adaptertest.Process {
	t.Helper()
	p := nodes[0].Run(a, config(t))
	for _, n := range nodes {
		n.AwaitStreams(within(t), 1)
		n.AwaitSomeCredit(within(t), "work")
	}
	return p
}

// noOnes is a partition that no task of these tests is of.
const noOnes = messages.Partitions - 1

// heard waits until the adapter has handled all that a node has said: it does so in turn, and what is said on other streams may
// overtake that.
func heard(t *testing.T, n *adaptertest.Node) {
	t.Helper()
	n.Own(noOnes, 1)
	n.AwaitListed(within(t), noOnes)
}

// stop lets an adapter end in good order.
func stop(t *testing.T, p *adaptertest.Process, owner *adaptertest.Node) {
	t.Helper()
	owner.HoldAcks(false)
	owner.Ack(owner.Results()...)
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// Who is told that a node is not the owner sends the result to the owner at once, and tells that before what it is of.
func TestAResultGoesToTheOwner(t *testing.T) {
	t.Parallel()
	nodes := town(t, "a", "b", "c")
	p := connect(t, newEcho(), nodes)
	r := nodes[0].Do(within(t), "work", "x")
	nodes[0].NotOwner("c", r)
	got := nodes[2].Await(within(t), r.GetKey(), 1)
	if got.GetSeq() != r.GetSeq() {
		t.Errorf("the owner got number %d, and the other node %d", got.GetSeq(), r.GetSeq())
	}
	nodes[2].NotOwner("a", r) // it was moved again
	nodes[0].AwaitResults(within(t), 2)
	nodes[0].NotOwner("nowhere", r) // nobody knows that node: it stays
	nodes[0].Broadcast(&adapterv1.ConnectResponse{Again: []uint64{r.GetSeq()}})
	nodes[0].AwaitResults(within(t), 3)
	stop(t, p, nodes[0])
}

// Nodes that each take the other one for the owner get a result a few times only, until it is due again.
func TestNodesThatDisagreeGetAResultAFewTimes(t *testing.T) {
	t.Parallel()
	nodes := town(t, "a", "b")
	p := connect(t, newEcho(), nodes)
	r := nodes[0].Do(within(t), "work", "x")
	for i := range 3 {
		at, other := nodes[i%2], nodes[1-i%2]
		before := len(other.Results())
		at.NotOwner([]string{"b", "a"}[i%2], r)
		other.AwaitResults(within(t), before+1)
	}
	nodes[1].NotOwner("a", r)
	nodes[1].Broadcast(&adapterv1.ConnectResponse{Again: []uint64{r.GetSeq()}}) // it is still with the second one
	nodes[1].AwaitResults(within(t), 3)
	nodes[0].Do(within(t), "work", "y") // whatever was sent to it before has come
	if n := len(nodes[0].Results()) - 1; n != 2 {
		t.Errorf("the first node got the result %d times", n)
	}
	nodes[0].Ack(nodes[0].Results()...)
	stop(t, p, nodes[1])
}

// When a stream ends, what was to be sent on it is sent on another one at once; so is what comes to its end afterwards.
func TestResultsGoToAnotherNodeWhenAStreamEnds(t *testing.T) {
	t.Parallel()
	nodes := town(t, "a", "b")
	g := newGate()
	p := connect(t, g.Adapter, nodes)
	done, running := nodes[0].Task("work", "done"), nodes[0].Task("work", "running")
	nodes[0].Send(within(t), done)
	<-g.begun
	g.release <- struct{}{}
	nodes[0].Await(within(t), done.GetKey(), 1)
	nodes[0].Send(within(t), running)
	<-g.begun
	nodes[0].Close()
	nodes[1].Await(within(t), done.GetKey(), 1)
	g.release <- struct{}{}
	if r := nodes[1].Await(within(t), running.GetKey(), 1); string(r.GetOutput()) != `"running"` {
		t.Errorf("%v", r)
	}
	stop(t, p, nodes[1])
}

// A node that takes no listings would refuse what it knows nothing of: it does not get it.
func TestResultsDoNotGoToANodeThatTakesNoListings(t *testing.T) {
	t.Parallel()
	old := adaptertest.Start(t, adaptertest.Options{ID: "old"})
	node := adaptertest.Start(t, adaptertest.Options{ID: "a", HoldAcks: true, Lists: true})
	node.Announce(adaptertest.Topology(1, old, node))
	p := node.Run(newEcho(), config(t))
	old.AwaitStreams(within(t), 1)
	node.AwaitSomeCredit(within(t), "work")
	r := node.Do(within(t), "work", "x")
	node.NotOwner("old", r)
	heard(t, node)
	old.Do(within(t), "work", "y") // whatever was sent to it before has come
	if n := len(old.Results()); n != 1 {
		t.Errorf("the node got %d results", n)
	}
	old.Break()
	node.AwaitResults(within(t), 2)
	old.AwaitHellos(within(t), 2) // it lists the key
	old.AwaitStreams(within(t), 1)
	old.Do(within(t), "work", "z")
	node.NotOwner("old", r)
	old.Await(within(t), r.GetKey(), 1)
	stop(t, p, old)
}

func keysOf(results []*adapterv1.Result) (keys []string) {
	for _, r := range results {
		keys = append(keys, r.GetKey())
	}
	return keys
}

// A new owner is told what is here of its partition, and gets all that comes of it. An owner of before has no say any more.
func TestANewOwnerGetsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	nodes := town(t, "a", "b")
	g := newGate()
	p := connect(t, g.Adapter, nodes)
	tasks := map[string]*adapterv1.Task{}
	for _, name := range []string{"held", "running", "other"} {
		task := nodes[0].Task("work", name)
		if task.Partition = 7; name == "other" {
			task.Partition = 8
		}
		tasks[name] = task
		nodes[0].Send(within(t), task)
		<-g.begun
		if name == "held" {
			g.release <- struct{}{}
			nodes[0].Await(within(t), task.GetKey(), 1)
		}
	}
	nodes[1].Own(7, 2)
	keys := slices.Sorted(slices.Values(nodes[1].AwaitListed(within(t), 7)))
	want := slices.Sorted(slices.Values([]string{tasks["held"].GetKey(), tasks["running"].GetKey()})) // order-10 comes before order-9
	if !slices.Equal(keys, want) {
		t.Errorf("the new owner is told of %v, want %v", keys, want)
	}
	nodes[1].Await(within(t), tasks["held"].GetKey(), 1)
	nodes[0].Broadcast(&adapterv1.ConnectResponse{Cancellations: []*adapterv1.Cancellation{
		{Key: tasks["running"].GetKey(), Attempt: 1, Partition: 7, Epoch: 1},
	}})
	nodes[0].Own(7, 1) // it has not heard of it
	late := nodes[0].Task("work", "late")
	late.Partition = 7
	nodes[0].Send(within(t), late)
	heard(t, nodes[0])
	close(g.release)
	if r := nodes[1].Await(within(t), tasks["running"].GetKey(), 1); r.GetOutcome() != succeeded {
		t.Errorf("after a cancellation of an owner of before: %v", r)
	}
	nodes[0].HoldAcks(false)
	nodes[0].Ack(nodes[0].Results()...)
	stop(t, p, nodes[1]) // then all is told
	if got := keysOf(nodes[0].Results()); !slices.Equal(got, []string{tasks["held"].GetKey(), tasks["other"].GetKey()}) {
		t.Errorf("the first node got results of %v", got)
	}
}

// What awaits a confirmation awaits it from the new owner.
func TestANewOwnerConfirms(t *testing.T) {
	t.Parallel()
	a := adaptertest.Start(t, adaptertest.Options{ID: "a", Lists: true, HoldConfirmations: true})
	b := adaptertest.Start(t, adaptertest.Options{ID: "b", Lists: true})
	a.Announce(adaptertest.Topology(1, a, b))
	p := a.Run(newEcho(), config(t))
	b.AwaitStreams(within(t), 1)
	a.AwaitSomeCredit(within(t), "work")
	task := a.Task("work", "x")
	task.AwaitConfirmation = true
	a.Send(within(t), task)
	a.AwaitBegun(within(t), task.GetKey(), 1, 1)
	b.Own(0, 2)
	if r := b.Await(within(t), task.GetKey(), 1); r.GetOutcome() != succeeded {
		t.Errorf("%v", r)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// A long answer comes in parts.
func TestALongAnswerComesInParts(t *testing.T) {
	t.Parallel()
	nodes := town(t, "a", "b")
	a, release := adapters.New("test"), make(chan struct{})
	adapters.Handle(a, "work", func(context.Context, adapters.Task, string) (string, error) {
		<-release
		return "", nil
	}, adapters.Concurrency(1), adapters.Prefetch(1500))
	p := connect(t, a, nodes)
	const many = 600
	for range many {
		nodes[0].Send(within(t), nodes[0].Task("work", strings.Repeat("x", 10)))
	}
	nodes[0].Own(0, 1) // by then it has all
	nodes[0].AwaitListed(within(t), 0)
	nodes[1].Own(0, 2)
	if keys := nodes[1].AwaitListed(within(t), 0); len(keys) != many {
		t.Errorf("the new owner is told of %d keys, want %d", len(keys), many)
	}
	close(release)
	nodes[1].AwaitResults(within(t), many)
	stop(t, p, nodes[1])
}
