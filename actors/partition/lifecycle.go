package partition

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Phase is how far a partition has come.
type Phase int

// The phases.
const (
	Away       Phase = iota // this node does not own it
	Claiming                // the journal was asked for it
	Recovering              // this node owns it, and its open orders are being read
	Owning                  // this node owns it
	Draining                // this node owns it, takes nothing new for it, and lets commits under way end
	Closing                 // all that hangs on it here is being ended
	Releasing               // the journal is being told that any node may claim it
)

// Lifecycle is the lifecycle of one partition on one node: a step function, which a model can drive. Each input may come at any time,
// late or twice: an input about an epoch that is over changes nothing.
type Lifecycle struct {
	Phase Phase
	// Epoch is that of the last claim that succeeded.
	Epoch messages.Epoch
	// wanted: this node is to own it. fenced: it was closed because another node has claimed it, so that there is nothing to release.
	wanted, fenced bool
	// unsure: a claim may have been made all the same. It is claimed again, to be had or released.
	unsure bool
	// tooNew: it has records that this version can't read. It is released, and not claimed again.
	tooNew bool
	// failures counts the claims or releases that have failed in a row; due is when to try again, or when draining has taken too long.
	failures int
	due      time.Time
}

// Timing says how long a lifecycle waits.
type Timing struct {
	// Retry is how long to wait after so many failures in a row.
	Retry func(failures int) time.Duration
	// Drain is how long what is under way may take to end.
	Drain time.Duration
}

type (
	// Input is what happens to a partition.
	Input interface{ isInput() }
	// Want says that this node is to own it, and may try at once.
	Want struct{}
	// Unwant says that others are to own it.
	Unwant struct{}
	// Claimed says that a claim has succeeded.
	Claimed struct{ Epoch messages.Epoch }
	// NotClaimed says that a claim has not succeeded, or, if Unsure, that nobody knows.
	NotClaimed struct{ Unsure bool }
	// Recovered says that all its open orders were read.
	Recovered struct{ Epoch messages.Epoch }
	// Fenced says that another node has claimed it since.
	Fenced struct{ Epoch messages.Epoch }
	// TooNew says that it has records of a higher feature level than this version reads.
	TooNew struct{ Epoch messages.Epoch }
	// Drained says that nothing is under way in it.
	Drained struct{ Epoch messages.Epoch }
	// Closed says that all of it has ended.
	Closed struct{ Epoch messages.Epoch }
	// Released says that the release is in the journal.
	Released struct{ Epoch messages.Epoch }
	// NotReleased says that nobody knows whether the release is in the journal.
	NotReleased struct{ Epoch messages.Epoch }
	// Tick says that time has passed.
	Tick struct{}
)

func (Want) isInput()        {}
func (Unwant) isInput()      {}
func (Claimed) isInput()     {}
func (NotClaimed) isInput()  {}
func (Recovered) isInput()   {}
func (Fenced) isInput()      {}
func (TooNew) isInput()      {}
func (Drained) isInput()     {}
func (Closed) isInput()      {}
func (Released) isInput()    {}
func (NotReleased) isInput() {}
func (Tick) isInput()        {}

// Output is what is to be done about a partition.
type Output int

// The outputs.
const (
	Nothing Output = iota
	Claim          // ask the journal for it; answered by Claimed or NotClaimed
	Open           // start its actor under Epoch, which tells when it has Recovered
	Drain          // let what is under way end; answered by Drained
	Close          // end all that hangs on it here, at once; answered by Closed
	Release        // tell the journal that any node may claim it; answered by Released or NotReleased
)

// Ready tells whether nothing is left to do of what this node is to own.
func (l *Lifecycle) Ready() bool { return !l.wanted || l.Phase == Owning }

// Has tells whether this node has the partition under an epoch, and has not released it yet.
func (l *Lifecycle) Has(epoch messages.Epoch) bool { return l.Phase >= Recovering && epoch == l.Epoch }

// Step takes an input, and returns what is to be done.
func (l *Lifecycle) Step(in Input, now time.Time, t Timing) Output {
	switch in := in.(type) {
	case Want:
		l.wanted = true
		if l.Phase == Away {
			l.due = time.Time{} // it may have become free
		}
		return l.settle(now)
	case Unwant:
		l.wanted = false
		return l.leave(now, t)
	case Claimed:
		if l.Phase != Claiming {
			return Nothing
		}
		l.Epoch, l.failures, l.due = in.Epoch, 0, time.Time{}
		if l.fenced, l.unsure = false, false; l.mine() {
			l.Phase = Recovering
			return Open
		}
		l.Phase = Releasing
		return Release
	case NotClaimed:
		if l.Phase == Claiming {
			l.Phase, l.unsure = Away, in.Unsure
			l.failed(now, t)
		}
	case Recovered:
		if l.Phase == Recovering && in.Epoch == l.Epoch {
			l.Phase = Owning
		}
	case Fenced:
		return l.fence(in.Epoch)
	case TooNew:
		if l.Has(in.Epoch) {
			l.tooNew = true
			return l.leave(now, t)
		}
	case Drained:
		if l.Phase == Draining && in.Epoch == l.Epoch {
			return l.close()
		}
	case Closed:
		return l.closed(in.Epoch, now)
	case Released:
		return l.released(in.Epoch, now)
	case NotReleased:
		if l.fenced {
			return l.released(in.Epoch, now)
		}
		if l.Phase == Releasing && in.Epoch == l.Epoch {
			l.failed(now, t)
		}
	case Tick:
		return l.tick(now)
	}
	return Nothing
}

// mine tells whether this node is to own the partition, and can read it.
func (l *Lifecycle) mine() bool { return l.wanted && !l.tooNew }

// settle claims the partition if this node is to own it, or may own it all the same, and it is time to try.
func (l *Lifecycle) settle(now time.Time) Output {
	if l.Phase != Away || !l.mine() && !l.unsure || now.Before(l.due) {
		return Nothing
	}
	l.Phase = Claiming
	return Claim
}

// leave begins to give the partition up.
func (l *Lifecycle) leave(now time.Time, t Timing) Output {
	if l.Phase != Recovering && l.Phase != Owning {
		return Nothing
	}
	l.Phase, l.due = Draining, now.Add(t.Drain)
	return Drain
}

func (l *Lifecycle) failed(now time.Time, t Timing) {
	l.failures++
	l.due = now.Add(t.Retry(l.failures))
}

func (l *Lifecycle) close() Output {
	l.Phase, l.due = Closing, time.Time{}
	return Close
}

// fence closes the partition, because another node has claimed it. It is claimed again only when it is wanted anew.
func (l *Lifecycle) fence(epoch messages.Epoch) Output {
	if !l.Has(epoch) {
		return Nothing
	}
	l.fenced, l.wanted = true, false
	if l.Phase < Closing {
		return l.close()
	}
	return Nothing
}

// closed goes on when nothing is left here of the partition.
func (l *Lifecycle) closed(epoch messages.Epoch, now time.Time) Output {
	if l.Phase != Closing || epoch != l.Epoch {
		return Nothing
	}
	if !l.fenced {
		l.Phase = Releasing
		return Release
	}
	l.Phase = Away
	return l.settle(now)
}

// released goes on when no node owns the partition any more, or another one does.
func (l *Lifecycle) released(epoch messages.Epoch, now time.Time) Output {
	if l.Phase != Releasing || epoch != l.Epoch {
		return Nothing
	}
	l.Phase, l.failures, l.due = Away, 0, time.Time{}
	return l.settle(now)
}

func (l *Lifecycle) tick(now time.Time) Output {
	if l.due.IsZero() || now.Before(l.due) {
		return l.settle(now)
	}
	switch l.Phase {
	case Draining: // what is under way takes too long
		return l.close()
	case Releasing:
		l.due = time.Time{}
		return Release
	default:
		return l.settle(now)
	}
}
