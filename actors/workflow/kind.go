package workflow

import (
	"fmt"

	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Kind is what a task does: Do, Call, Run, Set, Switch, Try, Raise, WaitFor, Fork or For. What is no task, and yet a frame, has a kind as
// well: the order as a whole, what undoes a deed, and an inquiry. Each is in a file of its own.
type Kind interface {
	// enter makes the frame of a task ready that was just entered. It is a part of Evolve.
	enter(s *State, f *frame, e *journalv1.TaskStarted)
	// step goes on with a frame that waits for nothing. It makes at least one event.
	step(m *machine, f *frame)
	// handle deals with an error that came up from inside.
	handle(m *machine, f *frame, p *problemv1.Problem)
	// due goes on with a frame whose time has come.
	due(m *machine, f *frame)
	// stopped ends a frame that was asked to stop, and in which nothing is under way any more.
	stopped(m *machine, f *frame)
	// leaves is what the frame leaves, before output.as.
	leaves(f *frame) *Value
	// again tells whether a task is entered again that an operator retries; else it goes on where it stands.
	again(f *frame) bool
}

// plain is what most kinds have in common.
type plain struct{}

func (plain) enter(*State, *frame, *journalv1.TaskStarted) {}

func (plain) handle(m *machine, f *frame, p *problemv1.Problem) { m.fault(f, p) }

func (plain) due(_ *machine, f *frame) {
	panic(fmt.Sprintf("task %s waits for a time, but its kind has none", refOf(f.task)))
}

func (plain) stopped(m *machine, f *frame) { m.fault(f, f.stop.GetError()) }

func (plain) leaves(f *frame) *Value { return f.input }

func (plain) again(f *frame) bool { return f.failed }

// sequence is what kinds have in common that run a list of tasks.
type sequence struct{ plain }

func (sequence) step(m *machine, f *frame) {
	if !m.enterNext(f) {
		m.complete(f, f.last, f.then())
	}
}

func (sequence) leaves(f *frame) *Value { return f.last }

// again: what is inside goes on, unless the list has not been run to its end.
func (sequence) again(f *frame) bool { return f.failed && (f.list == nil || f.pos < len(f.list.Tasks)) }

// enterNext enters or skips the next task of the list that a frame is in; false if there is none.
func (m *machine) enterNext(f *frame) bool {
	if f.pos == len(f.list.Tasks) {
		return false
	}
	m.enter(f, f.list.Tasks[f.pos])
	return true
}

// kind is that of a frame: its task's, or what it is if it is not there for a task.
func (f *frame) kind() Kind {
	switch {
	case f.parent == nil:
		return whole{}
	case f.branch != nil:
		return inBranch{}
	case f.inquiry != nil:
		return inquires{}
	}
	return f.task.Kind
}

// does is what a frame does now: to undo something goes before its own work.
func (f *frame) does() Kind {
	if f.undo != nil {
		return undoes{}
	}
	return f.kind()
}

// as returns a kind that is known to be K, for only then a history can have what it is asked for.
func as[K Kind](k Kind) K {
	is, ok := k.(K)
	if !ok {
		panic(fmt.Sprintf("a history has of a %T what only a %T has", k, is))
	}
	return is
}
