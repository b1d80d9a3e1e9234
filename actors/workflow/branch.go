package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Fork runs several lists of tasks side by side, each in a branch of its own that gets the task's input. It leaves an array of what
// they leave.
type Fork struct {
	branches

	Lists []*List
	// Compete: the first branch that completes wins, and the task leaves what that one leaves. Else all of them are joined.
	Compete bool
}

// For runs a list of tasks for each item of an array, each time in a branch of its own.
type For struct {
	branches

	// Items makes the array.
	Items Expr
	List  *List
	// Each and At are the names of the variables that hold the item and its index, without the dollar sign.
	Each, At string
	// While is asked before each item, on what the one before it has left: if it does not hold, the task completes. Nil: it holds.
	While Expr
	// Parallel is how many items are gone through at a time: each gets the task's input, and the task leaves an array of what they
	// leave. 0: one after another, each of which gets what the one before it has left, and the task leaves what the last one leaves.
	Parallel int
}

// branch is what the order knows of a branch, and of itself, the outermost.
type branch struct {
	// index is which one it is of those of its task. path is where it stands, as a part of keys; empty for the order.
	index int
	path  string
	// left is the activity of the attempt that ended last in it, at the version leftAt.
	left   string
	leftAt messages.Version
	// looped is when all would be over that it has gone back, and the branches inside it, had that been once in each LoopPause.
	looped int64
	// turn is the version at which it went back last. Those that did so long ago go on first.
	turn messages.Version
	// ends: a task has ended the workflow.
	ends bool
	// vars are the variables of what is inside: the item of a loop, and its index.
	vars []Var
}

// branching is how far a frame is with its branches.
type branching struct {
	lists   []*List // one for each branch, or one for all
	items   []*Value
	compete bool
	// chained: each branch gets what the one before it has left, and the last one's is what the task leaves.
	chained bool
	// run is the visit of the task. total is how many branches there are to be, most how many at a time.
	run         uint32
	total, most int
	// begun is how many were started, live how many have not ended.
	begun, live int
	// failed is one more than the index of the branch whose error came up first; 0: none did.
	failed int
	// won: one has completed that makes the others needless. ends: it has ended the workflow.
	won, ends bool
	results   []*Value
	output    *Value // what the task leaves
	// bytes is how many the items and the results have.
	bytes int
}

// over tells whether no branch is to be started any more, and those that go on are to be left.
func (b *branching) over(f *frame) bool { return b.won || f.raised != nil }

// What a branch takes in memory, in bytes, about: before it begins, and from then on, for what is known of the tasks in it.
const (
	branchSize = 128
	begunSize  = 256
)

// size is about what the branches take in memory that have ended or have not begun.
func (b *branching) size() int { return b.bytes + branchSize*b.total + begunSize*b.begun }

// branches is what the kinds have in common that run branches.
type branches struct{ plain }

func (k *Fork) enter(s *State, f *frame, _ *journalv1.TaskStarted) {
	f.branches = &branching{
		lists: k.Lists, compete: k.Compete, total: len(k.Lists), most: len(k.Lists),
		run: s.visit(f).count, results: make([]*Value, len(k.Lists)),
	}
	f.phase = phaseNext
}

func (k *For) enter(s *State, f *frame, _ *journalv1.TaskStarted) {
	f.branches = &branching{
		lists: []*List{k.List}, chained: k.Parallel == 0, most: max(1, k.Parallel), run: s.visit(f).count, output: f.input,
	}
}

func (k *For) step(m *machine, f *frame) {
	b := f.branches
	if b.items != nil {
		if k.While == nil || b.live > 0 || b.begun == b.total || b.over(f) {
			k.branches.step(m, f)
			return
		}
		args := m.argsOf(f)
		args.Vars = append(args.Vars, k.vars(b, b.begun)...)
		switch ok, err := k.While.Bool(b.output, args); {
		case err != nil:
			m.fault(f, expressionProblem(f.task, err))
		case !ok:
			m.complete(f, b.output, "")
		default:
			k.branches.step(m, f)
		}
		return
	}
	items, err := k.Items.Eval(f.input, m.argsOf(f))
	if err == nil {
		_, err = split(items)
	}
	if err != nil {
		m.fault(f, expressionProblem(f.task, err))
		return
	}
	m.emit(&journalv1.Event_LoopStarted{LoopStarted: &journalv1.LoopStarted{Frame: f.id, Items: items.JSON()}})
}

// vars are the variables of a branch. They are decoded for it alone: of a long loop, few items are in memory so.
func (k *For) vars(b *branching, index int) []Var {
	return []Var{{Name: k.Each, Value: NewValue(b.items[index].raw)}, {Name: k.At, Value: NewValue([]byte(strconv.Itoa(index)))}}
}

var errNoItems = errors.New("what a loop goes through must be an array")

// split returns the items of an array.
func split(v *Value) ([]*Value, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(v.JSON(), &raw); err != nil || raw == nil {
		return nil, fmt.Errorf("%w, but is %.60s", errNoItems, v.JSON())
	}
	items := make([]*Value, 0, len(raw))
	for _, r := range raw {
		items = append(items, NewValue(r))
	}
	return items, nil
}

// step starts the next branch; has those left that are not needed any more; or, if none is there any more, ends the task.
func (branches) step(m *machine, f *frame) {
	b := f.branches
	switch {
	case b.over(f) && b.live > 0:
		for _, x := range append([]*frame(nil), m.s.frames...) {
			if x.parent == f {
				m.requestStop(x, &journalv1.StopRequested{Cause: journalv1.StopCause_STOP_CAUSE_BRANCH})
			}
		}
	case f.raised != nil:
		m.fault(f, f.raised)
	case b.ends:
		m.complete(f, b.output, thenEnd)
	case b.won || b.begun == b.total:
		m.complete(f, b.output, "")
	default:
		m.emit(&journalv1.Event_BranchStarted{BranchStarted: &journalv1.BranchStarted{
			Frame: m.s.next, Parent: f.id, Index: uint32(b.begun), //nolint:gosec // it is the index of an item
		}})
	}
}

func (branches) leaves(f *frame) *Value { return f.branches.output }

// again: the branches go on, if there are any.
func (branches) again(f *frame) bool { return f.failed && f.branches.begun == 0 }

// inBranch is a branch.
type inBranch struct{ sequence }

func (inBranch) step(m *machine, f *frame) {
	if !m.enterNext(f) {
		m.emit(&journalv1.Event_BranchCompleted{BranchCompleted: &journalv1.BranchCompleted{
			Frame: f.id, Ends: f.branch.ends,
		}})
	}
}

func (inBranch) stopped(m *machine, f *frame) {
	m.emit(&journalv1.Event_BranchLeft{BranchLeft: &journalv1.BranchLeft{Frame: f.id}})
}

// again: a branch goes on, as does what is inside.
func (inBranch) again(*frame) bool { return false }

func (s *State) loopStarted(e *journalv1.LoopStarted) {
	f := s.mustFrame(e.GetFrame())
	items, err := split(NewValue(e.GetItems()))
	if err != nil {
		panic(fmt.Sprintf("version %d: %v", s.version, err))
	}
	b := f.branches
	b.items, b.total, b.bytes = items, len(items), len(e.GetItems())
	if !b.chained {
		b.results = make([]*Value, len(items))
	}
	s.afterBranch(f)
}

func (s *State) branchStarted(at int64, e *journalv1.BranchStarted) {
	p := s.mustFrame(e.GetParent())
	b, i := p.branches, int(e.GetIndex())
	in := p.input
	if b.chained {
		in = b.output
	}
	var vars []Var
	switch k := p.task.Kind.(type) {
	case *For:
		vars = k.vars(b, i)
	case *Listen:
		vars = k.vars(p.listening(), i)
	}
	s.next = e.GetFrame() + 1
	s.frames = append(s.frames, &frame{
		id: e.GetFrame(), parent: p, task: p.task, startedAt: at, raw: in, input: in,
		list: b.lists[i%len(b.lists)], last: in, phase: phaseNext,
		branch: &branch{index: i, path: p.path() + segment(i, b.run), vars: vars},
	})
	b.begun, b.live = b.begun+1, b.live+1
	s.afterBranch(p)
}

// segment is the part of a path that a branch adds: its index, and which visit it is of the task, from the second on.
func segment(index int, run uint32) string {
	text := "[" + strconv.Itoa(index)
	if run > 1 {
		text += "#" + strconv.FormatUint(uint64(run), 10)
	}
	return text + "]"
}

func (s *State) branchCompleted(e *journalv1.BranchCompleted) {
	f := s.mustFrame(e.GetFrame())
	p := f.parent
	b := p.branches
	b.live--
	if b.chained {
		b.output = f.last
	} else {
		b.results[f.branch.index] = f.last
		b.bytes += len(f.last.JSON())
	}
	if (b.compete || e.GetEnds()) && !b.over(p) {
		b.won, b.ends, b.output = true, e.GetEnds(), f.last
	}
	s.leave(f, p)
	s.afterBranch(p)
}

func (s *State) branchLeft(e *journalv1.BranchLeft) {
	f := s.mustFrame(e.GetFrame())
	p := f.parent
	p.branches.live--
	if fallen := s.fall(f); p.raised != nil {
		p.fallen = append(p.fallen, fallen...)
	}
	s.afterBranch(p)
}

// branchFaulted takes up the error of a branch. The first one counts, unless the task does not need the branch any more.
func (s *State) branchFaulted(f *frame, err *problemv1.Problem) {
	p := f.parent
	b := p.branches
	b.live--
	fallen := s.fall(f)
	if !b.won {
		p.fallen = append(p.fallen, fallen...)
		if p.raised == nil {
			p.raised, b.failed = err, f.branch.index+1
		}
	}
	s.afterBranch(p)
}

// afterBranch finds out what a frame needs whose branches have changed.
func (s *State) afterBranch(f *frame) {
	b := f.branches
	if f.listening() != nil && !b.over(f) {
		s.afterEvent(f)
		return
	}
	f.phase = phaseBlocked
	switch {
	case b.live == 0, !b.over(f) && b.begun < b.total && b.live < b.most:
		f.phase = phaseNext
	case b.over(f):
		for _, x := range s.frames {
			if x.parent == f && x.stop == nil {
				f.phase = phaseNext
			}
		}
	}
	if b.live == 0 && b.begun == b.total && !b.over(f) && !b.chained {
		b.output = Joined(b.results)
	}
}

// Joined makes an array of values.
func Joined(values []*Value) *Value {
	raw := []byte{'['}
	for i, v := range values {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, v.JSON()...)
	}
	return NewValue(append(raw, ']'))
}

// branchesReopened has the branches of an order go on that has faulted: those that failed and those that were left, too.
func (s *State) branchesReopened() {
	for _, f := range s.frames {
		if b := f.branches; b != nil {
			b.live, b.failed = 0, 0
			for _, x := range s.frames {
				if x.parent == f {
					b.live++
				}
			}
			if b.items != nil || b.total > 0 || f.listening() != nil {
				s.afterBranch(f)
			}
		}
	}
}
