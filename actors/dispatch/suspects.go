package dispatch

import (
	"cmp"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
)

// suspects are ready items that were under way when a process died, and that may have been the reason. Items of which fewer processes
// have died come first, so that harmless ones are soon known to be harmless.
type suspects []*item

func (s *suspects) search(it *item) int {
	i, _ := slices.BinarySearchFunc(*s, it, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.task.killed(), b.task.killed()), cmp.Compare(a.seq, b.seq))
	})
	return i
}

func (s *suspects) push(it *item) {
	*s, it.among = slices.Insert(*s, s.search(it), it), s
}

func (s *suspects) remove(it *item) {
	i := s.search(it)
	*s, it.among = slices.Delete(*s, i, i+1), nil
}

// first returns the first item that a stream may get, or nil.
func (s *suspects) first(st *stream) *item {
	for _, it := range *s {
		if st.serves(it) {
			return it
		}
	}
	return nil
}

// suspect returns the suspect that a stream is to get next, or nil: there is one at a time in each process that executes it
// alone. Other streams get suspects only if there is none that can do so.
func (q *Queue) suspect(s *stream) *item {
	if len(q.suspects) == 0 && len(s.suspects) == 0 || s.Begun && q.alone[s.Process] != nil {
		return nil
	}
	a, b := s.suspects.first(s), q.suspects.first(s)
	switch {
	case !s.Begun && b != nil && slices.ContainsFunc(q.streams, func(x *stream) bool { return x.Begun && x.serves(b) }):
		return nil
	case a == nil, b != nil && b.task.killed() < a.task.killed():
		return b
	}
	return a
}

// died notes that the process of an item is gone. It returns false if the item was dropped, as too many processes have died of it.
func (q *Queue) died(it *item) bool {
	if !it.begun() || it.process == "" || it.process == it.last.process { // in the last case the loss was noted already
		return true
	}
	t := it.task
	it.last = loss{
		process: it.process, ledger: it.ledger, taskLedger: t.Ledger, idempotent: it.idempotent, alone: it.alone,
		first: it.first, asked: it.asked, maybe: t.MaybeStarted, lost: it.lost,
	}
	lost := Lost{Task: t, Process: it.process, Alone: it.end.Alone == t.Key}
	lost.Suspect = !it.end.Left && (lost.Alone || it.end.Alone == "")
	q.out = append(q.out, lost)
	if !lost.Suspect {
		return true
	}
	t.Deaths = append(t.Deaths, messages.Death{Process: it.process, Alone: lost.Alone})
	if lost.Alone && q.kills(t) {
		q.out = append(q.out, Quarantine{Task: t, Process: it.process, Deaths: t.killed()})
		q.drop(it)
		return false
	}
	return true
}

// kills tells whether enough processes have died of a task.
func (q *Queue) kills(t *Task) bool { return q.config.Deaths > 0 && t.killed() >= q.config.Deaths }

// keeps tells whether a stream's process is the one that an item was lost with, and has the item still, and whether nobody else was
// sent it meanwhile.
func (s *stream) keeps(it *item) bool {
	return it.last.process != "" && it.last.process == s.Process && s.Keys.Has(it.task.Key)
}

// accuses tells whether a stream's process counts as one that died of an item.
func (s *stream) accuses(it *item) bool { return slices.ContainsFunc(it.task.Deaths, s.died) }

func (s *stream) died(d messages.Death) bool { return d.Process == s.Process }

// found takes back what the loss of a stream's process has made of an item: the process is back.
func (q *Queue) found(it *item, s *stream) {
	t, kept := it.task, s.keeps(it)
	if kept {
		q.restore(it)
	}
	q.judge(it, t.Suspect, slices.DeleteFunc(slices.Clone(t.Deaths), s.died))
	q.out = append(q.out, Found{Task: t, Process: s.Process, Kept: kept})
}

// restore has an item wait for the process that it was lost with, as if nobody had found that out.
func (q *Queue) restore(it *item) {
	q.take(it)
	it.leave()
	l := it.last
	it.process, it.ledger, it.idempotent, it.first, it.asked, it.alone = l.process, l.ledger, l.idempotent, l.first, l.asked, l.alone
	it.lost, it.task.Ledger, it.task.MaybeStarted, it.last = l.lost, l.taskLedger, l.maybe, loss{}
	q.orphan(it, q.now)
}

// acquit notes that what was executed under an item's key has come to its end, and has killed nobody.
func (q *Queue) acquit(it *item) {
	it.last = loss{}
	q.judge(it, false, nil)
}

// judge says what an item is suspected of.
func (q *Queue) judge(it *item, suspect bool, deaths []messages.Death) {
	if it.task.Suspect == suspect && len(it.task.Deaths) == len(deaths) {
		return
	}
	if it.state == ready {
		q.unlist(it)
		defer q.enlist(it, true)
	}
	it.task.Suspect, it.task.Deaths = suspect, deaths
}
