package order

import "slices"

// tooLong ends a decision that turns out to be heavy work, and was not known to be: the other orders of the partition would wait for it.
type tooLong struct{}

// setAside tells an order to decide what it has begun to decide in the turn of its partition.
type setAside struct{ to *instance }

// isTooLong tells whether that is what ended a decision. It panics with anything else that did.
func isTooLong(recovered any) bool {
	if recovered == nil {
		return false
	}
	if _, is := recovered.(tooLong); !is {
		panic(recovered)
	}
	return true
}

// decideApart has messages decided anew outside of the turn of the partition. Nothing is kept of what was decided about them.
func (i *instance) decideApart(batch []any) {
	i.giveBack()
	i.drop()
	batch = slices.Clone(batch)
	i.deciding, i.one[0] = nil, nil
	if !i.handle.IsZero() { // what else is to be done follows from the history
		batch = append([]any{Resume{}}, batch...)
	}
	i.buffered = append(batch, i.buffered...)
	i.outside, i.waiting = true, true
	i.root.Send(i.self, &setAside{i})
}
