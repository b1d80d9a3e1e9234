package workflow

import "github.com/holdfast-run/holdfast/messages/journalv1"

// Do runs a list of tasks in sequence. A call of a function of the definition is one too.
type Do struct {
	sequence

	List *List
	// Input is evaluated on the task's input to make what the first task of the list gets; nil: the task's input.
	Input Expr
}

func (d *Do) enter(_ *State, f *frame, e *journalv1.TaskStarted) {
	f.list, f.last, f.phase = d.List, optional(e.Body, f.input), phaseNext
}
