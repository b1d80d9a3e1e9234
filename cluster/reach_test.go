package cluster

import (
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

func TestReach(t *testing.T) {
	t.Parallel()
	began := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		// here tells whether the database answers this node, and there what others tell, in each second.
		here  func(second int) bool
		there func(second int) map[messages.Incarnation][]uint32
		want  time.Duration // for how long it has answered others alone, after 20 s
	}{
		"others only": {
			func(int) bool { return false },
			func(int) map[messages.Incarnation][]uint32 { return map[messages.Incarnation][]uint32{"b/1": {0, 1}} }, 20 * time.Second,
		},
		"one after the other": {
			func(int) bool { return false },
			func(s int) map[messages.Incarnation][]uint32 {
				if s < 10 {
					return map[messages.Incarnation][]uint32{"b/1": {1}, "c/1": nil}
				}
				return map[messages.Incarnation][]uint32{"b/1": nil, "c/1": {1}}
			}, 20 * time.Second,
		},
		"nobody": {
			func(int) bool { return false },
			func(int) map[messages.Incarnation][]uint32 {
				return map[messages.Incarnation][]uint32{"b/1": {0}, "c/1": {}}
			}, 0,
		},
		"this node too, once": {
			func(s int) bool { return s == 15 },
			func(int) map[messages.Incarnation][]uint32 { return map[messages.Incarnation][]uint32{"b/1": {1}} }, 4 * time.Second,
		},
		"others for a while": {
			func(int) bool { return false },
			func(s int) map[messages.Incarnation][]uint32 {
				if s < 12 || s > 15 {
					return map[messages.Incarnation][]uint32{"b/1": {1}}
				}
				return map[messages.Incarnation][]uint32{"b/1": nil}
			}, 4 * time.Second,
		},
		"others that are not heard of any more": {
			func(int) bool { return false },
			func(s int) map[messages.Incarnation][]uint32 {
				if s < 12 {
					return map[messages.Incarnation][]uint32{"b/1": {1}}
				}
				return nil
			}, 0,
		},
		"others of an older version": {
			func(int) bool { return false },
			func(int) map[messages.Incarnation][]uint32 { return map[messages.Incarnation][]uint32{"b/1": nil} }, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reach{told: map[messages.Incarnation]answering{}, alone: map[int]time.Time{}}
			var got time.Duration
			for s := range 21 {
				now := began.Add(time.Duration(s) * time.Second)
				for who, shards := range test.there(s) {
					r.told[who] = answering{shards, now}
				}
				got = r.step(1, test.here(s), now)
				if other := r.step(2, false, now); other != 0 {
					t.Fatalf("after %d s a database that answers nobody has answered others for %v", s, other)
				}
			}
			if got != test.want {
				t.Errorf("it has answered others alone for %v, want %v", got, test.want)
			}
		})
	}
}
