package post_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// waiter is somebody who may get what was asked for in another way.
type waiter struct {
	replies

	missed, late int
	over         bool
}

func (w *waiter) Answered(a *nodev1.Answer) { w.take(a) }

func (w *waiter) Missed(late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.missed++; late {
		w.late++
	}
}

func (w *waiter) Over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// wantMissed checks how often it was told since the last call that nobody has the message, or that there is no answer.
func (w *waiter) wantMissed(t *testing.T, missed, late int) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.missed-w.late != missed || w.late != late {
		t.Errorf("it was told %d times that nobody has it, and %d times that it is late, want %d and %d", w.missed-w.late, w.late, missed, late)
	}
	w.missed, w.late = 0, 0
}

// Who has another way is told when nobody has the message, and when no answer comes. The answer ends that.
func TestMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		w.own(nil)
		var x waiter
		p.AskMeanwhile(letter(), &x)
		x.wantMissed(t, 1, 0)
		w.own(here)
		time.Sleep(100 * time.Millisecond)
		first := w.letters()
		x.wantMissed(t, 0, 0)
		p.Refuse(first[0], runtime.ErrNotOwner)
		x.wantMissed(t, 1, 0)
		pass(p, 1)
		x.wantMissed(t, 0, 0)
		pass(p, 2)
		x.wantMissed(t, 0, 2)
		x.wantNone(t)
		for _, e := range w.letters() {
			p.Answer(e, &nodev1.Answer{})
		}
		x.want(t, nil)
		pass(p, 20)
		x.wantMissed(t, 0, 0)
		wantAsks(t, p, 0)
	})
}

// Who needs no answer any more gets none, nor is the message sent again.
func TestMeanwhileOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, p := setup(t)
		var answered, waits, late waiter
		p.AskMeanwhile(letter(), &answered)
		sent := w.letters()
		p.AskMeanwhile(letter(), &late)
		w.letters()
		w.own(nil)
		p.AskMeanwhile(letter(), &waits)
		for _, x := range []*waiter{&answered, &waits, &late} {
			x.mu.Lock()
			x.over = true
			x.mu.Unlock()
		}
		p.Answer(sent[0], &nodev1.Answer{})
		w.own(here)
		time.Sleep(2 * time.Second)
		if again := w.letters(); len(again) > 0 {
			t.Errorf("sent was %v", again)
		}
		wantAsks(t, p, 1)
		pass(p, 1)
		for _, x := range []*waiter{&answered, &waits, &late} {
			x.wantNone(t)
		}
		wantAsks(t, p, 0)
	})
}

// One whose ask comes to its deadline, or whose node stops, is told so.
func TestMeanwhileEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, p := setup(t)
		var first, second waiter
		p.AskMeanwhile(letter(), &first)
		pass(p, 15)
		first.want(t, runtime.ErrInterrupted)
		p.AskMeanwhile(letter(), &second)
		p.Stop()
		second.want(t, runtime.ErrStopping)
		wantAsks(t, p, 0)
	})
}
