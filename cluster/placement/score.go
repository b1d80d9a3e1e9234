package placement

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/holdfast-run/holdfast/messages"
)

// fraction is how many bits a logarithm has behind the point. It has at most 7 before it, and spare more make room for the division.
const (
	fraction = 32
	spare    = 25
)

// hashOf is the hash of a node's name and a partition, before weights. The buffer holds the name, and is used again.
func hashOf(name []byte, p messages.Partition) uint64 {
	return xxhash.Sum64(binary.BigEndian.AppendUint16(name, uint16(p)))
}

// scoreOf returns the place of a hash among those of one partition; the least is the first. It is −log₂(hash ÷ 2⁶⁴) ÷ weight, so that
// the probability to be the first is a member's part of the sum of weights.
func scoreOf(hash uint64, weight uint32) uint64 {
	return minusLog2(hash) << spare / uint64(weight)
}

// minusLog2 returns −log₂(h ÷ 2⁶⁴) × 2³², rounded up; that of 0 counts as that of 1.
func minusLog2(h uint64) uint64 {
	h = max(h, 1)
	zeros := bits.LeadingZeros64(h)
	log := uint64(63 - zeros) //nolint:gosec // there are at most 63
	// x is the mantissa, from 1 up to 2 as 2⁶³ up to 2⁶⁴. Squared, it is at least 2 if the next bit of its logarithm is 1.
	x := h << zeros
	for range fraction {
		hi, lo := bits.Mul64(x, x)
		bit := hi >> 63
		log = log<<1 | bit
		x = hi<<(bit^1) | lo>>63&(bit^1)
	}
	return 64<<fraction - log
}
