package messages

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// KindSlot is the kind of correlation slots.
const KindSlot Kind = "slot"

// SlotID returns the id of a correlation slot, a digest of what it is.
func SlotID(o *journalv1.SlotOpened) OrderID {
	var b []byte
	part := func(text string) {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	part(o.GetNamespace())
	part(o.GetType())
	for _, c := range o.GetCorrelation() {
		part(c.GetFrom())
		part(c.GetValue())
	}
	sum := sha256.Sum256(b)
	return OrderID(string(KindSlot) + "/" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// RouteKey tells a route from others.
func RouteKey(r *journalv1.Route) string {
	return strings.Join(append([]string{r.GetType()}, r.GetCorrelations()...), "\x00")
}
