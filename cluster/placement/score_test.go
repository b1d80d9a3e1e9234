package placement

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestMinusLog2 compares with floating point, and shows that a greater hash never comes behind a smaller one.
func TestMinusLog2(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := rapid.Uint64().Draw(t, "hash")
		got, want := float64(minusLog2(h))/(1<<fraction), 64-math.Log2(float64(max(h, 1)))
		if math.Abs(got-want) > 1e-9 {
			t.Fatalf("−log₂(%d ÷ 2⁶⁴) is %v, not %v", h, got, want)
		}
		if next := rapid.Uint64Range(h, math.MaxUint64).Draw(t, "next"); minusLog2(next) > minusLog2(h) {
			t.Fatalf("%d is behind %d", next, h)
		}
	})
	for h, want := range map[uint64]uint64{0: 64 << fraction, 1: 64 << fraction, 1 << 63: 1 << fraction, math.MaxUint64: 1} {
		if got := minusLog2(h); got != want {
			t.Errorf("−log₂(%d ÷ 2⁶⁴) is %d, not %d", h, got, want)
		}
	}
}

// TestScore shows that the greatest logarithm is not cut, and that weight counts: who has twice as much comes before.
func TestScore(t *testing.T) {
	t.Parallel()
	if got := scoreOf(0, 1); got != 1<<63 {
		t.Errorf("the last place is %d", got)
	}
	for _, w := range []uint32{1, 2, 1000, math.MaxUint32 / 2} {
		if a, b := scoreOf(1<<40, w), scoreOf(1<<40, 2*w); a/2-b > 1 {
			t.Errorf("with weight %d the place is %d, with twice as much %d", w, a, b)
		}
	}
}
