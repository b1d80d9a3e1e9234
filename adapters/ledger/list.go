package ledger

// list is a ring of entries, oldest first. An entry is in at most one.
type list struct {
	root entry
	len  int
}

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *list) front() *entry { return l.root.next }

func (l *list) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	l.len--
}

// toBack appends e, or moves it to the end, and dates it.
func (l *list) toBack(e *entry, now int64) {
	if e.next != nil {
		l.remove(e)
	}
	e.at = now
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, l.root.prev = e, e
	l.len++
}
