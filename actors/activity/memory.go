package activity

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// ErrTooMuch says that what an adapter offers or lists is more than there may be.
var ErrTooMuch = errors.New("more than adapters may have")

// memory bounds what adapters make the node keep, over all streams: the tasks that they have, and what their hellos and listings say. A
// stream may have a quarter of it. The last quarter is for streams that have little, so that those with much don't starve them. What is
// full is seen before something is added, so that there may be one task more for each activity of a stream.
type memory struct {
	most int64
	used atomic.Int64
}

const (
	// streamBytes is what a stream takes, offerBytes what it takes more for each activity that it offers, and keyBytes what it takes for
	// each key that it lists, beside the key: in maps, actors, buffers and goroutines, about.
	streamBytes = 32 << 10
	offerBytes  = 1 << 10
	keyBytes    = 160
	// littleShare: a stream with less than such a share of the memory has little.
	littleShare = 256
	streamShare = 4
)

// Full implements dispatch.Space, as the space for tasks whose adapters are away.
func (m *memory) Full() bool { return false }

// Add implements dispatch.Space.
func (m *memory) Add(bytes int) { m.used.Add(int64(bytes)) }

// space is what one stream has of the memory. It implements dispatch.Space.
type space struct {
	all     *memory
	adapter Adapter
	// tasks is what its tasks take, told what its hello and its listings do.
	tasks, told atomic.Int64
}

// Full implements dispatch.Space.
func (s *space) Full() bool {
	all, mine := s.all.used.Load(), s.tasks.Load()
	return mine >= s.all.most/streamShare || all >= s.all.most/streamShare*(streamShare-1) && mine >= s.all.most/littleShare ||
		all >= s.all.most && mine > 0 || s.adapter.Slow()
}

// Add implements dispatch.Space.
func (s *space) Add(bytes int) {
	s.tasks.Add(int64(bytes))
	s.all.Add(bytes)
}

// tell adds to what the stream has said of itself. It returns ErrTooMuch, wrapped, and adds nothing, if that is too much:
// of what all have said there may be half the memory.
func (s *space) tell(bytes int) error {
	mine, all := s.charge(bytes)
	switch {
	case mine > s.all.most/streamShare:
	case all-s.tasks.Load() > s.all.most/2:
	default:
		return nil
	}
	s.forget(bytes)
	return fmt.Errorf("%w: what an adapter offers and lists would take %d bytes, of at most %d for one, and all adapters take %d "+
		"of --adapter-memory, which is %d", ErrTooMuch, mine, s.all.most/streamShare, all-int64(bytes), s.all.most)
}

func (s *space) charge(bytes int) (mine, all int64) {
	return s.told.Add(int64(bytes)), s.all.used.Add(int64(bytes))
}

func (s *space) forget(bytes int) {
	s.told.Add(-int64(bytes))
	s.all.Add(-bytes)
}

// helloBytes is what a hello takes beside its keys.
func helloBytes(h *adapterv1.Hello) int { return streamBytes + len(h.GetActivities())*offerBytes }

// keys are those that a stream's adapter has said it has, once for all its activities. They implement dispatch.Keys.
type keys struct {
	space *space
	// some: there is one, or was. Most streams have none.
	some atomic.Bool

	mu     sync.Mutex
	has    map[string]struct{}
	closed bool
}

var _ dispatch.Keys = (*keys)(nil)

// Has implements dispatch.Keys.
func (k *keys) Has(key string) bool {
	if !k.some.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, has := k.has[key]
	return has
}

// list adds keys that the adapter lists; not all, and an error, if they are too many.
func (k *keys) list(some []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range some {
		if _, has := k.has[key]; has || k.closed {
			continue
		}
		if err := k.space.tell(len(key) + keyBytes); err != nil {
			return err
		}
		k.put(key)
	}
	return nil
}

// Add implements dispatch.Keys. There is always space: it is a key that was listed, or one of a task that has just given up its own.
func (k *keys) Add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, has := k.has[key]; !has && !k.closed {
		k.space.charge(len(key) + keyBytes)
		k.put(key)
	}
}

func (k *keys) put(key string) {
	if k.has == nil {
		k.has = map[string]struct{}{}
	}
	k.has[key] = struct{}{}
	k.some.Store(true)
}

// Remove implements dispatch.Keys.
func (k *keys) Remove(key string) {
	if !k.some.Load() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, has := k.has[key]; has {
		delete(k.has, key)
		k.space.forget(len(key) + keyBytes)
	}
}

// close gives all up: the stream is gone.
func (k *keys) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.has {
		k.space.forget(len(key) + keyBytes)
	}
	k.has, k.closed = nil, true
}
