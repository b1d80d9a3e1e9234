package runtime

import (
	"container/list"
	"slices"
	"sync"
)

// Room bounds what is used at once of something, such as memory in bytes. Who needs some of it takes what one needs at first, and stands in
// line while there is none. Those in line are of spaces, such as namespaces, which take turns: so each holds up itself before others.
type Room struct {
	most, each int64

	mu    sync.Mutex
	left  int64
	lines map[string]*list.List // of *Place, by space; there is none that is empty
	turn  []string              // the spaces that have a line, in the order of their turns
}

// NewRoom makes a room. most is all that there is, and each what one takes at first. If that is more than all, one has it at a time.
func NewRoom(most, each int64) *Room {
	return &Room{most: most, each: each, left: most, lines: map[string]*list.List{}}
}

// Place is what one has of a room, or where one stands in line. Its zero value is neither.
type Place struct {
	granted func()
	space   string
	inLine  *list.Element // nil: it does not wait
	has     int64
}

// Has tells what one has of the room. It must not be asked while one stands in line.
func (p *Place) Has() int64 { return p.has }

// Enter takes room, or else puts the place in line; then granted is called once there is some, by any goroutine. It must not block.
func (r *Room) Enter(p *Place, space string, granted func()) (now bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.turn) == 0 && r.hasRoom() {
		r.give(p)
		return true
	}
	p.space, p.granted = space, granted
	line := r.lines[space]
	if line == nil {
		line = list.New()
		r.lines[space] = line
		r.turn = append(r.turn, space)
	}
	p.inLine = line.PushBack(p)
	return false
}

// Force takes room for one who has none and turns out to need it, whether there is any or not: then others wait for longer.
func (r *Room) Force(p *Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.has == 0 {
		r.give(p)
	}
}

// Keep says how much one has still. 0: nothing, and one stands in no line any more.
func (r *Room) Keep(p *Place, much int64) {
	r.mu.Lock()
	if p.inLine != nil {
		r.withdraw(p)
	}
	r.left += p.has - much
	p.has = much
	granted := r.serve()
	r.mu.Unlock()
	for _, g := range granted {
		g()
	}
}

func (r *Room) hasRoom() bool { return r.left >= r.each || r.left == r.most }

func (r *Room) give(p *Place) {
	p.has = r.each
	r.left -= r.each
}

// withdraw takes a place out of its line.
func (r *Room) withdraw(p *Place) {
	line := r.lines[p.space]
	line.Remove(p.inLine)
	p.inLine = nil
	if line.Len() == 0 {
		delete(r.lines, p.space)
		i := slices.Index(r.turn, p.space)
		r.turn = slices.Delete(r.turn, i, i+1)
	}
}

// serve gives room to those whose turn it is, and returns whom to tell.
func (r *Room) serve() (granted []func()) {
	for len(r.turn) > 0 && r.hasRoom() {
		space := r.turn[0]
		p := r.lines[space].Front().Value.(*Place) //nolint:errcheck,forcetypeassert // nothing else is in there
		r.withdraw(p)
		if r.lines[space] != nil {
			r.turn = append(r.turn[1:], space)
		}
		r.give(p)
		granted = append(granted, p.granted)
	}
	return granted
}
