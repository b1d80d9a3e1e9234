package partition

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// home is what there is of a partition as long as this node owns it, however often its actor is restarted meanwhile. It implements
// order.Home.
type home struct {
	*Parts

	owner *Ownership
	by    runtime.Owner
	// pid is set once ready is closed.
	pid    *actor.PID
	ready  chan struct{}
	loop   *supervision.Loop
	counts counts
	closed atomic.Bool
	// tooNew: the ownership was told that the partition has records that this version can't read.
	tooNew atomic.Bool
	// snapshot is what the actor has published last; inMemory is how many orders the actor has in memory, and timers how many due
	// times.
	snapshot         atomic.Pointer[Snapshot]
	inMemory, timers atomic.Int64
	// faulted are the last orders that were faulted because they panicked, and when; at most Config.PoisonFaults. Only the actor uses
	// it.
	faulted map[messages.OrderID]time.Time

	mu sync.Mutex
	// unloadable are the orders that could not be loaded when somebody had something for them; at most mostUnloadable.
	unloadable map[messages.OrderID]struct{}
	// some tells without the lock whether any order is unloadable.
	some atomic.Bool
}

// mostUnloadable is how many orders of a partition that can't be loaded are remembered.
const mostUnloadable = 1000

// Owner implements order.Home.
func (h *home) Owner() runtime.Owner { return h.by }

// Tell implements order.Home.
func (h *home) Tell(note any) { h.System.Root.Send(h.pid, note) }

// check asks the journal, behind all that was asked of it before, whether this node still owns the partition, and calls done as it does.
func (h *home) check(done func(error)) {
	h.Claims.Check(persistence.Holding{Partition: h.by.Partition, Epoch: h.by.Epoch}, func(err error) {
		h.Health.Note(h.by.Partition, err)
		if errors.Is(err, persistence.ErrFenced) {
			h.Tell(order.Fenced{Whole: errors.Is(err, persistence.ErrIncarnationFenced)})
		}
		done(err)
	})
}

// Again implements order.Home.
func (h *home) Again(do func()) {
	time.AfterFunc(h.Config.TryAgain, func() {
		if !h.closed.Load() {
			do()
		}
	})
}

// Unread implements order.Home. A partition with records that this version can't read is left to nodes of a newer one.
func (h *home) Unread(err error) {
	h.Health.Note(h.by.Partition, err)
	if errors.Is(err, persistence.ErrFeatureLevel) && !h.tooNew.Swap(true) {
		h.Log.Error("partition is released: a newer version is needed to read it", "partition", h.by.Partition, "error", err)
		h.owner.tell(step{h.by.Partition, TooNew{h.by.Epoch}})
	}
}

// Resized implements order.Home.
func (h *home) Resized(more int64) { h.resident.Add(more) }

// Turning implements order.Home.
func (h *home) Turning(id messages.OrderID) { h.loop.BeatAt(string(id)) }

// Unloadable implements order.Home. That there are none costs nothing.
func (h *home) Unloadable(id messages.OrderID, yes bool) (news bool) {
	if !yes && !h.some.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.unloadable[id]
	switch {
	case !yes:
		delete(h.unloadable, id)
	case !known && len(h.unloadable) < mostUnloadable:
		if h.unloadable == nil {
			h.unloadable = map[messages.OrderID]struct{}{}
		}
		h.unloadable[id] = struct{}{}
		news = true
	}
	h.some.Store(len(h.unloadable) > 0)
	return news
}

// forgetUnloadable forgets what the actor before this one had.
func (h *home) forgetUnloadable() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.unloadable)
	h.some.Store(false)
}

func (h *home) unloadables() []messages.OrderID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.unloadable))
}
