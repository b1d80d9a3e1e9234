package order

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
)

// turns has evaluations of an order that take long keep the pace of heavy work. As long as an order waits for that or goes on, it does not
// count as stuck, nor does its partition, if that waits for it.
type turns struct{ *instance }

// Large implements workflow.Turns.
func (t turns) Large() {
	t.noteHeavy()
	t.room.Force(&t.place)
}

// Checking implements workflow.Turns. Whether it takes long is known afterwards.
func (t turns) Checking() {
	if t.pass == nil {
		t.checks = true
		t.rush()
	}
}

// Long implements workflow.Turns.
func (t turns) Long() {
	t.noteHeavy()
	switch {
	case t.pass != nil && !t.rushes:
	case t.outside: // what it is, and whose, was not known before
		t.enter(t.namespace())
	default:
		panic(tooLong{})
	}
}

// rush has heavy work go on that was not known to be. In the turn of the partition it does not wait for others' turns, as then the other
// orders of the partition would, too.
func (i *instance) rush() {
	i.pass, i.rushes = i.Pace.Force(runtime.HeavyEvaluation, i.namespace(), ""), !i.outside
}

// Show implements workflow.Turns.
func (t turns) Show() (waited time.Duration) {
	if t.pass != nil && !t.rushes {
		t.pass.Show(func(until <-chan struct{}) {
			began := t.Now()
			t.await(func() { <-until })
			waited = t.Now().Sub(began)
		})
	}
	t.show()
	return waited
}

// enter waits until the order may do heavy work, for a namespace.
func (i *instance) enter(space string) {
	t := turns{i}
	t.await(func() {
		i.pass, _ = i.Pace.Enter(context.Background(), runtime.HeavyEvaluation, space, "") // it does not end before the pace does
	})
}

// quit ends the heavy work of a decision, if it was any.
func (i *instance) quit() {
	i.outside = false
	if i.pass == nil {
		return
	}
	if i.pass.Leave(); i.checks && i.pass.Used() > runtime.HeavyFrom {
		i.noteHeavy()
	}
	i.pass, i.checks, i.rushes = nil, false, false
}

// await waits for something, and shows meanwhile that it does.
func (t turns) await(wait func()) {
	t.Workers.Blocking(func() {
		waited := make(chan struct{})
		defer close(waited)
		go t.showUntil(waited)
		wait()
	})
	t.show()
}

// showUntil shows that the evaluation waits until it does so no more.
func (t turns) showUntil(waited <-chan struct{}) {
	ticker := time.NewTicker(t.Config.Show)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.show()
		case <-waited:
			return
		}
	}
}

func (t turns) show() {
	t.box.turned.Add(1)
	t.home.Turning(t.id)
}
