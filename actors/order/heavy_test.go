package order

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// waiting notes who is given room.
type waiting struct {
	*room

	got []string
}

func (l *waiting) enter(name, definition string) *place {
	p := &place{}
	if l.room.enter(p, definition, func() { l.got = append(l.got, name) }) {
		l.got = append(l.got, name)
	}
	return p
}

func (l *waiting) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(l.got, want) {
		t.Errorf("%v were given room, want %v", l.got, want)
	}
	l.got = nil
}

// Namespaces take turns, and within one it goes by order.
func TestRoomByTurns(t *testing.T) {
	t.Parallel()
	l := &waiting{room: newRoom(20, 10)}
	a1, a2 := l.enter("a1", "a/x:1"), l.enter("a2", "a/x:1")
	l.enter("a3", "a/x:1")
	a4 := l.enter("a4", "a/y:1")
	l.enter("b1", "b/x:1")
	l.expect(t, "a1", "a2")
	l.keep(a1, 1) // durable it is not yet
	l.expect(t)
	l.keep(a2, 0)
	l.expect(t, "a3")
	l.keep(a4, 0) // it is given up
	l.keep(a1, 0)
	l.expect(t, "b1")
	l.enter("a5", "a/x:1")
	l.expect(t)
}

// Who turns out to need much is given it, and others wait for longer.
func TestRoomByForce(t *testing.T) {
	t.Parallel()
	l := &waiting{room: newRoom(20, 10)}
	var big, other place
	l.force(&big)
	l.force(&big) // it has it
	l.force(&other)
	if l.left != 0 {
		t.Errorf("%d are left", l.left)
	}
	l.keep(&big, 15)
	l.enter("a", "a/x:1")
	l.keep(&other, 0)
	l.expect(t)
	l.keep(&big, 10)
	l.expect(t, "a")
}

// If one needs more than all, it has all of it alone.
func TestRoomForOne(t *testing.T) {
	t.Parallel()
	l := &waiting{room: newRoom(5, 10)}
	a := l.enter("a", "a/x:1")
	l.enter("b", "b/x:1")
	l.expect(t, "a")
	l.keep(a, 1)
	l.expect(t)
	l.keep(a, 0)
	l.expect(t, "b")
}

// That a definition evaluates much is forgotten, and not more is known than a bound.
func TestHeavyIsForgotten(t *testing.T) {
	t.Parallel()
	r, now := newRoom(1, 1), time.Unix(1000, 0)
	clock := func() time.Time { return now }
	if r.isHeavy("a", clock) {
		t.Error("it is heavy before it was")
	}
	r.note("a", now)
	now = now.Add(heavyFor - 1)
	if !r.isHeavy("a", clock) || r.isHeavy("b", clock) {
		t.Error("it is not known, or another one is")
	}
	r.note("a", now)
	now = now.Add(heavyFor - 1)
	if !r.isHeavy("a", clock) {
		t.Error("it is forgotten though it was heavy again")
	}
	now = now.Add(1)
	if r.isHeavy("a", clock) {
		t.Error("it is not forgotten")
	}
	for i := range 2 * heavyMost {
		now = now.Add(time.Microsecond)
		r.note(fmt.Sprint(i), now)
	}
	if n := len(*r.known.Load()); n != heavyMost || !r.isHeavy(fmt.Sprint(2*heavyMost-1), clock) || r.isHeavy("0", clock) {
		t.Errorf("%d are known, or not the last ones", n)
	}
}
