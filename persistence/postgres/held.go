package postgres

import (
	"fmt"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// held is which partitions an incarnation has, as it knows itself: nobody can take one from it without fencing it.
type held struct {
	mu     sync.Mutex
	epochs [messages.Partitions]messages.Epoch // 0: it does not have the partition
	fenced bool
}

// check makes sure that the incarnation has a partition under an epoch.
func (h *held) check(by persistence.Holding) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case by.Partition >= messages.Partitions:
		return by.Partition.Validate()
	case h.fenced:
		return persistence.ErrIncarnationFenced
	case by.Epoch == 0 || h.epochs[by.Partition] != by.Epoch:
		return fmt.Errorf("%w: partition %d is held under epoch %d, and not %d", persistence.ErrFenced, by.Partition,
			h.epochs[by.Partition], by.Epoch)
	}
	return nil
}

// set notes that the incarnation has a partition, drop that it has it no more.
func (h *held) set(by persistence.Holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epochs[by.Partition] = max(h.epochs[by.Partition], by.Epoch)
}

func (h *held) drop(by persistence.Holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epochs[by.Partition] == by.Epoch {
		h.epochs[by.Partition] = 0
	}
}

// clear notes that the incarnation has no partition.
func (h *held) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.epochs[:])
}

// fence notes that the incarnation was fenced.
func (h *held) fence() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fenced = true
}

func (h *held) isFenced() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fenced
}
