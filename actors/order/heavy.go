package order

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// heavy knows the definitions that have evaluated much lately. Decisions about their orders are heavy work: they are made outside of their
// partition's turn, keep its pace, and wait before until there is room for what they make. What an evaluation of another one turns out to
// need is taken beyond the bound, and others wait until that is given back.
type heavy struct {
	mu sync.Mutex // held by who changes it
	// known tells until when that counts; nil: none has.
	known atomic.Pointer[map[string]time.Time]
}

const (
	// heavyFor is how long a definition counts as one that evaluates much after it has.
	heavyFor = 10 * time.Minute
	// heavyMost is how many such definitions are known at once; of more, those are forgotten whose time is over first.
	heavyMost = 10_000
	// heavyInput and heavyOrder are the lengths in bytes of an input, and of what an order has in memory, from which on decisions are heavy
	// work, whatever its definition.
	heavyInput, heavyOrder = 64 << 10, 256 << 10
)

// has tells whether a definition has evaluated much lately.
func (h *heavy) has(definition string, now func() time.Time) bool {
	known := h.known.Load()
	if known == nil {
		return false
	}
	until, is := (*known)[definition]
	return is && now().Before(until)
}

// note notes that a definition has evaluated much.
func (h *heavy) note(definition string, now time.Time) {
	until := now.Add(heavyFor)
	h.mu.Lock()
	defer h.mu.Unlock()
	known := map[string]time.Time{}
	if before := h.known.Load(); before != nil {
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
	h.known.Store(&known)
}

// recordCopies is how many times the size of its record a decision takes until it is durable, about: what was evaluated, encoded, and
// the record itself.
const recordCopies = 3

// granted tells an order that it is its turn to decide.
type granted struct{ to *instance }

// Heavy tells whether a definition has evaluated or checked much lately.
func (p *Parts) Heavy(definition string) bool { return p.heavy.has(definition, p.Now) }

// NoteHeavy notes that a definition has evaluated or checked much.
func (p *Parts) NoteHeavy(definition string) { p.heavy.note(definition, p.Now()) }

// heavyToAccept tells whether it is heavy work to accept an order.
func (p *Parts) heavyToAccept(o *journalv1.OrderAccepted) bool {
	return len(o.GetInput()) > heavyInput || p.Heavy(o.GetDefinition())
}

// isHeavy tells whether it is heavy work to decide about the order, which is in memory.
func (i *instance) isHeavy() bool {
	return i.size > heavyOrder || i.heavy.known.Load() != nil && i.Heavy(i.state.Definition().Ref.String())
}

// noteHeavy notes that the definition of the order has evaluated much.
func (i *instance) noteHeavy() {
	i.NoteHeavy(i.state.Definition().Ref.String())
	i.box.apart.Store(true)
}

func (i *instance) namespace() string { return i.state.Definition().Ref.Namespace }

// waits tells whether messages have to wait until there is room to decide them. Then they are buffered.
func (i *instance) waits(batch []any) bool {
	var space string
	switch {
	case i.state != nil:
		if !i.isHeavy() {
			return false
		}
		space = i.namespace()
	default: // there is a message, or there would be nothing to decide
		e, ok := batch[0].(*nodev1.Envelope)
		if o := e.GetAccept().GetOrder(); !ok || !i.heavyToAccept(o) {
			return false
		}
		space, _, _ = strings.Cut(e.GetAccept().GetOrder().GetDefinition(), "/")
	}
	self, root, message := i.self, i.root, &granted{i}
	i.heavily = space
	if i.room.Enter(&i.place, space, func() { root.Send(self, message) }) {
		return false
	}
	i.waiting = true
	i.buffered, i.one[0] = append(i.buffered, batch...), nil
	return true
}

// waited goes on with what was buffered while the order waited.
func (i *instance) waited(goOn func(batch []any)) {
	if i.waiting {
		batch := i.buffered
		i.waiting, i.buffered = false, nil
		goOn(batch)
	}
}

// goOn decides messages that have waited, or goes on with a decision that was cut short, once there is room.
func (i *instance) goOn(batch []any) {
	if !i.waits(batch) {
		i.decide(batch)
	}
}

// giveBack gives back what the decision has of the room, or its place in line.
func (i *instance) giveBack() {
	if i.waiting || i.place.Has() > 0 {
		i.waiting = false
		i.room.Keep(&i.place, 0)
	}
}
