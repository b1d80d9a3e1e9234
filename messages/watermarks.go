package messages

import "cmp"

// Watermarks are what a journal has confirmed to an incarnation: lower bounds for what any database that is to be used for it must show.
type Watermarks struct {
	// Journal is the name of the journal, by which a database can be told from that of another one.
	Journal string `json:"journal"`
	// Shards are those of the journal, in their order. Of one that the incarnation has not reached nothing is known.
	Shards []ShardWatermarks `json:"shards"`
}

// ShardWatermarks are those of one shard.
type ShardWatermarks struct {
	// Generation is that of the shard when it confirmed them. They bind no database of a later one.
	Generation Generation `json:"generation"`
	// Batches are the numbers of the last batches: first of the incarnation itself, then of each of its lanes.
	Batches []int64 `json:"batches"`
}

// Of returns those of a shard.
func (w Watermarks) Of(shard int) ShardWatermarks {
	if shard >= len(w.Shards) {
		return ShardWatermarks{}
	}
	return w.Shards[shard]
}

// Cover tells whether these are as high as other ones, wherever those say something.
func (w Watermarks) Cover(other Watermarks) bool {
	for n, s := range other.Shards {
		if !w.Of(n).cover(s) {
			return false
		}
	}
	return true
}

func (s ShardWatermarks) cover(other ShardWatermarks) bool {
	if s.Generation != other.Generation {
		return s.Generation > other.Generation || len(other.Batches) == 0
	}
	for i, b := range other.Batches {
		if b > 0 && (i >= len(s.Batches) || s.Batches[i] < b) {
			return false
		}
	}
	return true
}

// Raised returns the higher ones of these and others: the later generation's, and of one generation the higher numbers.
func (w Watermarks) Raised(other Watermarks) Watermarks {
	raised := Watermarks{Journal: cmp.Or(other.Journal, w.Journal), Shards: make([]ShardWatermarks, max(len(w.Shards), len(other.Shards)))}
	for n := range raised.Shards {
		raised.Shards[n] = w.Of(n).raised(other.Of(n))
	}
	return raised
}

func (s ShardWatermarks) raised(other ShardWatermarks) ShardWatermarks {
	switch {
	case s.Generation > other.Generation:
		return s
	case s.Generation < other.Generation:
		return other
	}
	batches := make([]int64, max(len(s.Batches), len(other.Batches)))
	copy(batches, s.Batches)
	for i, b := range other.Batches {
		batches[i] = max(batches[i], b)
	}
	return ShardWatermarks{Generation: s.Generation, Batches: batches}
}
