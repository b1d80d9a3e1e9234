package activity

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// held is what a room holds, by priority.
type held [dispatch.Priorities][]int64

// ones is what those take of which there is one of a priority.
func ones(all []held) (sum int64) {
	for _, h := range all {
		for _, tasks := range h {
			if len(tasks) > 0 {
				sum += tasks[0]
			}
		}
	}
	return sum
}

// TestRooms: whatever tasks come to however many rooms, they take no more memory than they may, all that is given back is there again, and
// who has adapters can always have one task, whatever others have that have none.
func TestRooms(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		all := &rooms{most: 1 << (10 + r.IntN(15))}
		list := make([]*room, 1+r.IntN(40))
		holds := make([]held, len(list))
		for i := range list {
			list[i] = &room{capacity: max(all.most/16, 1), all: all, served: &atomic.Int64{}}
		}
		for range 2000 {
			i, p := r.IntN(len(list)), r.IntN(dispatch.Priorities)
			x, h := list[i], &holds[i][p]
			switch r.IntN(4) {
			case 0, 1:
				size := x.size(r.IntN(1 << (5 + r.IntN(15))))
				if x.reserveWithin(x.capacity, p, size) {
					*h = append(*h, size)
				} else if x.served.Load() > 0 && len(*h) == 0 {
					t.Fatalf("seed %d: a room that is served, and empty, gets nothing; %d of %d are used", seed, all.used.Load(), all.most)
				}
			case 2:
				if n := len(*h); n > 0 {
					x.release(p, (*h)[n-1])
					*h = (*h)[:n-1]
				}
			case 3:
				x.served.Store(int64(r.IntN(2)))
			}
			if beyond := all.used.Load() - all.most; beyond > ones(holds) {
				t.Fatalf("seed %d: %d of %d are used, and %d by those that have one task", seed, all.used.Load(), all.most, ones(holds))
			}
		}
		for i, x := range list {
			for p := range holds[i] {
				for _, size := range holds[i][p] {
					x.release(p, size)
				}
			}
		}
		if left := all.used.Load(); left != 0 {
			t.Fatalf("seed %d: %d bytes are used by nobody", seed, left)
		}
	}
}

// TestRoomsOfThoseAway: however many tasks come for activities that have no adapters, of whatever size, they leave room for one that has.
func TestRoomsOfThoseAway(t *testing.T) {
	t.Parallel()
	all := &rooms{most: 4 << 20}
	var nobody, somebody atomic.Int64
	somebody.Store(1)
	for range 10_000 {
		away := &room{capacity: all.most / 16, all: all, served: &nobody}
		for away.reserve(5, away.size(1<<20), false) {
		}
	}
	if used := all.used.Load(); used > all.most {
		t.Errorf("those away have %d of %d", used, all.most)
	}
	there := &room{capacity: all.most / 16, all: all, served: &somebody}
	if !there.reserve(5, there.size(1<<20), false) {
		t.Error("there is no room for an activity that has adapters")
	}
	if most, now := (&room{capacity: all.most / 16, all: all, served: &nobody}).refillable(5); most > all.most-all.used.Load() || now {
		t.Errorf("%d may be used to refill, now: %v", most, now)
	}
}
