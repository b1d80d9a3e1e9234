package workflow

import (
	"cmp"
	"slices"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// frame is a task that was entered, a branch of one (the task is the same), or the order itself (task nil).
type frame struct {
	id        uint32
	parent    *frame
	task      *Task
	startedAt int64
	timeout   int64 // how long it may take; 0: no bound
	timeoutAt int64
	raw       *Value // before input.from
	input     *Value
	failed    bool // an error of its own ended it
	// unwinding: a try has undone some of what was done inside, and has not gone on with the error yet.
	unwinding bool

	phase phase
	// list and pos are where a do or try is: the next task to enter; last is what the task before it left.
	list *List
	pos  int
	last *Value
	// raised is the error that came up from inside, and fallen are the frames that it ended on its way, parents before children.
	raised *problemv1.Problem
	fallen []*frame
	// caught is the error that the catch tasks handle.
	caught *problemv1.Problem
	due    int64 // of a wait, or of a retry
	slowed int64 // the next task of the list is not entered before, nor the next attempt made
	retry  retryState
	branch *branch // of the order, and of each branch
	// branches are those that the frame runs.
	branches *branching
	call     *attempt
	child    *child
	rare     *rare // nil: nothing of that
	stop     *journalv1.StopRequested
	undo     *undo
	// inquiry is the deed in doubt that the frame asks about; nil if it does its task.
	inquiry *deed
}

// rare is what few frames have, so that all others are small.
type rare struct {
	emission *emission
	// listening is how far a task is that listens.
	listening *listening
	// then is where to go on behind a list that has an extended task, as that says.
	then string
}

// own returns what few frames have, to be changed.
func (f *frame) own() *rare {
	if f.rare == nil {
		f.rare = &rare{}
	}
	return f.rare
}

func (f *frame) emission() *emission {
	if f.rare == nil {
		return nil
	}
	return f.rare.emission
}

func (f *frame) listening() *listening {
	if f.rare == nil {
		return nil
	}
	return f.rare.listening
}

func (f *frame) then() string {
	if f.rare == nil {
		return ""
	}
	return f.rare.then
}

type retryState struct {
	n            uint32 // retries so far
	slowed       bool   // the next one comes later than the definition says
	firstErrorAt int64
	timeoutAt    int64 // of this run of the tasks
}

// phase says what a frame needs.
type phase uint8

const (
	phaseEnter   phase = iota // its own work is to be begun
	phaseNext                 // the next task of its list is to be entered, or there is none left
	phaseBlocked              // nothing: it waits for a task inside, a result, or a time
	phaseResult               // the result of its attempt, or the end of its wait, is to be handled
	phaseRaised               // an error of a task inside is to be handled
)

// home is the frame of the branch that f is in, or is; that of the order if it is in none.
func (f *frame) home() *frame {
	for f.branch == nil {
		f = f.parent
	}
	return f
}

// isTask tells whether the frame is there for the work of its task.
func (f *frame) isTask() bool { return f.branch == nil && f.inquiry == nil }

// inside tells whether f is outer or is contained in it.
func (f *frame) inside(outer *frame) bool {
	for ; f != nil; f = f.parent {
		if f == outer {
			return true
		}
	}
	return false
}

// inFlight tells whether an attempt of the frame has no outcome yet.
func (f *frame) inFlight() bool { return f.call != nil && f.call.ended == nil }

// underWay tells whether an attempt of the frame has no outcome yet, or a child has not ended.
func (f *frame) underWay() bool { return f.inFlight() || f.awaits() }

// fall takes a frame out that an error has ended, with all inside it, and returns them with those that fell before.
func (s *State) fall(f *frame) []*frame {
	var fallen []*frame
	for _, x := range s.frames {
		if x.inside(f) {
			fallen = append(fallen, x)
		}
	}
	for _, x := range fallen {
		fallen, x.fallen = append(fallen, x.fallen...), nil
	}
	for _, x := range fallen {
		s.deafen(x)
	}
	s.frames = slices.DeleteFunc(s.frames, func(x *frame) bool { return x.inside(f) })
	slices.SortFunc(fallen, func(a, b *frame) int { return cmp.Compare(a.id, b.id) })
	return fallen
}

// clear drops what is inside of f.
func (s *State) clear(f *frame) { s.drop(func(x *frame) bool { return x != f && x.inside(f) }) }

// drop drops frames. What one had begun to undo may or may not be undone.
func (s *State) drop(which func(*frame) bool) {
	s.frames = slices.DeleteFunc(s.frames, func(f *frame) bool {
		if !which(f) {
			return false
		}
		s.deafen(f)
		if f.undo != nil && f.undo.entered {
			f.undo.of.doubt, f.undo.of.dropped, f.undo.of.asks = true, true, false
		}
		return true
	})
}
