package ledger

// list is a ring of works, oldest first. A work is in at most one.
type list struct {
	root Work
	len  int
}

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *list) front() *Work { return l.root.next }

// toBack appends a work, taking it out of the list that it is in, and dates it.
func (l *list) toBack(w *Work, now int64) {
	w.leave()
	w.at, w.in = now, l
	w.prev, w.next = l.root.prev, &l.root
	w.prev.next, l.root.prev = w, w
	l.len++
}

// leave takes a work out of its list, if it is in one.
func (w *Work) leave() {
	if w.in == nil {
		return
	}
	w.prev.next, w.next.prev = w.next, w.prev
	w.in.len--
	w.prev, w.next, w.in = nil, nil, nil
}
