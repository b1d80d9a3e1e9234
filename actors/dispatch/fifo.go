package dispatch

import "slices"

// entry is an item's place in a list.
type entry struct {
	item  *item
	list  *fifo
	taken bool
}

// fifo is a first-in, first-out list. An entry taken from the middle is skipped when its turn comes, or when there are too
// many of them.
type fifo struct {
	entries []*entry
	head    int
	taken   int
}

// slack is how many entries a list may keep without need.
const slack = 64

func (f *fifo) push(it *item) {
	it.place = &entry{item: it, list: f}
	f.entries = append(f.entries, it.place)
}

// pushFront puts an item before all others.
func (f *fifo) pushFront(it *item) {
	it.place = &entry{item: it, list: f}
	if f.head == 0 {
		const room = 16
		f.entries = slices.Insert(f.entries, 0, make([]*entry, room)...)
		f.head = room
	}
	f.head--
	f.entries[f.head] = it.place
}

// remove takes an entry out of its list.
func (e *entry) remove() {
	f := e.list
	e.taken = true
	if f.taken++; f.taken > slack && f.taken*2 > len(f.entries)-f.head {
		live := slices.DeleteFunc(f.entries[f.head:], func(e *entry) bool { return e.taken })
		f.entries, f.head, f.taken = live, 0, 0
	}
}

func (f *fifo) peek() *item {
	for f.head < len(f.entries) {
		e := f.entries[f.head]
		if !e.taken {
			return e.item
		}
		f.taken--
		f.advance()
	}
	f.entries, f.head = f.entries[:0], 0
	return nil
}

func (f *fifo) pop() *item {
	it := f.peek()
	if it != nil {
		f.advance()
	}
	return it
}

func (f *fifo) advance() {
	f.entries[f.head] = nil
	f.head++
	if f.head > slack && f.head*2 > len(f.entries) {
		n := copy(f.entries, f.entries[f.head:])
		clear(f.entries[n:])
		f.entries, f.head = f.entries[:n], 0
	}
}
