package order

import (
	"container/list"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// room bounds what decisions that evaluate much have in memory: values that are being made, and what came of them until it is durable. A
// decision of a definition that has evaluated much lately waits in line until there is room, outside of its partition's turn. The
// namespaces take turns, so that one holds up itself before others. What an evaluation turns out to need when it was not in line is taken
// beyond the bound, and the others wait until that is given back.
type room struct {
	// most is all that there is, in bytes, and each what a decision gets until it is known how much it needs. If that is more than all,
	// one decides at a time.
	most, each int64
	// known are the definitions that have evaluated much lately, and until when that counts; nil: none has.
	known atomic.Pointer[map[string]time.Time]

	mu    sync.Mutex
	left  int64
	lines map[string]*list.List // of *place, by namespace; there is none that is empty
	turn  []string              // the namespaces that have a line, in the order of their turns
}

const (
	// heavyFor is how long a definition counts as one that evaluates much after it has.
	heavyFor = time.Minute
	// heavyMost is how many such definitions are known at once; of more, those are forgotten whose time is over first.
	heavyMost = 1000
)

func newRoom(most, each int64) *room {
	return &room{most: most, each: each, left: most, lines: map[string]*list.List{}}
}

// place is what a decision has of the room, or where it stands in line. Its zero value is neither. It belongs to one order.
type place struct {
	// granted is called once the decision has come to its turn, by any goroutine. It must not block.
	granted func()

	space  string
	inLine *list.Element // nil: it does not wait
	bytes  int64
}

// isHeavy tells whether a definition has evaluated much lately.
func (r *room) isHeavy(definition string, now func() time.Time) bool {
	known := r.known.Load()
	if known == nil {
		return false
	}
	until, is := (*known)[definition]
	return is && now().Before(until)
}

// note notes that a definition has evaluated much.
func (r *room) note(definition string, now time.Time) {
	until := now.Add(heavyFor)
	r.mu.Lock()
	defer r.mu.Unlock()
	known := map[string]time.Time{}
	if before := r.known.Load(); before != nil {
		if until.Sub((*before)[definition]) < heavyFor/2 {
			return
		}
		known = maps.Clone(*before)
	}
	maps.DeleteFunc(known, func(_ string, until time.Time) bool { return until.Before(now) })
	for len(known) >= heavyMost {
		first, at := "", until
		for name, until := range known {
			if !until.After(at) {
				first, at = name, until
			}
		}
		delete(known, first)
	}
	known[definition] = until
	r.known.Store(&known)
}

// enter takes room for a decision of a definition, or puts it in line; then granted is called later.
func (r *room) enter(p *place, definition string, granted func()) (now bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.turn) == 0 && r.hasRoom() {
		r.give(p)
		return true
	}
	p.space, _, _ = strings.Cut(definition, "/")
	p.granted = granted
	line := r.lines[p.space]
	if line == nil {
		line = list.New()
		r.lines[p.space] = line
		r.turn = append(r.turn, p.space)
	}
	p.inLine = line.PushBack(p)
	return false
}

// force takes room for a decision that turned out to need it, whether there is any or not.
func (r *room) force(p *place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.bytes == 0 {
		r.give(p)
	}
}

// keep says how much a decision has in memory still; 0: nothing, also if it stood in line.
func (r *room) keep(p *place, bytes int64) {
	if p.bytes == bytes && p.inLine == nil {
		return
	}
	r.mu.Lock()
	if p.inLine != nil {
		r.withdraw(p)
	}
	r.left += p.bytes - bytes
	p.bytes = bytes
	granted := r.serve()
	r.mu.Unlock()
	for _, g := range granted {
		g()
	}
}

func (r *room) hasRoom() bool { return r.left >= r.each || r.left == r.most }

func (r *room) give(p *place) {
	p.bytes = r.each
	r.left -= r.each
}

// withdraw takes a place out of its line.
func (r *room) withdraw(p *place) {
	line := r.lines[p.space]
	line.Remove(p.inLine)
	p.inLine = nil
	if line.Len() > 0 {
		return
	}
	delete(r.lines, p.space)
	for i, space := range r.turn {
		if space == p.space {
			r.turn = append(r.turn[:i], r.turn[i+1:]...)
			return
		}
	}
}

// serve gives room to those whose turn it is, and returns whom to tell.
func (r *room) serve() (granted []func()) {
	for len(r.turn) > 0 && r.hasRoom() {
		space := r.turn[0]
		p := r.lines[space].Front().Value.(*place) //nolint:errcheck,forcetypeassert // nothing else is in there
		r.withdraw(p)
		if r.lines[space] != nil {
			r.turn = append(r.turn[1:], space)
		}
		r.give(p)
		granted = append(granted, p.granted)
	}
	return granted
}

// recordCopies is how many times the size of its record a decision takes until it is durable, about: what was evaluated, encoded, and
// the record itself.
const recordCopies = 3

// granted tells an order that it is its turn to decide.
type granted struct{ to *instance }

// waits tells whether messages have to wait until there is room to decide them. Then they are buffered.
func (i *instance) waits(batch []any) bool {
	if i.room.known.Load() == nil {
		return false
	}
	var definition string
	if i.state != nil {
		definition = i.state.Definition().Ref.String()
	} else if e, ok := batch[0].(*nodev1.Envelope); ok { // there is a message, or there would be nothing to decide
		definition = e.GetAccept().GetOrder().GetDefinition()
	}
	if !i.room.isHeavy(definition, i.Now) {
		return false
	}
	self, root, message := i.self, i.root, &granted{i}
	if i.room.enter(&i.place, definition, func() { root.Send(self, message) }) {
		return false
	}
	i.buffered, i.one[0] = append(i.buffered, batch...), nil
	return true
}

// goOn decides messages that have waited, or goes on with a decision that was cut short, once there is room.
func (i *instance) goOn(batch []any) {
	if !i.waits(batch) {
		i.decide(batch)
	}
}
