package order

import "time"

// turns has those evaluations of an order that take long go on only so many at once, so that each has a processor. As long as it
// waits for that or goes on, the order does not count as stuck, nor does its partition, if that waits for it.
type turns struct{ *instance }

// Large implements workflow.Turns.
func (t turns) Large() {
	t.heavy.note(t.state.Definition().Ref.String(), t.Now())
	t.room.Force(&t.place)
}

// Await implements workflow.Turns.
func (t turns) Await() {
	t.heavy.note(t.state.Definition().Ref.String(), t.Now())
	t.Workers.Blocking(func() {
		waited := make(chan struct{})
		defer close(waited)
		go t.showUntil(waited)
		t.evaluating <- struct{}{} // in one go: who waits keeps the place in the line
	})
	t.Show()
}

// showUntil shows that the evaluation waits until it does so no more.
func (t turns) showUntil(waited <-chan struct{}) {
	ticker := time.NewTicker(t.Config.Show)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.Show()
		case <-waited:
			return
		}
	}
}

// Show implements workflow.Turns.
func (t turns) Show() {
	t.box.turned.Add(1)
	t.home.Turning(t.id)
}

// End implements workflow.Turns.
func (t turns) End() {
	<-t.evaluating
	t.Show()
}
