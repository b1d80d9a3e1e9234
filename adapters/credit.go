package adapters

// credits shares the capacity of one activity out among the streams. It is a step function: no clock, no lock.
//
// Every task slot of the activity is in one of four places: free, granted to a stream (outstanding), taken by a task that
// is not executed yet (active), or of a stream that broke (then it is free again). Outstanding and active together
// never exceed the capacity.
type credits struct {
	capacity int
	active   int // tasks taken and not yet executed, also those of streams that broke
	shares   []*share
	turn     int // the index of the share that is first when several deserve a slot equally
}

// share is what one stream has of an activity's credits.
type share struct {
	granted  uint64 // the credits that it was granted since the stream began: Credit.total
	taken    uint64 // tasks that it sent
	returned uint64 // the credits that its node returned
	revoking uint64 // the credits that were revoked, and have no answer yet
	active   int    // its tasks that are not yet executed
	waiting  uint64 // tasks that wait at its node
	closed   bool   // it gets nothing more
	dirty    bool   // the node was not told granted since it changed
}

// outstanding is how many tasks the stream may still send.
func (s *share) outstanding() uint64 { return s.granted - s.taken - s.returned }

// join adds a stream.
func (c *credits) join() *share {
	s := &share{}
	c.shares = append(c.shares, s)
	return s
}

// leave removes a stream: what it did not use is free. Its active tasks go on.
func (c *credits) leave(s *share) {
	for i, other := range c.shares {
		if other == s {
			c.shares = append(c.shares[:i], c.shares[i+1:]...)
			return
		}
	}
}

// take counts a task that a stream sent; false if it had no credit for it.
func (c *credits) take(s *share) bool {
	if s.outstanding() == 0 {
		return false
	}
	s.taken++
	s.active++
	c.active++
	return true
}

// done counts a task as executed, or not to be executed.
func (c *credits) done(s *share) {
	s.active--
	c.active--
}

// giveBack counts credits that a node returned, whether they were revoked or not; false if the stream had fewer.
func (c *credits) giveBack(s *share, count uint64) bool {
	if count > s.outstanding() {
		return false
	}
	s.revoking = 0
	s.returned += count
	return true
}

func (c *credits) free() int {
	free := c.capacity - c.active
	for _, s := range c.shares {
		free -= int(s.outstanding()) //nolint:gosec // at most the capacity
	}
	return free
}

// has is how many slots of the capacity a stream occupies.
func (s *share) has() int { return int(s.outstanding()) + s.active } //nolint:gosec // at most the capacity

// targets returns what a stream should have: with tasks waiting at its node, and without. If tasks wait anywhere, a
// stream without any keeps a quarter of an equal share, so that the first tasks to come need not wait for a credit.
func (c *credits) targets() (busy, idle int) {
	open, hungry := 0, 0
	for _, s := range c.shares {
		if s.closed {
			continue
		}
		open++
		if s.waiting > 0 {
			hungry++
		}
	}
	if open == 0 {
		return 0, 0
	}
	equal := (c.capacity + open - 1) / open
	if hungry == 0 || hungry == open {
		return equal, equal
	}
	idle = c.capacity / (4 * open)
	return (c.capacity - idle*(open-hungry) + hungry - 1) / hungry, idle
}

// grant gives the free slots to the streams that lack most of what they should have, and marks them dirty. It tells
// whether it gave any.
func (c *credits) grant() (some bool) {
	free := c.free()
	if free <= 0 {
		return false
	}
	if len(c.shares) == 1 { // the usual case of one node
		s := c.shares[0]
		if s.closed {
			return false
		}
		s.granted += uint64(free)
		s.dirty = true
		return true
	}
	busy, idle := c.targets()
	for ; free > 0; free-- {
		var best *share
		lack := 0
		for i := range c.shares {
			s := c.shares[(c.turn+i)%len(c.shares)]
			target := idle
			if s.waiting > 0 {
				target = busy
			}
			if d := target - s.has(); !s.closed && d > lack {
				best, lack = s, d
			}
		}
		if best == nil {
			return some
		}
		c.turn++
		best.granted++
		best.dirty, some = true, true
	}
	return some
}

// revoke returns how many credits to revoke from a stream: those that it has beyond its target and doesn't use, if another stream has
// tasks waiting and too few credits for them, or next to no credits. A closed stream needs none.
func (c *credits) revoke(s *share) uint64 {
	switch {
	case s.revoking > 0:
		return 0
	case s.closed:
		s.revoking = s.outstanding()
		return s.revoking
	case s.waiting > 0 || len(c.shares) == 1:
		return 0
	}
	busy, idle := c.targets()
	keep := uint64(max(idle-s.active, 0))
	if s.outstanding() <= keep {
		return 0
	}
	for _, other := range c.shares {
		if other.closed {
			continue
		}
		if other.waiting > 0 && other.has() < busy || other.has() < c.capacity/(4*len(c.shares)) {
			s.revoking = s.outstanding() - keep
			return s.revoking
		}
	}
	return 0
}
