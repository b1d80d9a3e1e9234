package activity

import "sync/atomic"

// uses counts those who are about to use something of an activity, such as to send its dispatcher a message, so that the activity is not
// forgotten under them.
//
//	          enter: one more              close: nobody               end
//	(used) ◄───────────────────── (idle) ────────────────► (closing) ─────────► (gone)
//	   ▲                                                       │
//	   └───────────────────────────────────────────────────────┘ enter
type uses struct {
	n atomic.Int64
	// touched: somebody has entered since that was looked at last. called: an order, or a limit, was among those.
	touched, called atomic.Bool
}

const (
	closing = -1
	gone    = -2
)

// enter begins a use; false: what was to be used is gone. Who has entered leaves soon, and waits for nothing before.
func (u *uses) enter() bool {
	for {
		n := u.n.Load()
		switch {
		case n == gone:
			return false
		case u.n.CompareAndSwap(n, max(n, 0)+1):
			if !u.touched.Load() {
				u.touched.Store(true)
			}
			return true
		}
	}
}

func (u *uses) leave() { u.n.Add(-1) }

// close succeeds if nobody uses it now. Until end, anybody who enters takes that back.
func (u *uses) close() bool { return u.n.CompareAndSwap(0, closing) }

// reopen takes close back.
func (u *uses) reopen() { u.n.CompareAndSwap(closing, 0) }

// end succeeds if nobody has entered since close. Nobody can from now on.
func (u *uses) end() bool { return u.n.CompareAndSwap(closing, gone) }
