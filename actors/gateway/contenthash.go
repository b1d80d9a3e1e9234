package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// contentHash tells orders apart by what the client has said. The definition counts as it was named, so that an order for the latest
// version can be submitted again after a newer one was deployed. A deadline that was given as a duration counts as that, so that the order
// can be submitted again later.
func contentHash(o *orderv1.WorkOrder, input []byte, a *journalv1.OrderAccepted) []byte {
	h := contentHashers.Get().(*contentHasher) //nolint:errcheck,forcetypeassert // nothing else is in there
	defer contentHashers.Put(h)
	h.Reset()
	h.text(o.GetDefinition())
	h.part(input)
	h.text(o.GetOrderKey())
	h.number(int64(a.GetPriority()))
	after := o.GetDeadlineAfter()
	if after == nil {
		h.number(a.GetDeadline())
	} else {
		h.text("acceptance + " + after.AsDuration().String()) // longer than any time is
	}
	for _, l := range a.GetLabels() {
		h.text(l.GetName())
		h.text(l.GetValue())
	}
	h.buffer = h.Sum(h.buffer[:0])
	return slices.Clone(h.buffer[:16])
}

//nolint:gochecknoglobals // memory that is used again
var contentHashers = sync.Pool{New: func() any { return &contentHasher{Hash: sha256.New()} }}

// contentHasher hashes parts, each with its length before it.
type contentHasher struct {
	hash.Hash

	size, buffer []byte
}

func (h *contentHasher) part(b []byte) {
	h.size = binary.LittleEndian.AppendUint64(h.size[:0], uint64(len(b)))
	h.Write(h.size)
	h.Write(b)
}

func (h *contentHasher) text(s string) {
	h.buffer = append(h.buffer[:0], s...)
	h.part(h.buffer)
}

func (h *contentHasher) number(n int64) {
	h.buffer = binary.LittleEndian.AppendUint64(h.buffer[:0], uint64(n)) //nolint:gosec // only to be hashed
	h.part(h.buffer)
}
