package dispatch

// entry is an item's place in a list.
type entry struct {
	item  *item
	taken bool
}

// fifo is a first-in, first-out list. An entry taken from the middle is skipped when its turn comes.
type fifo struct {
	entries []*entry
	head    int
}

func (f *fifo) push(it *item) {
	it.place = &entry{item: it}
	f.entries = append(f.entries, it.place)
}

func (f *fifo) peek() *item {
	for f.head < len(f.entries) {
		if e := f.entries[f.head]; !e.taken {
			return e.item
		}
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
	if f.head > 64 && f.head*2 > len(f.entries) {
		n := copy(f.entries, f.entries[f.head:])
		clear(f.entries[n:])
		f.entries, f.head = f.entries[:n], 0
	}
}
