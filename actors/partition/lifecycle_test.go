package partition

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
)

// world is what a lifecycle acts upon: the journal, and the actor of the partition. What was asked of them is answered at any time
// later, in any order.
type world struct {
	t   *rapid.T
	l   Lifecycle
	now time.Time

	epoch    messages.Epoch // in the journal
	ours     bool           // the last claim was this node's
	released bool
	open     messages.Epoch // of the actor that runs; 0: none does
	drained  bool           // it was told to drain
	closing  bool           // it was told to close
	wanted   bool           // as the placement has said last
	pending  []Input        // answers that are on their way
	asked    Output         // what the journal has been asked and has not answered: Claim, Release or Nothing
}

var timing = Timing{Retry: func(n int) time.Duration { return time.Duration(n) * time.Second }, Drain: 5 * time.Second}

func (w *world) step(in Input) {
	before := w.l
	out := w.l.Step(in, w.now, timing)
	switch out {
	case Nothing:
	case Claim:
		if w.open != 0 || w.asked != Nothing {
			w.t.Fatalf("%T in %+v claims, though an actor runs under epoch %d, or the journal was asked before", in, before, w.open)
		}
		w.asked = Claim
	case Open:
		if w.open != 0 || !w.l.wanted {
			w.t.Fatalf("%T in %+v opens, though an actor runs under epoch %d", in, before, w.open)
		}
		w.open, w.drained, w.closing = w.l.Epoch, false, false
	case Drain, Close:
		if w.open != w.l.Epoch || w.closing {
			w.t.Fatalf("%T in %+v ends an actor that does not run, or is ending", in, before)
		}
		w.drained, w.closing = true, out == Close
	case Release:
		if w.open != 0 || w.asked != Nothing {
			w.t.Fatalf("%T in %+v releases what is in use", in, before)
		}
		w.asked = Release
	}
}

// answer has the journal answer, well or not.
func (w *world) answer(well bool) {
	asked := w.asked
	w.asked = Nothing
	switch {
	case asked == Claim && well:
		w.epoch++
		w.ours, w.released = true, false
		w.pending = append(w.pending, Claimed{w.epoch})
	case asked == Claim:
		how := rapid.SampledFrom([]string{"refused", "lost", "made"}).Draw(w.t, "claim")
		if how == "made" {
			w.epoch++
			w.ours, w.released = true, false
		}
		// Nobody is refused what is his own.
		w.pending = append(w.pending, NotClaimed{Unsure: how != "refused" || w.ours && !w.released})
	case asked == Release && well:
		if w.ours && w.epoch == w.l.Epoch {
			w.released = true
		}
		w.pending = append(w.pending, Released{w.l.Epoch})
	case asked == Release:
		w.pending = append(w.pending, NotReleased{w.l.Epoch})
	}
}

// steal has another node claim the partition: this one learns of it by a commit that is refused.
func (w *world) steal() {
	w.epoch++
	w.ours, w.released = false, false
}

// fence has a commit of the actor that runs be refused, if somebody else has the partition.
func (w *world) fence() {
	if w.open != 0 && w.open < w.epoch {
		w.pending = append(w.pending, Fenced{w.open})
	}
}

// closed has the actor end that was told to.
func (w *world) closed() {
	if w.closing {
		w.pending = append(w.pending, Closed{w.open})
		w.open, w.closing = 0, false
	}
}

func (w *world) deliver() {
	in := w.pending[0]
	w.pending = w.pending[1:]
	if f, fenced := in.(Fenced); fenced && w.l.Has(f.Epoch) {
		w.wanted = false // until it is wanted anew
	}
	w.step(in)
}

// settle lets everything be answered well, and time pass, until nothing happens any more.
func (w *world) settle() {
	for range 100 {
		w.now = w.now.Add(time.Minute)
		w.answer(true)
		if w.open != 0 && !w.closing {
			if w.fence(); w.open == w.epoch {
				w.pending = append(w.pending, Recovered{w.open})
			}
			if w.drained {
				w.pending = append(w.pending, Drained{w.open})
			}
		}
		w.closed()
		for len(w.pending) > 0 {
			w.deliver()
		}
		w.step(Tick{})
	}
}

// A partition is owned once by what runs, whatever is late or lost; what is wanted is owned in the end, and what is not is let go.
func TestLifecycleModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: time.Unix(1, 0)}
		stale := func() messages.Epoch { return messages.Epoch(rapid.Uint64Range(0, uint64(w.epoch)+1).Draw(t, "epoch")) }
		t.Repeat(map[string]func(*rapid.T){
			"want":   func(*rapid.T) { w.wanted = true; w.step(Want{}) },
			"unwant": func(*rapid.T) { w.wanted = false; w.step(Unwant{}) },
			"answer": func(t *rapid.T) { w.answer(rapid.Bool().Draw(t, "well")) },
			"steal":  func(*rapid.T) { w.steal() },
			"fence":  func(*rapid.T) { w.fence() },
			"recovered": func(*rapid.T) {
				if w.open != 0 {
					w.pending = append(w.pending, Recovered{w.open})
				}
			},
			"drained": func(*rapid.T) {
				if w.open != 0 && w.drained {
					w.pending = append(w.pending, Drained{w.open})
				}
			},
			"too new": func(t *rapid.T) {
				if w.open == 0 || rapid.IntRange(0, 9).Draw(t, "often") > 0 {
					t.Skip("it is read")
				}
				w.step(TooNew{w.open})
			},
			"closed": func(*rapid.T) { w.closed() },
			"deliver": func(t *rapid.T) {
				if len(w.pending) == 0 {
					t.Skip("nothing is on its way")
				}
				i := rapid.IntRange(0, len(w.pending)-1).Draw(t, "which")
				w.pending[0], w.pending[i] = w.pending[i], w.pending[0]
				w.deliver()
			},
			"late": func(t *rapid.T) { // what is about an epoch that is over
				if e := stale(); e != w.l.Epoch {
					w.step(rapid.SampledFrom([]Input{Recovered{e}, Fenced{e}, TooNew{e}, Drained{e}, Closed{e}, Released{e}, NotReleased{e}}).Draw(t, "late"))
				}
			},
			"tick": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
				w.step(Tick{})
			},
			"": func(t *rapid.T) {
				if running := w.l.Phase == Recovering || w.l.Phase == Owning || w.l.Phase == Draining || w.l.Phase == Closing; running &&
					w.open != w.l.Epoch && len(w.pending) == 0 {
					t.Fatalf("%+v, and an actor runs under epoch %d", w.l, w.open)
				}
			},
		})
		w.settle()
		switch wanted := w.wanted && !w.l.tooNew; {
		case w.wanted && w.l.Ready() != wanted:
			t.Fatalf("it is wanted, and is %+v", w.l)
		case wanted && (w.l.Phase != Owning || w.open != w.epoch || !w.ours):
			t.Fatalf("it is wanted, and is %+v; an actor runs under epoch %d, the journal has %d, ours: %v", w.l, w.open, w.epoch, w.ours)
		case !wanted && (w.l.Phase != Away || w.open != 0 || w.ours && !w.released):
			t.Fatalf("it is not wanted, and is %+v; an actor runs under epoch %d; ours: %v, released: %v", w.l, w.open, w.ours, w.released)
		}
	})
}
