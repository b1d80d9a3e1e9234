package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistogram compares quantiles with exact ones.
func TestHistogram(t *testing.T) {
	t.Parallel()
	durations := rapid.Custom(func(t *rapid.T) time.Duration {
		bits := rapid.IntRange(0, maxBits-1).Draw(t, "bits")
		return time.Duration(rapid.Int64Range(0, int64(1)<<bits).Draw(t, "value")) * time.Microsecond
	})
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(durations, 1, 200).Draw(t, "durations")
		var h histogram
		for _, d := range all {
			h.record(d)
		}
		slices.Sort(all)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		exact := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
		got := h.quantile(q)
		if off := (got - exact).Abs(); off > max(exact/100, time.Microsecond) {
			t.Fatalf("quantile %v is %v, but exactly %v", q, got, exact)
		}
	})
}

func TestHistogramEdges(t *testing.T) {
	t.Parallel()
	var h histogram
	if got := h.quantile(0.99); got != 0 {
		t.Errorf("the quantile of nothing is %v", got)
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Nanosecond} {
		if b := bucketOf(d); b != 0 {
			t.Errorf("%v is in bucket %d, not in the first", d, b)
		}
	}
	if b := bucketOf(math.MaxInt64); b != histogramBuckets-1 {
		t.Errorf("the longest duration is in bucket %d, not in the last, %d", b, histogramBuckets-1)
	}
	for b := 1; b < histogramBuckets; b++ {
		if m := middleOf(b); bucketOf(m) != b || m <= middleOf(b-1) {
			t.Fatalf("bucket %d has the middle %v, which is in bucket %d", b, m, bucketOf(m))
		}
	}
}
