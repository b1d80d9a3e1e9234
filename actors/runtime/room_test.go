package runtime

import (
	"slices"
	"testing"
)

// waiting notes who is given room.
type waiting struct {
	*Room

	got []string
}

func (l *waiting) enter(name, space string) *Place {
	p := &Place{}
	if l.Enter(p, space, func() { l.got = append(l.got, name) }) {
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

// Spaces take turns, and within one it goes by order.
func TestRoomByTurns(t *testing.T) {
	t.Parallel()
	l := &waiting{Room: NewRoom(20, 10)}
	a1, a2 := l.enter("a1", "a"), l.enter("a2", "a")
	l.enter("a3", "a")
	a4 := l.enter("a4", "a")
	l.enter("b1", "b")
	l.expect(t, "a1", "a2")
	l.Keep(a1, 1) // durable it is not yet
	l.expect(t)
	l.Keep(a2, 0)
	l.expect(t, "a3")
	l.Keep(a4, 0) // it is given up
	l.Keep(a1, 0)
	l.expect(t, "b1")
	l.enter("a5", "a")
	l.expect(t)
}

// Who turns out to need much is given it, and others wait for longer.
func TestRoomByForce(t *testing.T) {
	t.Parallel()
	l := &waiting{Room: NewRoom(20, 10)}
	var big, other Place
	l.Force(&big)
	l.Force(&big) // it has it
	l.Force(&other)
	if l.left != 0 {
		t.Errorf("%d are left", l.left)
	}
	l.Keep(&big, 15)
	l.enter("a", "a")
	l.Keep(&other, 0)
	l.expect(t)
	l.Keep(&big, 10)
	l.expect(t, "a")
}

// If one needs more than all, it has all of it alone.
func TestRoomForOne(t *testing.T) {
	t.Parallel()
	l := &waiting{Room: NewRoom(5, 10)}
	a := l.enter("a", "a")
	l.enter("b", "b")
	l.expect(t, "a")
	l.Keep(a, 1)
	l.expect(t)
	l.Keep(a, 0)
	l.expect(t, "b")
}
