package actors

import "time"

// turns has those evaluations of an order that take long go on only so many at once, so that each has a processor. As long as it
// waits for that or goes on, the order does not count as stuck, nor does its partition, if that waits for it.
type turns struct{ *instance }

// Await implements workflow.Turns.
func (t turns) Await() {
	e := t.engine
	e.workers.blocking(func() {
		waited := make(chan struct{})
		defer close(waited)
		go t.showUntil(waited)
		e.evaluating <- struct{}{} // in one go: who waits keeps the place in the line
	})
	t.Show()
}

// showUntil shows that the evaluation waits until it does so no more.
func (t turns) showUntil(waited <-chan struct{}) {
	ticker := time.NewTicker(t.engine.config.StuckAfter / 4)
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
	t.mail.turned.Add(1)
	t.partition.loop.BeatAt(string(t.id))
}

// End implements workflow.Turns.
func (t turns) End() {
	<-t.engine.evaluating
	t.Show()
}
