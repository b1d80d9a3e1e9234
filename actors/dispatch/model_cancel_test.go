package dispatch_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// grace is how long the queue of a model waits for adapters to come back.
const grace = time.Second

func (w *world) cancel(t *rapid.T) {
	o := pick(t, only(w.works, func(o *work) bool { return !o.over }))
	o.cancelled = true
	w.perform(t, w.queue.Cancel(o.key, o.attempt))
	if state, _, _ := w.queue.Where(o.key); state == "gone" {
		if o.fresh && !o.over {
			t.Fatalf("%s was never sent, but nobody was told that it is not done", o.key)
		}
		o.over = true // by the end of the order's patience
	}
}

func (w *world) withdraw(t *rapid.T) {
	o := pick(t, only(w.works, func(o *work) bool { return !o.over }))
	o.withdrawn = true
	w.withdrawIt(t, o)
}

// withdrawIt withdraws work, and checks what came of that.
func (w *world) withdrawIt(t *rapid.T, o *work) {
	outputs := w.queue.Withdraw(o.key, o.attempt)
	if _, _, cancelled := w.queue.Where(o.key); !cancelled {
		o.cancelled = false // it may be sent
	}
	w.perform(t, outputs)
	state, _, cancelled := w.queue.Where(o.key)
	if state != "gone" {
		o.cancelled = cancelled // else it goes on, or it is found out first whether its adapter comes back
	}
	if o.over != (state == "gone") || o.fresh && !o.over || cancelled && !o.withdrawn {
		t.Fatalf("%s is %s, but: %+v", o.key, state, *o)
	}
}

// doubted checks that the queue could not know better when it left work in doubt.
func (w *world) doubted(t *rapid.T, o *work, task *dispatch.Task) {
	switch {
	case !w.attached && task.Ledger == "" && !task.MaybeStarted && w.now.Sub(task.OfferedAt) < grace:
		t.Fatalf("%s is in doubt before an adapter could come back with it", o.key)
	case w.attached && !w.idempotent && o.ledger == "" && !o.maybe && !o.had:
		t.Fatalf("%s is in doubt, though nobody can have begun with it", o.key)
	}
}
