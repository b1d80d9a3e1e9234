package post_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/post"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town is where all partitions belong to one owner, or to nobody. It keeps what is sent, and what is answered to other nodes.
type town struct {
	mu    sync.Mutex
	owner *actor.PID
	sent  []*nodev1.Envelope
	to    []*actor.PID
	far   map[string][]*nodev1.Answer
}

func (w *town) Owner(messages.Partition) *actor.PID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owner
}

func (w *town) own(by *actor.PID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owner = by
}

func (w *town) send(to *actor.PID, m any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e, ok := m.(*nodev1.Envelope); ok {
		w.sent, w.to = append(w.sent, e), append(w.to, to)
	}
}

func (w *town) Answer(address string, a *nodev1.Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.far[address] = append(w.far[address], a)
}

// letters returns what was sent since the last call.
func (w *town) letters() []*nodev1.Envelope {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

var here, there = actor.NewPID("here", "partition"), actor.NewPID("there", "partition") //nolint:gochecknoglobals // constants

// within is the deadline of asks in these tests.
const within = 10 * time.Second

func setup(t *testing.T) (*town, *post.Post) {
	t.Helper()
	w := &town{owner: here, far: map[string][]*nodev1.Answer{}}
	return w, open(w)
}

func open(w *town) *post.Post {
	p := post.New(post.Config{Within: within}, "here", w, w)
	p.StartWith(w.send)
	return p
}

// replies are the answers that an asker has got.
type replies struct {
	mu  sync.Mutex
	all []*nodev1.Answer
}

func (r *replies) take(a *nodev1.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, a)
}

// want checks that one answer came, and with which failure; nil: with none.
func (r *replies) want(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) != 1 || !errors.Is(failure.Err(r.all[0].GetFailure()), want) {
		t.Fatalf("the answers are %v, want one with %v", r.all, want)
	}
}

func (r *replies) wantNone(t *testing.T) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) > 0 {
		t.Fatalf("the answers are %v, want none", r.all)
	}
}

func letter() *nodev1.Envelope {
	return &nodev1.Envelope{Partition: 7, OrderId: "a", Message: &nodev1.Envelope_Cancel{Cancel: &nodev1.Cancel{Reason: "test"}}}
}

// pass has so many seconds pass.
func pass(p *post.Post, seconds int) {
	for range seconds {
		time.Sleep(time.Second)
		p.Tick()
	}
	synctest.Wait()
}

func wantAsks(t *testing.T, p *post.Post, want int) {
	t.Helper()
	if got := p.Asks(); got != want {
		t.Errorf("%d asks are open, want %d", got, want)
	}
}

// An ask ends with its answer; what comes later for it, or again, goes nowhere.
func TestAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var r replies
		p.Ask(runtime.Owner{}, letter(), r.take)
		sent := w.letters()
		if len(sent) != 1 || sent[0].GetAsker() != "here" || sent[0].GetOrderId() != "a" || sent[0].GetCancel().GetReason() != "test" {
			t.Fatalf("sent was %v", sent)
		}
		wantAsks(t, p, 1)
		p.Answer(sent[0], &nodev1.Answer{})
		r.want(t, nil)
		p.Answer(sent[0], &nodev1.Answer{Failure: failure.Of(runtime.ErrBusy)})
		p.Receive(&nodev1.Answer{Ask: sent[0].GetAsk()})
		pass(p, 20)
		r.want(t, nil)
		wantAsks(t, p, 0)
	})
}

// An ask without an answer is interrupted at its deadline, and not before.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var r, longer replies
		p.Ask(runtime.Owner{}, letter(), r.take)
		p.AskWithin(2*within, runtime.Owner{}, letter(), longer.take)
		pass(p, 10)
		r.wantNone(t)
		pass(p, 2)
		r.want(t, runtime.ErrInterrupted)
		longer.wantNone(t)
		for _, e := range w.letters() {
			p.Answer(e, &nodev1.Answer{})
		}
		r.want(t, runtime.ErrInterrupted)
		longer.want(t, nil)
		wantAsks(t, p, 0)
	})
}

// An ask ends within a second of when the partition was had by another one than was asked; that nobody has it changes nothing.
func TestMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		defer p.Stop()
		var r replies
		p.Ask(runtime.Owner{}, &nodev1.Envelope{}, r.take)
		for _, owner := range []*actor.PID{here, nil, actor.NewPID(here.GetAddress(), here.GetId())} {
			w.own(owner)
			p.Tick()
			r.wantNone(t)
		}
		w.own(there)
		p.Tick()
		r.want(t, runtime.ErrInterrupted)
		if n := p.Asks(); n != 0 {
			t.Errorf("%d asks are left", n)
		}
	})
}

// An ask whose partition is nobody's is sent once somebody owns it; one that came to who does not own it any more is sent again,
// under another number, and no answer to the first counts.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		w.own(nil)
		var r replies
		p.Ask(runtime.Owner{}, letter(), r.take)
		time.Sleep(3 * time.Second)
		if sent := w.letters(); len(sent) > 0 {
			t.Fatalf("sent to nobody was %v", sent)
		}
		wantAsks(t, p, 1)
		w.own(here)
		time.Sleep(2 * time.Second)
		first := w.letters()
		w.own(there)
		p.Refuse(first[0], runtime.ErrNotOwner)
		time.Sleep(2 * time.Second)
		second := w.letters()
		if len(first) != 1 || len(second) != 1 || first[0].GetAsk() == second[0].GetAsk() || !slices.Equal(w.to, []*actor.PID{here, there}) ||
			second[0].GetCancel().GetReason() != "test" {
			t.Fatalf("sent was %v, then %v, to %v", first, second, w.to)
		}
		p.Answer(first[0], &nodev1.Answer{})
		r.wantNone(t)
		p.Answer(second[0], &nodev1.Answer{})
		r.want(t, nil)
		wantAsks(t, p, 0)
	})
}

// Nothing is sent again beyond its deadline, nor if it is for one owner alone; nor is what was refused for another reason.
func TestNotSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var bound, busy, late replies
		e := letter()
		e.Epoch = 3
		p.Ask(runtime.Owner{}, e, bound.take)
		p.Ask(runtime.Owner{}, letter(), busy.take)
		sent := w.letters()
		p.Refuse(sent[0], runtime.ErrNotOwner)
		p.Refuse(sent[1], runtime.ErrBusy)
		bound.want(t, runtime.ErrNotOwner)
		busy.want(t, runtime.ErrBusy)
		w.own(nil)
		began := time.Now()
		p.Ask(runtime.Owner{}, letter(), func(a *nodev1.Answer) {
			late.take(a)
			if took := time.Since(began); took > within+2*time.Second || took < within-2*time.Second {
				t.Errorf("after %v", took)
			}
		})
		pass(p, 20)
		late.want(t, runtime.ErrNotOwner)
		wantAsks(t, p, 0)
	})
}

// With a partition its asks end, also those that wait to be sent again, and no others.
func TestEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		by := runtime.Owner{Partition: 1, Epoch: 5}
		var mine, waiting, other, earlier replies
		p.Ask(by, letter(), mine.take)
		p.Ask(runtime.Owner{Partition: 2, Epoch: 5}, letter(), other.take)
		p.Ask(runtime.Owner{Partition: 1, Epoch: 4}, letter(), earlier.take)
		w.own(nil)
		p.Ask(by, letter(), waiting.take)
		sent := w.letters()
		p.End(by)
		mine.want(t, runtime.ErrNotOwner)
		waiting.want(t, runtime.ErrNotOwner)
		other.wantNone(t)
		wantAsks(t, p, 2)
		w.own(here)
		time.Sleep(2 * time.Second)
		if again := w.letters(); len(again) > 0 {
			t.Errorf("for who has lost its partition %v was sent", again)
		}
		for _, e := range sent {
			p.Answer(e, &nodev1.Answer{})
		}
		mine.want(t, runtime.ErrNotOwner)
		other.want(t, nil)
		earlier.want(t, nil)
		wantAsks(t, p, 0)
	})
}

// When the node stops, all asks end, and those to come at once.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var before, waiting, after replies
		p.Ask(runtime.Owner{}, letter(), before.take)
		w.own(nil)
		p.Ask(runtime.Owner{}, letter(), waiting.take)
		w.own(here)
		p.Stop()
		p.Ask(runtime.Owner{}, letter(), after.take)
		for _, r := range []*replies{&before, &waiting, &after} {
			r.want(t, runtime.ErrStopping)
		}
		p.Tell(letter())
		time.Sleep(2 * time.Second)
		if sent := w.letters(); len(sent) != 1 {
			t.Errorf("sent was %v", sent)
		}
		wantAsks(t, p, 0)
	})
}

// What answers a node of before is not taken for an answer to the one in its place.
func TestNumbersOfAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var r, r2 replies
		for range 100 {
			p.Ask(runtime.Owner{}, letter(), r.take)
		}
		before := w.letters()
		p.Stop()
		p = open(w)
		for range 100 {
			p.Ask(runtime.Owner{}, letter(), r2.take)
		}
		seen := map[uint64]bool{}
		for _, e := range before {
			seen[e.GetAsk()] = true
			p.Receive(&nodev1.Answer{Ask: e.GetAsk()})
		}
		r2.wantNone(t)
		for _, e := range w.letters() {
			if e.GetAsk() == 0 || seen[e.GetAsk()] {
				t.Fatalf("the number %d comes again", e.GetAsk())
			}
			seen[e.GetAsk()] = true
		}
		p.Stop()
	})
}

// What another node has asked is answered there, by its number; what nobody waits for is not answered.
func TestFar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		e := letter()
		p.Answer(e, &nodev1.Answer{})
		e.Asker, e.Ask = "there", 17
		shared := &nodev1.Answer{Message: &nodev1.Answer_Accepted{Accepted: &nodev1.Accepted{Repeated: true}}}
		p.Answer(e, shared)
		p.Refuse(e, runtime.ErrBusy)
		got := w.far["there"]
		if len(w.far) != 1 || len(got) != 2 || got[0].GetAsk() != 17 || !got[0].GetAccepted().GetRepeated() || shared.GetAsk() != 0 {
			t.Fatalf("answered was %v", w.far)
		}
		if err := failure.Err(got[1].GetFailure()); got[1].GetAsk() != 17 || !errors.Is(err, runtime.ErrBusy) {
			t.Errorf("refused was %v", got[1])
		}
		if !p.Counts(e) || p.Counts(letter()) || p.Counts("a note") {
			t.Error("what is asked takes a place, and nothing else")
		}
	})
}

// A message that was sent before is not changed when it is asked again: who got it may still have it.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var first, second replies
		e := letter()
		p.Ask(runtime.Owner{}, e, first.take)
		number := e.GetAsk()
		p.Ask(runtime.Owner{}, e, second.take)
		sent := w.letters()
		if len(sent) != 2 || sent[0].GetAsk() != number || sent[1].GetAsk() == number || sent[1].GetCancel() != e.GetCancel() {
			t.Fatalf("sent was %v", sent)
		}
		p.Answer(sent[1], &nodev1.Answer{})
		first.wantNone(t)
		second.want(t, nil)
		p.Stop()
	})
}
