package dispatch_test

import "pgregory.net/rapid"

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
	w.perform(t, w.queue.Withdraw(o.key, o.attempt))
	w.withdrew(t, o)
}

// withdrew checks what came of a withdrawal.
func (w *world) withdrew(t *rapid.T, o *work) {
	state, _, cancelled := w.queue.Where(o.key)
	if state != "gone" {
		o.cancelled = cancelled // else it goes on, or it is found out first whether its adapter comes back
	}
	if o.over != (state == "gone") || o.fresh && !o.over || cancelled && !o.withdrawn {
		t.Fatalf("%s is %s, but: %+v", o.key, state, *o)
	}
}
