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
	ids   map[messages.OrderID]bool
	count atomic.Int64
}

// add remembers an order. It returns whether that is news.
func (u *unloadable) add(id messages.OrderID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids[id] || len(u.ids) >= mostUnloadable {
		return false
	}
	if u.ids == nil {
		u.ids = map[messages.OrderID]bool{}
	}
	u.ids[id] = true
	u.count.Store(int64(len(u.ids)))
	return true
}

// remove forgets an order, which was loaded. That there is none costs nothing.
func (u *unloadable) remove(id messages.OrderID) {
	if u.count.Load() == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
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
