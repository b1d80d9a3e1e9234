package adapters

import (
	"testing"

	"pgregory.net/rapid"
)

// TestCredits lets streams come, go, send and return at random, and checks that what is granted and not yet executed never
// exceeds the capacity, that all of it is used, and that no stream with waiting tasks starves.
func TestCredits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &credits{capacity: rapid.IntRange(1, 40).Draw(t, "capacity")}
		var active []*share
		pick := func(t *rapid.T) *share {
			if len(c.shares) == 0 {
				t.Skip("no streams")
			}
			return rapid.SampledFrom(c.shares).Draw(t, "share")
		}
		settle := func(t *rapid.T) {
			c.grant()
			for range 2 { // a revocation, its answer, and what that makes possible
				for _, s := range c.shares {
					if n := c.revoke(s); n > 0 && !c.giveBack(s, n) {
						t.Fatalf("%d were asked back, and could not be given: %+v", n, s)
					}
				}
				c.grant()
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				if len(c.shares) < 5 {
					c.join()
					settle(t)
				}
			},
			"leave": func(t *rapid.T) {
				c.leave(pick(t))
				settle(t)
			},
			"close": func(t *rapid.T) { pick(t).closed = true },
			"send": func(t *rapid.T) {
				s := pick(t)
				if had := s.outstanding() > 0; c.take(s) != had {
					t.Fatalf("taken without credit, or refused with it: %+v", s)
				} else if had {
					active = append(active, s)
				}
			},
			"execute": func(t *rapid.T) {
				if len(active) == 0 {
					t.Skip("nothing is active")
				}
				i := rapid.IntRange(0, len(active)-1).Draw(t, "job")
				c.done(active[i])
				active = append(active[:i], active[i+1:]...)
				c.grant()
			},
			"wait": func(t *rapid.T) {
				pick(t).waiting = rapid.Uint64Range(0, 3).Draw(t, "waiting")
				settle(t)
				equal := (c.capacity + len(c.shares) - 1) / len(c.shares)
				for _, s := range c.shares {
					if s.waiting > 0 && s.has() == 0 && !s.closed && c.idle(s) > equal {
						t.Fatalf("a stream has waiting tasks and no credits, others have idle ones: %+v, all %+v", s, c.shares)
					}
				}
			},
			"return too much": func(t *rapid.T) {
				if s := pick(t); c.giveBack(s, s.outstanding()+1) {
					t.Fatalf("more was given back than there was: %+v", s)
				}
			},
			"": func(t *rapid.T) {
				used, open := c.active, false
				for _, s := range c.shares {
					used += int(s.outstanding())
					open = open || !s.closed
				}
				if used > c.capacity || c.active != len(active) {
					t.Fatalf("%d of %d used, %d of %d active", used, c.capacity, c.active, len(active))
				}
				if one := len(c.shares) == 1 && open; one && c.grant() && c.free() > 0 {
					t.Fatalf("%d are free with one stream", c.free())
				}
			},
		})
	})
}

// idle is what other streams without waiting tasks have to spare.
func (c *credits) idle(s *share) int {
	n := 0
	for _, other := range c.shares {
		if other != s && other.waiting == 0 && !other.closed {
			n += int(other.outstanding())
		}
	}
	return n
}

func TestStreamsShareEqually(t *testing.T) {
	t.Parallel()
	c := &credits{capacity: 30}
	first := c.join()
	c.grant()
	if first.outstanding() != 30 {
		t.Fatalf("alone: %d", first.outstanding())
	}
	second := c.join()
	if c.grant(); second.outstanding() != 0 {
		t.Fatalf("nothing was free, but %d were granted", second.outstanding())
	}
	if n := c.revoke(first); n != 15 || !c.giveBack(first, n) {
		t.Fatalf("revoked %d", n)
	}
	if c.grant(); first.outstanding() != 15 || second.outstanding() != 15 {
		t.Fatalf("shares %d and %d", first.outstanding(), second.outstanding())
	}
	second.waiting = 100 // the first keeps a quarter of its share, 30/8
	if n := c.revoke(first); n != 12 || !c.giveBack(first, n) {
		t.Fatalf("revoked %d", n)
	}
	if c.grant(); second.outstanding() != 27 {
		t.Fatalf("shares %d and %d", first.outstanding(), second.outstanding())
	}
}
