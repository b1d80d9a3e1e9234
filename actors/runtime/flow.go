package runtime

import (
	"slices"
	"time"
)

// flow is whom heavy work is done for: at the root everybody, then kinds of work, in each of them spaces, and in each of those clients.
// Whoever has had least of those that compete is served next: so each gets the same, however much it asks for, and whoever asks for little
// waits for nobody.
type flow struct {
	parent   *flow
	name     string
	children map[string]*flow
	line     []*Pass // those that wait here, the next one first: of a client only

	// had is the processor time that it has had, or that those have had who did not wait behind it while it was not there.
	had time.Duration
	// floor is what the one of its children had that was served last: none that comes is taken to have had less.
	floor time.Duration
	// waiting and running are passes, of it and of all below.
	waiting, running int
}

// mostFlows is how many spaces of a kind, and clients of a space, are told apart; further ones are taken as one.
const mostFlows = 10_000

// otherFlows is the name of those that are not told apart.
const otherFlows = "\x00"

// child finds whom a pass is for, or begins to tell it apart.
func (f *flow) child(name string) *flow {
	c := f.children[name]
	if c == nil && len(f.children) >= mostFlows {
		name = otherFlows
		c = f.children[name]
	}
	if c == nil {
		if f.children == nil {
			f.children = map[string]*flow{}
		}
		c = &flow{parent: f, name: name, had: f.floor}
		f.children[name] = c
	}
	if c.idle() {
		c.had = max(c.had, f.floor)
	}
	return c
}

func (f *flow) idle() bool { return f.waiting == 0 && f.running == 0 }

// owed tells whether a client has had no more than others that compete, nor its space, and it has nothing under way: then it need not wait
// for what they have had.
func (f *flow) owed() bool {
	if !f.idle() {
		return false
	}
	for ; f.parent.parent != nil; f = f.parent {
		if f.had > f.parent.floor {
			return false
		}
	}
	return true
}

// await puts a pass in the line, at its end, or in front.
func (f *flow) await(p *Pass, front bool) {
	if front {
		f.line = slices.Insert(f.line, 0, p)
	} else {
		f.line = append(f.line, p)
	}
	for ; f != nil; f = f.parent {
		f.waiting++
	}
}

// withdraw takes a pass out of the line; false if it is not in there.
func (f *flow) withdraw(p *Pass) bool {
	i := slices.Index(f.line, p)
	if i < 0 {
		return false
	}
	f.line = slices.Delete(f.line, i, i+1)
	for ; f != nil; f = f.parent {
		f.waiting--
	}
	return true
}

// next returns the pass that is to be served next, of those kinds that are open; nil if none is.
func (f *flow) next(open func(kind *flow) bool) *Pass {
	for f.waiting > 0 {
		if len(f.line) > 0 {
			return f.line[0]
		}
		var least *flow
		for name, c := range f.children {
			switch {
			case c.waiting > 0 && (f.parent != nil || open(c)) && (least == nil || c.had < least.had || c.had == least.had && c.name < least.name):
				least = c
			case c.idle() && c.had <= f.floor:
				delete(f.children, name) // who comes anew is taken to have had as much
			}
		}
		if least == nil {
			return nil
		}
		f = least
	}
	return nil
}

// begin counts a pass that is not in a line as running.
func (f *flow) begin() {
	for ; f != nil; f = f.parent {
		f.running++
		if f.parent != nil {
			f.parent.floor = max(f.parent.floor, f.had)
		}
	}
}

// charge counts processor time that was used.
func (f *flow) charge(used time.Duration) {
	for ; f != nil; f = f.parent {
		f.had += used
	}
}

// end ends what begin began.
func (f *flow) end() {
	for ; f != nil; f = f.parent {
		f.running--
	}
}

// forgive forgets who has nothing under way.
func (f *flow) forgive() {
	for name, c := range f.children {
		if c.idle() {
			delete(f.children, name)
		} else {
			c.forgive()
		}
	}
	if len(f.children) == 0 {
		f.floor = 0
	}
}
