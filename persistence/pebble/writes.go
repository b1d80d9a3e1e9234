package pebble

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// writes are what a batch of commits writes. They go into the batch in the order of their keys: the engine finds the place of
// a key faster from that of one near it, and commits of one moment touch keys that are near each other, of many kinds.
type writes struct {
	bytes []byte
	all   []place
}

type place struct {
	key, value, end int // where they begin in bytes, and end
	deletes         bool
}

func (w *writes) add(key, value []byte, deletes bool) {
	at := len(w.bytes)
	w.bytes = append(append(w.bytes, key...), value...)
	w.all = append(w.all, place{key: at, value: at + len(key), end: len(w.bytes), deletes: deletes})
}

// into moves the writes into a batch. Those of one key keep their order: the last one holds.
func (w *writes) into(b *pebble.Batch) {
	slices.SortFunc(w.all, func(x, y place) int {
		if c := bytes.Compare(w.bytes[x.key:x.value], w.bytes[y.key:y.value]); c != 0 {
			return c
		}
		return cmp.Compare(x.key, y.key)
	})
	for _, x := range w.all {
		// The batch copies; its error is always nil.
		if key := w.bytes[x.key:x.value]; x.deletes {
			_ = b.Delete(key, nil)
		} else {
			_ = b.Set(key, w.bytes[x.value:x.end], nil)
		}
	}
	w.bytes, w.all = w.bytes[:0], w.all[:0]
}
