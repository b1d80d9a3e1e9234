package load

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "start"))
		s := newIDs(start)
		number := rapid.Uint64Range(0, 1<<(4*numberDigits)-2).Draw(t, "number")
		slot := rapid.IntRange(0, maxSlots-1).Draw(t, "slot")
		id := s.id(number, slot)
		if err := messages.OrderID(id).Validate(); err != nil {
			t.Fatal(err)
		}
		if len(id) != len(messages.NewOrderID()) {
			t.Fatalf("%s is not as long as other ids", id)
		}
		if n, i, ok := s.parse(id); !ok || n != number || i != slot {
			t.Fatalf("%s is read as number %d, slot %d, ok %v; made of %d and %d", id, n, i, ok, number, slot)
		}
		if next := s.id(number+1, 0); next <= id {
			t.Fatalf("%s follows %s, and sorts before it", next, id)
		}
		if later := newIDs(start.Add(time.Millisecond)).id(0, 0); later <= id {
			t.Fatalf("%s of a later run sorts before %s", later, id)
		}
		for _, wrong := range []string{"", id[1:], id + "0", id[:len(id)-1], id[:len(id)-1] + "x", "x" + id[1:]} {
			if _, _, ok := s.parse(wrong); ok {
				t.Fatalf("%q is taken for an id of this run", wrong)
			}
		}
	})
}
