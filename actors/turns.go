package actors

import "time"

// turns has those evaluations of an order that take long go on only so many at once, so that each has a processor. As long as it
// waits for that or goes on, neither the order nor its partition counts as stuck.
type turns struct{ *instance }

// Await implements workflow.Turns.
func (t turns) Await() {
	e := t.engine
	e.workers.blocking(func() {
		for {
			select {
			case e.evaluating <- struct{}{}:
				return
			case <-time.After(e.config.StuckAfter / 4):
				t.Show()
			}
		}
	})
	t.Show()
}

// Show implements workflow.Turns.
func (t turns) Show() {
	t.mail.turned.Add(1)
	t.partition.loop.Beat()
}

// End implements workflow.Turns.
func (t turns) End() {
	<-t.engine.evaluating
	t.Show()
}
