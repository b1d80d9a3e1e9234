package actors

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/messages"
)

// mostUnloadable is how many orders that can't be loaded are remembered.
const mostUnloadable = 10_000

// unloadable remembers the orders that could not be loaded when somebody had something for them. They wait until they can be.
type unloadable struct {
	mu    sync.Mutex
	ids   map[messages.OrderID]messages.Partition
	count atomic.Int64
}

// add remembers an order. It returns whether that is news.
func (u *unloadable) add(id messages.OrderID, p messages.Partition) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.ids[id]; known || len(u.ids) >= mostUnloadable {
		return false
	}
	if u.ids == nil {
		u.ids = map[messages.OrderID]messages.Partition{}
	}
	u.ids[id] = p
	u.count.Store(int64(len(u.ids)))
	return true
}

// remove forgets an order, which was loaded.
func (u *unloadable) remove(id messages.OrderID) { u.forget(func() { delete(u.ids, id) }) }

// leave forgets the orders of a partition, which has no instances here any more.
func (u *unloadable) leave(p messages.Partition) {
	u.forget(func() {
		maps.DeleteFunc(u.ids, func(_ messages.OrderID, x messages.Partition) bool { return x == p })
	})
}

// forget removes orders. That there are none costs nothing.
func (u *unloadable) forget(remove func()) {
	if u.count.Load() == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	remove()
	u.count.Store(int64(len(u.ids)))
}

// Unloadable returns the first orders, by their ids, that could not be loaded when there was something for them.
func (e *Engine) Unloadable(most int) []messages.OrderID { return e.unloadable.first(most) }

func (u *unloadable) first(most int) []messages.OrderID {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := slices.Sorted(maps.Keys(u.ids))
	return ids[:min(most, len(ids))]
}
