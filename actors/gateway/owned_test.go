package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// lists has the adapter of a process answer what it has.
func lists(process string) func(*adapterv1.Hello) {
	return func(h *adapterv1.Hello) {
		h.Process, h.Ledger, h.Features = process, process, []adapterv1.Feature{adapterv1.Feature_FEATURE_OWNED}
	}
}

// hear receives until something is in a message.
func hear[T any](t *testing.T, s *adaptertest.Stream, get func(*adapterv1.ConnectResponse) []T) []T {
	t.Helper()
	for {
		m := s.Hear()
		if got := get(m); len(got) > 0 {
			return got
		}
		if len(m.GetAcks())+len(m.GetTasks()) > 0 {
			t.Fatalf("before what was awaited: %v", m)
		}
	}
}

// sentAndLost has a task sent to an adapter, and the node give its partition up.
func (n *node) sentAndLost(a *adaptertest.Stream) (*adapterv1.Task, messages.Partition) {
	n.t.Helper()
	n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("one", "1.0.0", callOne)}, orderv1.Wait_WAIT_ACCEPTED)
	task := a.Tasks(1)[0]
	p := messages.Partition(task.GetPartition())
	n.engine.Give(p)
	settle()
	return task, p
}

// A node that does not own an order's partition names the one that does. When it owns it again it asks who has the task, takes no word of
// it before that is answered, and sends the task to nobody else.
func TestOnlyTheOwnerTakesResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t), newNeighbours("node", "other")
		n.server.Among(c)
		a := n.connect(1, lists("p"))
		task, p := n.sentAndLost(a)
		other := n.connect(9, lists("q"))
		c.owned(p, "other")
		result := adaptertest.ResultOf(task, 1)
		a.Report(result)
		if got := hear(t, a, (*adapterv1.ConnectResponse).GetNotOwner)[0]; got.GetSeq() != 1 || got.GetNode() != "other" {
			t.Errorf("the result was answered %v", got)
		}
		c.owned(p, "") // nobody is known to own it: it is asked for again
		a.Report(result)
		if got := hear(t, a, (*adapterv1.ConnectResponse).GetAgain); got[0] != 1 {
			t.Errorf("asked for %v again", got)
		}
		n.engine.Take(p)
		owned := hear(t, a, (*adapterv1.ConnectResponse).GetOwned)[0]
		if owned.GetPartition() != task.GetPartition() || owned.GetEpoch() <= task.GetEpoch() {
			t.Errorf("the task was %v, and the node says %v", task, owned)
		}
		hear(t, other, (*adapterv1.ConnectResponse).GetOwned)
		a.Report(result) // it was under way when the node asked
		hear(t, a, (*adapterv1.ConnectResponse).GetAgain)
		listing := &adapterv1.Listing{Partition: owned.GetPartition(), Epoch: owned.GetEpoch(), Keys: []string{task.GetKey()}}
		a.Say(&adapterv1.ConnectRequest{Listings: []*adapterv1.Listing{listing}})
		nothing := &adapterv1.Listing{Partition: owned.GetPartition(), Epoch: owned.GetEpoch()}
		other.Say(&adapterv1.ConnectRequest{Listings: []*adapterv1.Listing{nothing}})
		settle()
		a.Report(result)
		if got := hear(t, a, (*adapterv1.ConnectResponse).GetAcks); got[0] != 1 {
			t.Errorf("acknowledged %v", got)
		}
		settle()
		o, err := n.orders.Get(t.Context(), &orderv1.GetRequest{Id: "a"})
		if err != nil || o.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED {
			t.Errorf("the order is %v: %v", o, err)
		}
		other.Say(&adapterv1.ConnectRequest{Revocations: []*adapterv1.Revocation{{Activity: "do", Count: 9}}})
		if got := hear(t, other, (*adapterv1.ConnectResponse).GetReturned)[0]; got.GetCount() != 9 {
			t.Errorf("the other adapter had %d credits left", got.GetCount())
		}
	})
}

// An adapter that does not answer holds up what was sent before, for a bounded time, and nothing else.
func TestAnswersAreAwaitedForABoundedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		a := n.connect(1, lists("p"))
		task, p := n.sentAndLost(a)
		a.Break()
		silent := n.connect(9, lists("q"))
		settle()
		began := time.Now()
		n.engine.Take(p)
		hear(t, silent, (*adapterv1.ConnectResponse).GetOwned)
		again := hear(t, silent, (*adapterv1.ConnectResponse).GetTasks)[0]
		if again.GetKey() != task.GetKey() || again.GetEpoch() <= task.GetEpoch() {
			t.Errorf("%v was sent after %v", again, task)
		}
		if took := time.Since(began); took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("it was sent after %v", took)
		}
	})
}

// Adapters that know nothing of other nodes are not asked, and waited for; their results are taken as before.
func TestAdaptersThatDoNotListAreNotAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		a := n.connect(9)
		task, p := n.sentAndLost(a)
		began := time.Now()
		n.engine.Take(p)
		if again := a.Tasks(1)[0]; again.GetKey() != task.GetKey() || time.Since(began) > time.Second {
			t.Errorf("%v came after %v", again, time.Since(began))
		}
		a.Report(adaptertest.ResultOf(task, 1))
		if got := hear(t, a, (*adapterv1.ConnectResponse).GetAcks); got[0] != 1 {
			t.Errorf("acknowledged %v", got)
		}
	})
}
