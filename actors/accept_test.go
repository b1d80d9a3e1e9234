package actors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// far is the partition that the second node of a couple owns.
const far = messages.Partitions - 1

// vacate has nobody own a partition of the first node.
func (w *town) vacate(p messages.Partition) {
	w.t.Helper()
	w.sides[0].host.Give(p)
	time.Sleep(time.Second)
	if w.sides[0].serving[p].Load() != nil {
		w.t.Fatal("somebody owns it")
	}
}

// keyOf returns a key of a partition.
func keyOf(p messages.Partition) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("k", i); messages.PartitionOf("", key) == p {
			return key
		}
	}
}

// resubmit submits an order at the first node.
func (w *town) resubmit(id, input string, wanted nodev1.Wanted) *nodev1.Answer {
	w.t.Helper()
	const ref = "test/long:1.0.0"
	e := w.sides[0].engine
	pin, err := pinOf(w.t, e, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	answer := make(chan *nodev1.Answer, 2)
	e.Submit(&journalv1.OrderAccepted{
		OrderId: id, Definition: ref, DefinitionHash: pin.Hash, Input: []byte(input), ContentHash: []byte(input),
	}, wanted, func(a *nodev1.Answer) { answer <- a })
	a := <-answer
	time.Sleep(time.Minute)
	if len(answer) > 0 {
		w.t.Errorf("it was answered twice, with %v and %v", a, <-answer)
	}
	return a
}

// Orders of a partition that nobody owns are accepted at once. Whoever owns it next runs them, those of a key in the order of their
// acknowledgement, and counts each once.
func TestAcceptWithoutOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		const p = 7
		w.vacate(p)
		began := time.Now()
		free, key, keyed := of(p, 3), keyOf(p), []string{"a", "b", "c"}
		for i := range free {
			w.accept(free[i], "test/long:1.0.0", "")
			w.accept(keyed[i], "test/long:1.0.0", key)
		}
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Minute + 100*time.Millisecond) // so that the intake is not swept just then
		for _, id := range append(keyed, free...) {
			if got := w.status(id); got != pending {
				t.Errorf("order %s is %v", id, got)
			}
		}
		taken := time.Now()
		w.sides[1].host.Take(p)
		time.Sleep(5 * time.Second)
		for _, id := range append(free, "a") {
			if after := time.Unix(0, w.span(id).started).Sub(taken); after < 0 || after > 500*time.Millisecond {
				t.Errorf("order %s was started after %v", id, after)
			}
		}
		w.checkIntake()
		if s := w.sides[1].engine.Status(t.Context()); s.Open != 6 || s.KeysWaiting != 2 || w.sides[1].engine.Uncounted() != 0 {
			t.Errorf("6 orders are open, and 2 wait for a key; the node tells of %+v", s)
		}
		time.Sleep(5 * time.Minute)
		var spans []span
		for _, id := range keyed {
			spans = append(spans, w.span(id))
		}
		if !slices.IsSortedFunc(spans, func(a, b span) int { return int(a.ended - b.started) }) {
			t.Errorf("the orders of the key ran so: %v", spans)
		}
		for _, id := range append(keyed, free...) {
			if got := w.status(id); got != completed {
				t.Errorf("order %s is %v", id, got)
			}
		}
		if s := w.sides[1].engine.Status(t.Context()); s.Open != 0 || s.KeysWaiting != 0 {
			t.Errorf("nothing is open; the node tells of %+v", s)
		}
		w.sides[1].host.Give(p)
		w.sides[0].host.Take(p)
		time.Sleep(10 * time.Second)
	})
}

// An order that was accepted with another key is no repetition for who does not own the partition of this one: whoever submits it has to
// find out. Nor is it for who does, which does not look for the order any more then.
func TestAcceptWithAnotherKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		const ref, p, q, owned = "test/long:1.0.0", 7, 8, 9
		w.vacate(p)
		w.vacate(q)
		w.accept("a", ref, keyOf(p))
		for _, at := range []messages.Partition{q, owned} {
			if f := (<-w.submit("a", ref, keyOf(at))).GetFailure(); f.GetReason() != nodev1.Reason_REASON_ORDER_ID_TAKEN {
				t.Errorf("with a key of partition %d: %v", at, f)
			}
		}
		if a := <-w.submit("a", ref, keyOf(p)); !a.GetAccepted().GetRepeated() {
			t.Errorf("with its own key: %v", a)
		}
		w.sides[1].host.Take(p, q)
		time.Sleep(time.Minute)
		if got := w.status("a"); got != completed {
			t.Errorf("the order is %v", got)
		}
		for _, p := range []messages.Partition{p, q} {
			w.sides[1].host.Give(p)
			w.sides[0].host.Take(p)
		}
		time.Sleep(10 * time.Second)
	})
}

// span tells when an order ran.
func (w *town) span(id string) (s span) {
	w.t.Helper()
	s.id = id
	e, err := w.sides[1].journal.Find(w.t.Context(), messages.OrderID(id))
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := actors.ReadEvents(w.t.Context(), w.sides[1].journal, e.Handle)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, ev := range events {
		switch {
		case ev.GetOrderStarted() != nil:
			s.started = ev.GetAt()
		case ev.GetOrderCompleted() != nil:
			s.ended = ev.GetAt()
		}
	}
	return s
}

// An order whose owner does not answer is accepted after a second, and the owner starts it: at once if it is told, else within another
// second.
func TestAcceptBesideOwner(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		loses  func(m proto.Message) bool
		starts time.Duration
	}{
		"told": {func(m proto.Message) bool {
			e, ok := m.(*nodev1.Envelope)
			return ok && e.GetAccept() != nil
		}, 50 * time.Millisecond},
		"not told":        {func(proto.Message) bool { return true }, 1100 * time.Millisecond},
		"no answer comes": {func(m proto.Message) bool { _, ok := m.(*nodev1.Answer); return ok }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := couple(t, nil)
				defer w.end()
				w.deploy()
				w.loses = test.loses
				id := of(far, 1)[0]
				began := time.Now()
				w.accept(id, "test/long:1.0.0", "")
				accepted := time.Now()
				if took := accepted.Sub(began); took < time.Second || took > 2100*time.Millisecond {
					t.Errorf("it was accepted after %v", took)
				}
				time.Sleep(time.Minute)
				if after := time.Unix(0, w.span(id).started).Sub(accepted); after > test.starts {
					t.Errorf("it was started after %v", after)
				}
				if got := w.status(id); got != completed {
					t.Errorf("it is %v", got)
				}
				w.checkIntake()
			})
		})
	}
}

// As long as a node has no tokens, orders wait for their owners, and no longer than an ask may.
func TestAcceptTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(1, 1))}
		w.tune = func(c *actors.Config) { c.AcceptBurst, c.AcceptRate = 2, 0.001 }
		for i := range w.sides {
			w.sides[i] = &side{town: w, index: i}
		}
		w.desired[far] = 1
		for _, s := range w.sides {
			s.open()
		}
		defer w.end()
		w.deploy()
		w.loses = func(proto.Message) bool { return true }
		reasons := map[nodev1.Reason]int{}
		var answers []<-chan *nodev1.Answer
		for _, id := range of(far, 5) {
			answers = append(answers, w.submit(id, "test/long:1.0.0", ""))
		}
		began := time.Now()
		for _, answer := range answers {
			reasons[(<-answer).GetFailure().GetReason()]++
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("the last one was answered after %v", took)
		}
		if reasons[0] != 2 || reasons[nodev1.Reason_REASON_INTERRUPTED] != 3 {
			t.Errorf("the answers are %v", reasons)
		}
		time.Sleep(time.Minute)
	})
}

// An order that is submitted again, and that nobody owns, is told of as it is; another one is not accepted under its id.
func TestAcceptAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		const p = 7
		w.vacate(p)
		ids := of(p, 2)
		for i, repeated := range []bool{false, true} {
			a := w.resubmit(ids[0], "{}", nodev1.Wanted_WANTED_ACCEPTED)
			if got := a.GetAccepted(); got.GetRepeated() != repeated || got.GetDefinition() != "test/long:1.0.0" {
				t.Errorf("the answer %d is %v", i, a)
			}
			a = w.resubmit(ids[1], "{}", nodev1.Wanted_WANTED_ORDER)
			if got := a.GetOrder(); got.GetId() != ids[1] || got.GetStatus() != pending {
				t.Errorf("the answer %d is %v", i, a)
			}
		}
		if a := w.resubmit(ids[0], "[]", nodev1.Wanted_WANTED_ACCEPTED); a.GetFailure().GetReason() != nodev1.Reason_REASON_ORDER_ID_TAKEN {
			t.Errorf("another one is answered with %v", a)
		}
		w.sides[1].host.Take(p)
		time.Sleep(time.Minute)
		a := w.resubmit(ids[1], "{}", nodev1.Wanted_WANTED_ORDER)
		if got := a.GetOrder(); got.GetStatus() != completed {
			t.Errorf("in the end the answer is %v", a)
		}
		w.checkIntake()
	})
}

// An order that an operator suspends or cancels before its owner has taken it up is suspended or cancelled, and runs on when it is
// resumed.
func TestIntakeOperated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		w.loses = func(proto.Message) bool { return true }
		ids := of(far, 2)
		tell := func(id string, m *nodev1.Envelope) {
			answer := make(chan *nodev1.Answer, 1)
			w.sides[1].engine.Tell(t.Context(), messages.OrderID(id), m, func(a *nodev1.Answer) { answer <- a })
			if f := (<-answer).GetFailure(); f != nil {
				t.Error(failure.Err(f))
			}
		}
		w.accept(ids[0], "test/long:1.0.0", "")
		tell(ids[0], &nodev1.Envelope{Message: &nodev1.Envelope_Suspend{Suspend: &nodev1.Suspend{}}})
		w.accept(ids[1], "test/long:1.0.0", "")
		tell(ids[1], &nodev1.Envelope{Message: &nodev1.Envelope_Cancel{Cancel: &nodev1.Cancel{}}})
		time.Sleep(time.Minute)
		if got := w.status(ids[0]); got != suspended {
			t.Errorf("the suspended order is %v", got)
		}
		if got := w.status(ids[1]); got != orderv1.Status_STATUS_CANCELLED {
			t.Errorf("the cancelled order is %v", got)
		}
		if s := w.sides[1].engine.Status(t.Context()); s.Open != 1 || s.Suspended != 1 {
			t.Errorf("one order is open, and suspended; the node tells of %+v", s)
		}
		tell(ids[0], &nodev1.Envelope{Message: &nodev1.Envelope_Resume{Resume: &nodev1.Resume{}}})
		time.Sleep(time.Minute)
		if got := w.status(ids[0]); got != completed {
			t.Errorf("the resumed order is %v", got)
		}
		w.checkIntake()
	})
}

// Orders are accepted at either node while partitions move, are nobody's for a while, and messages get lost: each that was acknowledged
// ends once, those of a key in the order of their acknowledgement.
func TestAcceptAnywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(2, 1))}
		for i := range w.sides {
			w.sides[i] = &side{town: w, index: i}
		}
		for p := range w.desired {
			w.desired[p] = p % 2
		}
		for _, s := range w.sides {
			s.open()
		}
		refs := w.deploy()
		w.moving.Store(true)
		var all, nodes sync.WaitGroup
		stop, over := make(chan struct{}), make(chan struct{})
		for _, s := range w.sides {
			nodes.Go(func() { s.comeBack(over) })
		}
		load := &clients{town: w, refs: refs, quick: []string{"test/one:1.0.0", "test/three:1.0.0"}, acked: map[string]accepted{}}
		for range 20 {
			all.Go(func() { load.run(stop) })
		}
		for range 20 {
			w.abandon(40)
			w.move()
			time.Sleep(time.Duration(w.roll(500)) * time.Millisecond)
		}
		close(stop)
		all.Wait()
		w.moving.Store(false)
		w.settle()
		close(over)
		nodes.Wait()
		w.check(load)
		if n := w.inserted.Load(); n < 20 {
			t.Errorf("%d orders were accepted by who did not own their partitions", n)
		}
		t.Logf("%d of %d orders were accepted by who did not own their partitions", w.inserted.Load(), len(load.acked))
		for _, s := range w.sides {
			s.close()
		}
		time.Sleep(time.Minute)
	})
}

// abandon has so many partitions be nobody's for a while.
func (w *town) abandon(n int) {
	var of [2][]messages.Partition
	w.mu.Lock()
	for range n {
		p := w.chance.IntN(messages.Partitions)
		of[w.desired[p]] = append(of[w.desired[p]], messages.Partition(p))
	}
	w.mu.Unlock()
	tell := func(do func(h actors.Host, ps ...messages.Partition)) {
		for i, s := range w.sides {
			s.mu.Lock()
			if !s.gone.Load() {
				do(s.host, of[i]...)
			}
			s.mu.Unlock()
		}
	}
	tell(func(h actors.Host, ps ...messages.Partition) { h.Give(ps...) })
	time.Sleep(time.Duration(w.roll(2000)) * time.Millisecond)
	tell(func(h actors.Host, ps ...messages.Partition) { h.Take(ps...) })
}

// swept is a journal that notes of how many partitions each sweep of the intake was.
type swept struct {
	persistence.Journal

	mu    sync.Mutex
	sizes []int
}

func (j *swept) Intake(
	ctx context.Context, of []messages.Partition, after messages.Handle, limit int,
) ([]persistence.OpenOrder, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sizes = append(j.sizes, len(of))
	return j.Journal.Intake(ctx, of, after, limit)
}

func (j *swept) sweeps() []int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.sizes)
}

// A node asks the journal for its intake once a second, for all partitions that it has together.
func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &swept{}
		n := start(t, inMemory, withWrap(func(inner persistence.Journal) persistence.Journal {
			j.Journal = inner
			return j
		}))
		n.sleep(500 * time.Millisecond)
		began := j.sweeps()
		n.sleep(10 * time.Second)
		if got := j.sweeps()[len(began):]; len(got) != 10 || slices.Min(got) != messages.Partitions {
			t.Errorf("in ten seconds there are sweeps of %d partitions, want ten of all", got)
		}
	})
}
