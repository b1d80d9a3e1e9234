package order

import (
	"fmt"
	"testing"
	"time"
)

// That a definition evaluates much is forgotten, and not more is known than a bound.
func TestHeavyIsForgotten(t *testing.T) {
	t.Parallel()
	var h heavy
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	if h.has("a", clock) {
		t.Error("it is heavy before it was")
	}
	h.note("a", now)
	now = now.Add(heavyFor - 1)
	if !h.has("a", clock) || h.has("b", clock) {
		t.Error("it is not known, or another one is")
	}
	h.note("a", now)
	now = now.Add(heavyFor - 1)
	if !h.has("a", clock) {
		t.Error("it is forgotten though it was heavy again")
	}
	now = now.Add(1)
	if h.has("a", clock) {
		t.Error("it is not forgotten")
	}
	for i := range 2 * heavyMost {
		now = now.Add(time.Microsecond)
		h.note(fmt.Sprint(i), now)
	}
	if n := len(*h.known.Load()); n != heavyMost || !h.has(fmt.Sprint(2*heavyMost-1), clock) || h.has("0", clock) {
		t.Errorf("%d are known, or not the last ones", n)
	}
}
