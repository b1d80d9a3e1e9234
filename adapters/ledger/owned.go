package ledger

import "github.com/holdfast-run/holdfast/messages/adapterv1"

// Move says that the work's result is to be sent on another stream than the one that asked for it.
func (w *Work) Move(to Stream) { w.stream, w.moved = to, true }

// Moved tells whether the stream knows nothing of the work: the node must be told before that its result is here.
func (w *Work) Moved() bool { return w.moved }

// Announced tells whether the node's word is awaited before the work is executed.
func (w *Work) Announced() bool { return w.state == waiting && w.announced }

// Outdated tells whether what bears an epoch of a partition is of a node that has lost it. An epoch of 0 is not known. The partition must
// be below messages.Partitions.
func (l *Ledger) Outdated(partition uint32, epoch uint64) bool {
	return epoch != 0 && epoch < l.epochs[partition]
}

// Owned takes a node's word, from a stream, that it owns a partition: what is in progress and held of it is that stream's from now on. It
// calls f for each such work, with its result if that is held. It returns false, and does nothing, if a later owner was seen. The
// partition must be below messages.Partitions.
func (l *Ledger) Owned(partition uint32, epoch uint64, by Stream, now int64, f func(*Work, *adapterv1.Result)) bool {
	if l.Outdated(partition, epoch) {
		return false
	}
	l.epochs[partition] = max(l.epochs[partition], epoch)
	take := func(w *Work) {
		if w.partition == partition {
			w.stream, w.moved, w.Hops = by, false, 0
			f(w, w.result)
		}
	}
	l.Each(take)
	w := l.held.front()
	for range l.held.len {
		next := w.next
		if w.partition == partition {
			l.held.toBack(w, now)
		}
		take(w)
		w = next
	}
	return true
}

// Activity is the name of the activity, without the adapter's.
func (w *Work) Activity() string { return w.activity }
