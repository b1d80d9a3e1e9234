package partition

import (
	"container/heap"
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// dues holds when the orders of a partition have to be fired, resident or not. Of those whose time the journal's index
// knows, which may be many, it holds the next ones only.
type dues struct {
	most    int // how many of the due times in the index are held at the most, about
	heap    dueHeap
	of      map[messages.OrderID]*due
	indexed int // how many of the due times in the index are held
	// behind: there may be due times behind upTo that are in the index alone. All those up to there are held.
	behind bool
	upTo   persistence.DuePlace
}

// due is an order's place in the heap.
type due struct {
	persistence.DuePlace

	id      messages.OrderID
	indexed bool
	index   int // in the heap
}

func newDues(most int) *dues { return &dues{most: most, of: map[messages.OrderID]*due{}} }

// set notes when an order has to be fired; 0: never. indexed says that the journal's index knows.
func (d *dues) set(id messages.OrderID, at persistence.DuePlace, indexed bool) {
	if old := d.of[id]; old != nil {
		d.remove(old)
	}
	if at.At == 0 || indexed && d.behind && at.Compare(d.upTo) > 0 {
		return
	}
	x := &due{DuePlace: at, id: id, indexed: indexed}
	d.of[id] = x
	heap.Push(&d.heap, x)
	if indexed {
		d.indexed++
	}
	if d.indexed > 2*d.most {
		d.forgetLast()
	}
}

func (d *dues) remove(x *due) {
	heap.Remove(&d.heap, x.index)
	delete(d.of, x.id)
	if x.indexed {
		d.indexed--
	}
}

// forgetLast forgets the later half of the due times that the index has.
func (d *dues) forgetLast() {
	var all []*due
	for _, x := range d.heap {
		if x.indexed {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b *due) int { return a.Compare(b.DuePlace) })
	d.behind, d.upTo = true, all[d.most-1].DuePlace
	for _, x := range all[d.most:] {
		d.remove(x)
	}
}

// few tells whether it is time to read more of the index.
func (d *dues) few() bool { return d.behind && d.indexed <= d.most/2 }

// next returns when there is something to do: when the first order is due, or, if more of the index is to be read, a time long ago;
// 0 if there is nothing to do.
func (d *dues) next() int64 {
	switch first := d.first(); {
	case d.few():
		return 1
	case first != nil:
		return first.At
	}
	return 0
}

// first returns the one whose time comes next; nil if there is none.
func (d *dues) first() *due {
	if len(d.heap) == 0 {
		return nil
	}
	return d.heap[0]
}

type dueHeap []*due

func (h *dueHeap) Len() int           { return len(*h) }
func (h *dueHeap) Less(i, j int) bool { return (*h)[i].At < (*h)[j].At }
func (h *dueHeap) Swap(i, j int) {
	(*h)[i], (*h)[j] = (*h)[j], (*h)[i]
	(*h)[i].index, (*h)[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	d := x.(*due) //nolint:errcheck,forcetypeassert // only dues are pushed
	d.index = len(*h)
	*h = append(*h, d)
}

func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}
