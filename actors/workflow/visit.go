package workflow

import (
	"maps"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// visit is one entering of a task, or several that did not succeed. It is known by its place: the task's reference and the path of
// the branches around it, each with its index and the visit of the task that runs it.
type visit struct {
	count, attempt uint32
	// path is that of the branches around it. key is that of its attempts, as it was journaled; empty before the first.
	path, key string
	// over: it succeeded, or an operator settled it: the next one has a key of its own.
	over, doubt bool
	late        bool   // the last attempt succeeded, as came out when its task had been left
	ledger      string // that an attempt was handed to last
	// suspect: processes died under it until it was set apart.
	suspect bool
	// failed is what it would have done, if its last attempt failed and it could be undone.
	failed *deed
}

// visit returns the visit of a frame's task: the last one, or if that is over, the next.
func (s *State) visit(f *frame) *visit {
	at := f.place()
	v := s.visits[at]
	switch {
	case v == nil:
		v = &visit{count: 1, path: f.path()}
		if s.visits == nil {
			s.visits = map[string]*visit{}
		}
		s.visits[at] = v
	case v.over:
		*v = visit{count: v.count + 1, path: v.path}
	}
	return v
}

// path is that of the branches around a frame. What undoes a deed is where that was done.
func (f *frame) path() string {
	for x := f.parent; x != nil; x = x.parent {
		switch {
		case x.undo != nil:
			return x.undo.of.path
		case x.branch != nil:
			return x.branch.path
		}
	}
	return ""
}

// within is the path of what is entered inside of a frame.
func (f *frame) within() string { return (&frame{parent: f}).path() }

// place is where the task of a frame is done.
func (f *frame) place() string { return f.task.Ref + f.path() }

// nextKey returns the idempotency key of the next attempt at a frame's task, and the attempt's number.
func (s *State) nextKey(f *frame) (string, uint32) {
	at := f.place()
	switch v := s.visits[at]; {
	case v == nil:
		return s.keyOf(at, 1), 1
	case v.over:
		return s.keyOf(at, v.count+1), 1
	default:
		return v.key, v.attempt + 1
	}
}

// keyOf makes the idempotency key of a visit at a place.
func (s *State) keyOf(at string, visit uint32) string {
	key := messages.OrderID(s.accepted.GetOrderId()).Key(at)
	if visit > 1 {
		key += "#" + strconv.FormatUint(uint64(visit), 10)
	}
	return key
}

// undecided returns the task and the visit of a key that has not succeeded, as far as is known, and that no operator has settled;
// nil if it is none such.
func (s *State) undecided(key string) (string, *visit) {
	for at, v := range s.visits {
		if v.key == key && !v.over && !v.late && v.attempt != 0 {
			return strings.TrimSuffix(at, v.path), v
		}
	}
	return "", nil
}

// forgetVisits forgets what is over in the branches of a task that has completed: when it is visited again, its branches have other paths.
func (s *State) forgetVisits(f *frame) {
	in := f.path() + "["
	maps.DeleteFunc(s.visits, func(at string, v *visit) bool {
		return v.over && strings.HasPrefix(v.path, in) && s.def.Tasks[strings.TrimSuffix(at, v.path)].inside(f.task)
	})
}

// visitsOf calls do with the visits of a task, and of those inside it, that are not over, on a path and those inside it.
func (s *State) visitsOf(t *Task, path string, do func(v *visit)) {
	for at, v := range s.visits {
		if !v.over && strings.HasPrefix(v.path, path) && s.def.Tasks[strings.TrimSuffix(at, v.path)].inside(t) {
			do(v)
		}
	}
}

// inside tells whether a task is outer or is contained in it. A task that undoes another is in none.
func (t *Task) inside(outer *Task) bool {
	for ; t != nil; t = t.Parent {
		if t == outer {
			return true
		}
	}
	return false
}
