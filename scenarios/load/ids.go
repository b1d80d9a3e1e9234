package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// ids makes the order ids of a run: unique, rising, as long as a UUID, and telling which of the orders in flight is meant.
//
//	019ab3f0c1d2-7c94e1aa-0000004d200ff
//	 start, ms    random   number   slot
type ids struct{ prefix string }

const (
	numberDigits = 9
	slotDigits   = 5
	maxSlots     = 1 << (4 * slotDigits)
)

func newIDs(start time.Time) ids {
	return ids{fmt.Sprintf("%012x-%08x-", start.UnixMilli(), rand.Uint32())}
}

const hexDigits = "0123456789abcdef"

func (s ids) id(number uint64, slot int) string {
	var b [64]byte
	out := append(b[:0], s.prefix...)
	for i := numberDigits - 1; i >= 0; i-- {
		out = append(out, hexDigits[number>>(4*i)&15])
	}
	for i := slotDigits - 1; i >= 0; i-- {
		out = append(out, hexDigits[slot>>(4*i)&15])
	}
	return string(out)
}

// parse reads an id of this run.
func (s ids) parse(id string) (number uint64, slot int, ok bool) {
	rest, ok := strings.CutPrefix(id, s.prefix)
	if !ok || len(rest) != numberDigits+slotDigits {
		return 0, 0, false
	}
	number, err1 := strconv.ParseUint(rest[:numberDigits], 16, 64)
	n, err2 := strconv.ParseUint(rest[numberDigits:], 16, 32)
	return number, int(n), err1 == nil && err2 == nil
}
