package cluster

import "sync"

// inbox is what has happened and the loop has not looked at yet. Whoever brings it never waits. It has no bound of its own: what Consul
// says comes a few times a second, what becomes of a partition one at a time, and a loop that does not turn ends the process.
type inbox struct {
	wake chan struct{} // has a token when there may be something

	mu  *sync.Mutex
	all []any
}

func newInbox() inbox { return inbox{wake: make(chan struct{}, 1), mu: new(sync.Mutex)} }

func (b *inbox) put(what any) {
	b.mu.Lock()
	b.all = append(b.all, what)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all
	b.all = nil
	return all
}
