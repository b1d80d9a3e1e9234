package workflow

import (
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// WaitFor waits for a time.
type WaitFor struct {
	plain

	Time Duration
}

func (k *WaitFor) step(m *machine, f *frame) {
	at, err := k.Time.After(m.now, f.input, m.argsOf(f))
	if err != nil {
		m.fault(f, expressionProblem(f.task, err))
		return
	}
	m.emit(&journalv1.Event_WaitStarted{WaitStarted: &journalv1.WaitStarted{Frame: f.id, Due: at.UnixNano()}})
}

// due: the passing of time is not journaled by itself; what follows from it is.
func (*WaitFor) due(m *machine, f *frame) { m.complete(f, f.input, "") }

func (s *State) waitStarted(e *journalv1.WaitStarted) {
	f := s.mustFrame(e.GetFrame())
	f.due, f.phase = e.GetDue(), phaseBlocked
}

// Wait is a time that an open order waits for.
type Wait struct {
	// Task waits, or the list that goes on is of; it is empty for the outermost list.
	Task  string
	Until time.Time
	// Retry is the number of the retry that comes then; 0 if none does.
	Retry int
	// Events are what it waits for, if it is no time: the types of events that it listens for; empty: of all types.
	Events []string
	// Slowed: the order would have gone on before, if it had not gone back so often without waiting.
	Slowed bool
}

// Waits returns the times that the order waits for.
func (s *State) Waits() []Wait {
	if s.Ended() || s.Suspended() || s.queuedSince != 0 {
		return nil
	}
	var out []Wait
	for _, f := range s.frames {
		switch {
		case s.stopping(f):
		case f.listens():
			w := Wait{Task: refOf(f.task)}
			for _, x := range f.listening().ears {
				w.Events = append(w.Events, x.GetSlot().GetType())
			}
			out = append(out, w)
		case f.slowed != 0:
			out = append(out, Wait{Task: refOf(f.task), Until: fromNano(f.slowed), Slowed: true})
		case f.due != 0:
			r := f.tries() // of a wait there are none
			out = append(out, Wait{Task: refOf(f.task), Until: fromNano(f.due), Retry: int(r.n), Slowed: r.slowed})
		}
	}
	return out
}
