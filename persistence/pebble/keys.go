package pebble

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// The kinds of keys, by their first byte. H is a handle (16 bytes), P a partition (2), all numbers are big endian; S is a
// string behind its length (2).
const (
	kindAudit      = 'A' // S (chain) sequence (8) → entry of the audit
	kindCatalog    = 'C' // → version of the catalogue (8)
	kindDefinition = 'D' // namespace 0 name 0 version → DefinitionRow
	kindOwner      = 'E' // P → epoch (8), incarnation
	kindFormat     = 'F' // → format
	kindGeneration = 'G' // → generation (8)
	kindIdentity   = 'J' // → UUID of the journal (16)
	kindLimit      = 'L' // activity → LimitRow
	kindPosition   = 'P' // → the last position that was set aside (8)
	kindLevel      = 'V' // → feature level (8)
	kindByStatus   = 'b' // status (1) H → nothing; only orders that ended badly
	kindByName     = 'd' // S (namespace/name) H → nothing
	kindDirectory  = 'i' // order id → DirectoryRow
	kindByKey      = 'k' // S (order key) H → nothing
	kindByLabel    = 'l' // S (name) S (value) H → nothing
	kindIntake     = 'n' // P H → nothing
	kindOrder      = 'o' // H → OrderRow
	kindOpen       = 'p' // P H → OpenRow
	kindOverflow   = 'q' // S (activity) priority (1) P at (8) frame (4) H → OverflowRow
	kindRecord     = 'r' // H, version of the first event (see appendVersion) → Record
	kindDue        = 't' // P due (8) H → nothing
	kindQueue      = 'w' // P S (order key) position (8) → H, order id
)

const handleSize = len(messages.Handle{})

// appendVersion appends a version so that byte order is number order: one byte up to 0xf7, else 0xf7 plus the number of
// bytes that follow.
func appendVersion(b []byte, v messages.Version) []byte {
	if v <= 0xf7 {
		return append(b, byte(v))
	}
	n := 8
	for n > 1 && v>>(8*(n-1)) == 0 {
		n--
	}
	b = append(b, byte(0xf7+n))
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// parseVersion reads what appendVersion wrote, and nothing else.
func parseVersion(b []byte) (messages.Version, error) {
	if len(b) == 1 && b[0] <= 0xf7 {
		return messages.Version(b[0]), nil
	}
	if len(b) < 2 || len(b) != 1+int(b[0])-0xf7 || b[1] == 0 {
		return 0, fmt.Errorf("key ends with %x, which is no version", b)
	}
	var v messages.Version
	for _, c := range b[1:] {
		v = v<<8 | messages.Version(c)
	}
	if v <= 0xf7 {
		return 0, fmt.Errorf("key ends with %x, which is no version", b)
	}
	return v, nil
}

func appendRecordKey(b []byte, h messages.Handle, first messages.Version) []byte {
	return appendVersion(append(append(b, kindRecord), h[:]...), first)
}

// parseRecordKey reads the key of a record.
func parseRecordKey(k []byte) (h messages.Handle, first messages.Version, err error) {
	if len(k) < 2+handleSize || k[0] != kindRecord {
		return h, 0, fmt.Errorf("key %x is not that of a record", k)
	}
	copy(h[:], k[1:])
	first, err = parseVersion(k[1+handleSize:])
	return h, first, err
}

func appendOrderKey(b []byte, h messages.Handle) []byte { return append(append(b, kindOrder), h[:]...) }

func appendDirectoryKey(b []byte, id messages.OrderID) []byte {
	return append(append(b, kindDirectory), id...)
}

func appendOwnerKey(b []byte, p messages.Partition) []byte {
	return binary.BigEndian.AppendUint16(append(b, kindOwner), uint16(p))
}

func appendIntakePrefix(b []byte, p messages.Partition) []byte {
	return binary.BigEndian.AppendUint16(append(b, kindIntake), uint16(p))
}

func appendIntakeKey(b []byte, p messages.Partition, h messages.Handle) []byte {
	return append(appendIntakePrefix(b, p), h[:]...)
}

// appendQueuesPrefix appends what the keys of all queues of a partition begin with, appendQueuePrefix those of one.
func appendQueuesPrefix(b []byte, p messages.Partition) []byte {
	return binary.BigEndian.AppendUint16(append(b, kindQueue), uint16(p))
}

func appendQueuePrefix(b []byte, p messages.Partition, key string) []byte {
	return appendString(appendQueuesPrefix(b, p), key)
}

// appendNumber appends a number of 8 bytes.
func appendNumber(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

func appendOpenPrefix(b []byte, p messages.Partition) []byte {
	return binary.BigEndian.AppendUint16(append(b, kindOpen), uint16(p))
}

func appendOpenKey(b []byte, p messages.Partition, h messages.Handle) []byte {
	return append(appendOpenPrefix(b, p), h[:]...)
}

// appendDuePrefix appends what the due keys of a partition begin with.
func appendDuePrefix(b []byte, p messages.Partition) []byte {
	return binary.BigEndian.AppendUint16(append(b, kindDue), uint16(p))
}

// appendDueKey appends a due key. A due time before 1970 counts as 1970.
func appendDueKey(b []byte, p messages.Partition, due int64, h messages.Handle) []byte {
	return append(binary.BigEndian.AppendUint64(appendDuePrefix(b, p), uint64(max(due, 0))), h[:]...)
}

// appendOverflowPrefix appends what the keys of one overflow begin with.
func appendOverflowPrefix(b []byte, of persistence.Overflow) []byte {
	b = append(appendString(append(b, kindOverflow), of.Activity), byte(of.Priority)) //nolint:gosec // checked before
	return binary.BigEndian.AppendUint16(b, uint16(of.Partition))
}

func appendOverflowPlace(b []byte, at persistence.OverflowPlace) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(max(at.At, 0)))
	return append(binary.BigEndian.AppendUint32(b, at.Frame), at.Handle[:]...)
}

// appendPlaceKey appends the key of an order's place in an index.
func appendPlaceKey(b []byte, p messages.Partition, h messages.Handle, x rows.Place) []byte {
	switch x.Index {
	case rows.ByID:
		return appendDirectoryKey(b, messages.OrderID(x.Text))
	case rows.ByName:
		b = appendNamePrefix(b, x.Text)
	case rows.ByKey:
		b = appendKeyPrefix(b, x.Text)
	case rows.ByLabel:
		b = appendLabelPrefix(b, x.Text, x.Value)
	case rows.ByStatus:
		b = appendStatusPrefix(b, int32(x.Number)) //nolint:gosec // it was one
	case rows.ByPartition:
		b = appendOpenPrefix(b, p)
	case rows.ByQueue:
		return appendNumber(appendQueuePrefix(b, p, x.Text), uint64(x.Number)) //nolint:gosec // it was one
	case rows.ByDue:
		return appendDueKey(b, p, x.Number, h)
	case rows.ByOverflow:
		of := persistence.Overflow{Activity: x.Text, Priority: int(x.Priority), Partition: p}
		return appendOverflowPlace(appendOverflowPrefix(b, of), persistence.OverflowPlace{At: x.Number, Frame: x.Frame, Handle: h})
	}
	return append(b, h[:]...)
}

// overflowPlaceSize is the length of what appendOverflowPlace appends.
const overflowPlaceSize = 8 + 4 + handleSize

// parseOverflowPlace reads the end of a key of an overflow that has the given prefix length.
func parseOverflowPlace(k []byte, prefix int) (at persistence.OverflowPlace, err error) {
	if len(k) != prefix+overflowPlaceSize {
		return at, fmt.Errorf("key %x does not end with a place", k)
	}
	at.At = int64(binary.BigEndian.Uint64(k[prefix:])) //nolint:gosec // as it was written
	at.Frame = binary.BigEndian.Uint32(k[prefix+8:])
	copy(at.Handle[:], k[prefix+12:])
	return at, nil
}

func definitionKey(ref messages.DefinitionRef) []byte {
	b := append([]byte{kindDefinition}, ref.Namespace...)
	b = append(append(b, 0), ref.Name...)
	return append(append(b, 0), ref.Version...)
}

// fits tells whether a string can be in a key.
func fits(s string) bool { return len(s) <= rows.MaxText }

// appendString appends a string behind its length. It panics if s has more than 65,535 bytes: commits are checked.
func appendString(b []byte, s string) []byte {
	if !fits(s) {
		panic(fmt.Sprintf("string of %d bytes in a key", len(s)))
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) //nolint:gosec // see above
}

func appendStatusPrefix(b []byte, status int32) []byte {
	return append(b, kindByStatus, byte(status)) //nolint:gosec // only those that ended badly have an index
}

func appendNamePrefix(b []byte, name string) []byte { return appendString(append(b, kindByName), name) }

func appendKeyPrefix(b []byte, orderKey string) []byte {
	return appendString(append(b, kindByKey), orderKey)
}

func appendLabelPrefix(b []byte, name, value string) []byte {
	return appendString(appendString(append(b, kindByLabel), name), value)
}

// successor returns the least key greater than all keys that begin with prefix. It changes prefix, whose last byte is
// never 0xff in what it is used for: else it appends a byte above which no key continues.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			prefix[i]++
			return prefix[:i+1]
		}
	}
	return nil
}

// handleAtEnd reads the handle at the end of an index key that has the given prefix length.
func handleAtEnd(k []byte, prefix int) (messages.Handle, error) {
	var h messages.Handle
	if len(k) != prefix+handleSize {
		return h, fmt.Errorf("key %x does not end with a handle", k)
	}
	copy(h[:], k[prefix:])
	return h, nil
}
