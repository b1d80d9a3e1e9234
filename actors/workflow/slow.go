package workflow

import "time"

// LongestLoops bounds Limits.Loops times Limits.LoopPause, so that times stay within what a history can hold.
const LongestLoops = longest

// goesBack tells whether a task of the list would be entered again, or one before it, after a flow directive of it. The items
// of a loop of the language are no jumps: their number is known.
func (l *List) goesBack(from *Task, then string) bool {
	return then != thenEnd && target(l, from, then) <= from.Index
}

// wentBack counts that the order goes back in a frame, to a retry, by a jump in its tasks, or because an attempt was not done. It
// counts for the branch, and for those around it, so that no branch is slowed down by what others do beside it.
func (s *State) wentBack(at int64, f *frame) {
	f.home().branch.turn = s.version
	for ; f != nil; f = f.parent {
		if f.branch != nil {
			f.branch.looped = s.loopedAfter(f.branch, at)
		}
	}
}

// loopedAfter is what looped becomes if a branch goes back at a time. While the branch waits, looped stays where it is: so
// waiting makes up for having looped.
func (s *State) loopedAfter(b *branch, at int64) int64 {
	return max(b.looped, at) + int64(s.limits.LoopPause)
}

// slow returns when the order may go back next in a frame; a time that has passed if that is now.
func (m *machine) slow(f *frame) time.Time {
	return fromNano(m.s.loopedAfter(f.home().branch, m.now.UnixNano()) - int64(m.s.limits.Loops)*int64(m.s.limits.LoopPause))
}

// slowedIn returns until when an order is slowed down that goes back in a frame; 0 if it is not. When the time of
// the retry that the frame is in is over before, it goes on then, to be interrupted.
func (m *machine) slowedIn(f *frame) int64 {
	slow := m.slow(f)
	if !slow.After(m.now) {
		return 0
	}
	if over := fromNano(f.retry.timeoutAt); over.After(m.now) && over.Before(slow) {
		slow = over
	}
	return slow.UnixNano()
}

// resumeSlowed has a frame go on that was slowed down until now.
func (m *machine) resumeSlowed(f *frame) {
	over := f.retry.timeoutAt
	f.does().step(m, f)
	if over != 0 && over <= m.now.UnixNano() {
		m.retryOver(f)
	}
}
