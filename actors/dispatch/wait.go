package dispatch

import (
	"slices"
	"time"
)

// For is what a task waits for.
type For int

// What a task may wait for.
const (
	// ForAdapter: no adapter is connected that offers what it asks for.
	ForAdapter For = iota
	// ForCredit: the adapters have as much as they take, or as much as a limit allows.
	ForCredit
	// ForTurn: it is a suspect, and is to be executed alone in its turn.
	ForTurn
	// ForBegin: an adapter has it, and has not begun with it.
	ForBegin
	// ForResult: an adapter has it, and may have begun with it.
	ForResult
	// ForReturn: the adapter that may have begun with it is away. At Until another one is asked.
	ForReturn
	// ForAnswers: this node has taken its partition over, and asks the adapters which of them has it, until Until.
	ForAnswers
)

// Wait tells what a task waits for, and since when.
type Wait struct {
	For   For
	Since time.Time
	// Until is set with ForReturn and ForAnswers.
	Until time.Time
	// Process has it, or had it, or alone may get it; empty if none, or if it is not known.
	Process string
	// Deaths is how many processes have died that executed it, and nothing else.
	Deaths int
}

// Wait tells what a task waits for; false if it is not here.
func (q *Queue) Wait(key string) (Wait, bool) {
	it := q.items[key]
	if it == nil {
		return Wait{}, false
	}
	w := Wait{Since: it.since, Process: it.process, Deaths: it.task.killed()}
	switch it.state {
	case inFlight:
		w.For = ForResult
		if it.held {
			w.For = ForBegin
		}
	case journaling:
		w.For = ForBegin
	case orphaned:
		if it.asking {
			return Wait{For: ForAnswers, Since: it.gone, Until: q.asked[it.task.Partition].until, Deaths: w.Deaths}, true
		}
		w.For, w.Since, w.Until = ForReturn, it.gone, it.gone.Add(q.patience(it))
	case ready, nowhere:
		w.For, w.Since = ForCredit, it.task.since()
		switch {
		case it.task.suspected():
			w.For = ForTurn
		case it.stream == nil && !slices.ContainsFunc(q.streams, func(s *stream) bool { return s.serves(it) }):
			w.For = ForAdapter
		}
	}
	return w, true
}

// Away tells how many tasks wait for the return of their adapter, and when another one is asked for the first of them.
func (q *Queue) Away() (count int, until time.Time) {
	for _, it := range q.orphans {
		if it.asking {
			continue
		}
		count++
		if at := it.gone.Add(q.patience(it)); until.IsZero() || at.Before(until) {
			until = at
		}
	}
	return count, until
}

// Suspects returns how many tasks wait to be executed alone, or are about to be.
func (q *Queue) Suspects() int {
	n := len(q.suspects) + len(q.alone)
	for _, s := range q.streams {
		n += len(s.suspects)
	}
	return n
}
