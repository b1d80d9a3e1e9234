package load

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 1 % wide (up to 127 µs: 1 µs), so a quantile is off by half a
// percent at most. Its size is fixed, 32 KiB. The zero value is empty.
type histogram struct {
	counts [histogramBuckets]uint64
	total  uint64
}

const (
	// subBits is the number of bits of a value that are kept after the first one.
	subBits = 7
	// maxBits bounds values, in µs: to 2^36-1, some 19 hours. Longer ones count as that.
	maxBits          = 36
	histogramBuckets = (maxBits - subBits + 1) << subBits
)

func (h *histogram) record(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d.Microseconds(), 0))
	v = min(v, 1<<maxBits-1)
	e := max(bits.Len64(v)-subBits-1, 0) // bits that are not kept
	return e<<subBits + int(v>>e)        //nolint:gosec // less than histogramBuckets
}

// middleOf returns the middle of a bucket's values.
func middleOf(bucket int) time.Duration {
	e := max(bucket>>subBits-1, 0)
	low := int64(bucket-e<<subBits) << e
	return time.Duration(low)*time.Microsecond + time.Duration((int64(1)<<e)-1)*time.Microsecond/2
}

// quantile returns the duration that the share q of all, from 0 to 1, doesn't exceed; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return middleOf(i)
		}
	}
	return 0
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d.Microseconds())) / 1000
}
