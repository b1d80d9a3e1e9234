package share

import (
	"math"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Limit is what adapters may get of an activity, in the whole cluster. A zero field means no bound.
type Limit struct {
	// Rate is the most tasks a second that are sent, on average. At once there may be one and a tenth of them.
	Rate float64
	// Concurrency is the most tasks that adapters have at a time.
	Concurrency int
}

// Seats are parts of a limit.
type Seats struct{ Rate, Concurrency int }

// mostRateSeats is into how many parts a rate is divided at most.
const mostRateSeats = 100

// seats is how many a limit has.
func (l Limit) seats() Seats {
	s := Seats{Concurrency: l.Concurrency}
	if l.Rate > 0 {
		s.Rate = int(min(math.Floor(burst(l.Rate)), mostRateSeats))
	}
	return s
}

// burst is how many tasks there may be at once.
func burst(rate float64) float64 { return 1 + rate/10 }

// Partitions is a set of them.
type Partitions [messages.Partitions / 8]byte

// Has tells whether a partition is in it.
func (s *Partitions) Has(p messages.Partition) bool { return s[p/8]&(1<<(p%8)) != 0 }

// Set puts a partition into it, or takes it out.
func (s *Partitions) Set(p messages.Partition, yes bool) {
	if s[p/8] &^= 1 << (p % 8); yes {
		s[p/8] |= 1 << (p % 8)
	}
}

// add puts in what another set has.
func (s *Partitions) add(other *Partitions) {
	for i := range s {
		s[i] |= other[i]
	}
}

// within tells whether another set has all that is in this one.
func (s *Partitions) within(other *Partitions) bool {
	for i := range s {
		if s[i]&^other[i] != 0 {
			return false
		}
	}
	return true
}

// whole tells whether all partitions are in it.
func (s *Partitions) whole() bool {
	for _, b := range s {
		if b != math.MaxUint8 {
			return false
		}
	}
	return true
}

// Report is what a holder says of itself. It asks for a share.
type Report struct {
	By messages.Incarnation
	// Number rises with each report.
	Number uint64
	// Granter is that of the last grant that was applied, Grant its number, and Round that of the round that it told.
	Granter      messages.Epoch
	Grant, Round uint64
	// Held is the share, if it has not expired, and Of the rate that the seats are of.
	Held Seats
	Of   float64
	// Under is how many attempts are under way, those of lost partitions included until that is settled. Lost: there are such.
	Under int
	Lost  bool
	// Waiting is how many tasks could be sent besides, if there were no limit. Active: some were sent lately.
	Waiting int
	Active  bool
	// Counted are the partitions whose attempts are counted.
	Counted Partitions
}

// Grant answers a report.
type Grant struct {
	To     messages.Incarnation
	Report uint64
	// Granter is the epoch of the partition whose owner grants, and Number that of the grant.
	Granter messages.Epoch
	Number  uint64
	Seats   Seats
	// Limit is what the seats are of.
	Limit Limit
	// Idle is how long the seats of the rate have been idle that the holder had not before.
	Idle time.Duration
	// Scarce: others need seats that this holder has, or may get.
	Scarce bool
	// Round is that of the round that was begun last. What was lost until the report Settled is counted elsewhere.
	Round, Settled uint64
}

// Config says how long things last. All nodes need the same; the zero value of a field means its default.
type Config struct {
	// Expiry is how long a share may be used after it was asked for; default 2 s. If it is longer, a dead node's part of a rate is unused
	// for longer, and a new granter waits longer; if it is shorter, a network that is slow for a moment stops what is limited.
	Expiry time.Duration
	// Hold is how long a report waits for its answer, if nothing has changed, of a holder that has a share or needs one, and Rest the same
	// of another one. Defaults 400 ms, 1 s. Together with the way of the messages they must be shorter than Expiry.
	Hold, Rest time.Duration
	// Again is after how long without an answer a report is taken to be lost; default 1.5 s.
	Again time.Duration
	// Patience is how long a round may last; default 1 min. After that a partition that nobody has counted is taken to have nothing under
	// way.
	Patience time.Duration
	// Slice is how long a seat stays with one of several holders that need it in turn; default 1 s.
	Slice time.Duration
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	for _, f := range []struct {
		of    *time.Duration
		usual time.Duration
	}{
		{&c.Expiry, 2 * time.Second},
		{&c.Hold, 400 * time.Millisecond},
		{&c.Rest, time.Second},
		{&c.Again, 1500 * time.Millisecond},
		{&c.Patience, time.Minute},
		{&c.Slice, time.Second},
	} {
		if *f.of == 0 {
			*f.of = f.usual
		}
	}
	return c
}

// certain is after how long a share has certainly expired at its holder, whose clock may be slower.
func (c Config) certain() time.Duration { return c.Expiry + c.Expiry/20 }
