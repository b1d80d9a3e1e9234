package client

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// window holds the orders that have no last answer yet, and says which of them are to be sent. It sends nothing, and knows no
// clock: the Submitter around it does.
//
//	                    ┌──────── refused for now: until its time has come ─────────┐
//	                    ▼                                                           │
//	add ─► behind others of its key ─► to be sent ─► given to a route ─► accepted ─► ended ─► (gone)
//	                                       ▲                               │           refused ─► (gone)
//	                                       └────── its stream broke ───────┘
type window struct {
	mostOrders, mostBytes int

	byID  map[string]*handed // by the id that answers have
	bytes int
	seen  uint64 // how many were ever added
	// keys holds, by order key, those that were not accepted yet, in the order in which they were added. Only the first of a key is
	// sent, so that none overtakes another one that the node had no room for: orders of a key run in the order of their acceptance.
	keys map[string][]*handed
	// next is to be sent, in this order. later was refused for now, and is to be sent when its time has come.
	next  []*handed
	later map[*handed]time.Time
}

// handed is an order in the window.
type handed struct {
	request  *orderv1.SubmitRequest
	answered func(Answer)
	number   uint64 // how many orders were added up to it
	size     int
	tries    int
	refusals int // how often in a row it was refused for now
	accepted bool
	route    *route // that it was given to last; nil: none, or it came back
}

func newWindow(orders, bytes int) *window {
	return &window{
		mostOrders: orders, mostBytes: bytes, byID: make(map[string]*handed), keys: make(map[string][]*handed),
		later: make(map[*handed]time.Time),
	}
}

func (w *window) empty() bool { return len(w.byID) == 0 }

// answeredAs is the id that answers to a submission have: of one that is too long they tell the beginning.
func answeredAs(request *orderv1.SubmitRequest) string {
	return messages.Clip(request.GetOrder().GetId(), messages.MaxOrderID)
}

// add takes an order, if there is room for it. One whose id is in the window has to wait until that is answered: answers name ids.
// One that is larger than the window has room in an empty one.
func (w *window) add(request *orderv1.SubmitRequest, answered func(Answer)) bool {
	id, size := answeredAs(request), sizeOf(request.GetOrder())
	if len(w.byID) >= w.mostOrders || w.bytes > 0 && w.bytes+size > w.mostBytes || w.byID[id] != nil {
		return false
	}
	h := &handed{request: request, answered: answered, number: w.seen, size: size}
	w.seen++
	w.byID[id] = h
	w.bytes += size
	if key := request.GetOrder().GetOrderKey(); key != "" {
		w.keys[key] = append(w.keys[key], h)
	}
	if w.first(h) {
		w.next = append(w.next, h)
	}
	return true
}

// first tells whether no order of the same key has to be accepted before this one.
func (w *window) first(h *handed) bool {
	key := h.request.GetOrder().GetOrderKey()
	return key == "" || h.accepted || w.keys[key][0] == h
}

// take gives what is to be sent now.
func (w *window) take(give func(*handed)) {
	for _, h := range w.next {
		give(h)
	}
	clear(w.next)
	w.next = w.next[:0]
}

// back is called when the stream of a route is over: all that was given to it and has no last answer is to be sent again, in the order in
// which it was added. It returns how many that are.
func (w *window) back(r *route) (orders int) {
	for _, h := range w.inOrder() {
		if h.route == r {
			h.route = nil
			w.next = append(w.next, h)
			orders++
		}
	}
	return orders
}

func (w *window) inOrder() []*handed {
	return slices.SortedFunc(maps.Values(w.byID), func(x, y *handed) int { return cmp.Compare(x.number, y.number) })
}

// soonest returns when the first of those that were refused for now is to be sent; false if there is none.
func (w *window) soonest() (due time.Time, found bool) {
	for _, at := range w.later {
		if !found || at.Before(due) {
			due, found = at, true
		}
	}
	return due, found
}

// come has orders sent again whose time has come.
func (w *window) come(now time.Time) {
	came := len(w.next)
	for h, at := range w.later {
		if !at.After(now) {
			delete(w.later, h)
			w.next = append(w.next, h)
		}
	}
	slices.SortFunc(w.next[came:], func(x, y *handed) int { return cmp.Compare(x.number, y.number) })
}

// answer takes an answer. It returns the order that it is about, and whether it is the last one to it; nil if nothing is to be told. That
// an order was refused for now is not told: again returns when to send it again, given how often it was refused.
func (w *window) answer(s *orderv1.Submission, again func(refused *orderv1.Refused, times int) time.Time) (h *handed, last bool) {
	if h = w.byID[s.GetId()]; h == nil {
		return nil, false // it answers a try before
	}
	switch answer := s.GetAnswer().(type) {
	case *orderv1.Submission_Accepted:
		h.refusals = 0
		if h.request.GetWait() == orderv1.Wait_WAIT_ENDED {
			if h.accepted {
				return nil, false // it was told before, and came again because the order was submitted again
			}
			w.accept(h)
			return h, false
		}
	case *orderv1.Submission_Refused:
		if forNow(answer.Refused) {
			h.refusals++
			h.route = nil
			w.later[h] = again(answer.Refused, h.refusals)
			return nil, false
		}
	}
	w.remove(h)
	return h, true
}

// forNow tells whether an order was refused only for now.
func forNow(r *orderv1.Refused) bool {
	return r != nil && (r.GetRetryAfter() != nil || codes.Code(r.GetCode()) == codes.Unavailable) //nolint:gosec // a code is small
}

// accept notes that an order was accepted. The next one of its key has its turn.
func (w *window) accept(h *handed) {
	if h.accepted {
		return
	}
	h.accepted = true
	key := h.request.GetOrder().GetOrderKey()
	switch behind := w.keys[key]; len(behind) {
	case 0: // it has no key
	case 1:
		delete(w.keys, key)
	default:
		behind[0] = nil
		w.keys[key] = behind[1:]
		w.next = append(w.next, behind[1])
	}
}

// remove removes an order that has its last answer.
func (w *window) remove(h *handed) {
	w.accept(h)
	delete(w.byID, answeredAs(h.request))
	delete(w.later, h)
	w.bytes -= h.size
}
