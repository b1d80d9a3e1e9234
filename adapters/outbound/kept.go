package outbound

import (
	"container/list"
	"crypto/sha256"
	"sync"
)

// Kept holds some values by what they were made of, those that were used last. What they were made of is not kept.
type Kept[V any] struct {
	most int
	drop func(V)

	mu     sync.Mutex
	values map[[sha256.Size]byte]*list.Element
	used   list.List // the last one first
}

type keptValue[V any] struct {
	key   [sha256.Size]byte
	value V
}

// NewKept makes room for values, at most so many. drop is called with each one that is given up.
func NewKept[V any](most int, drop func(V)) *Kept[V] {
	return &Kept[V]{most: most, drop: drop, values: make(map[[sha256.Size]byte]*list.Element)}
}

// Get returns the value that is made of a text, the one that is held or a new one.
func (k *Kept[V]) Get(of string, produce func() (V, error)) (V, error) {
	key := sha256.Sum256([]byte(of))
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.values[key]; e != nil {
		k.used.MoveToFront(e)
		held, _ := e.Value.(keptValue[V])
		return held.value, nil
	}
	v, err := produce()
	if err != nil {
		return v, err
	}
	k.values[key] = k.used.PushFront(keptValue[V]{key, v})
	if k.used.Len() > k.most {
		oldest, _ := k.used.Remove(k.used.Back()).(keptValue[V])
		delete(k.values, oldest.key)
		k.drop(oldest.value)
	}
	return v, nil
}
