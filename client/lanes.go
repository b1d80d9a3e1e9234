package client

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// lanes are the streams of a Submitter: to each node that owns something, as far as that is known, and one to any node. The Submitter's
// lock is held by all who call its methods, but for end.
//
//	           first order for it         the node takes it
//	(none) ───────────────────► opening ───────────────────► open
//	   ▲                           │                           │  it breaks, or the node is none any more
//	   └───────────────────────────┴───────────────────────────┘  what it has left is given to others
//
// After it broke, a node is shunned for a while: its orders go to any node, which passes them on.
type lanes struct {
	submitter *Submitter
	ctx       context.Context //nolint:containedctx // of the Submitter: lanes are opened by whoever submits
	running   sync.WaitGroup
	ended     bool

	any     *lane
	to      map[string]*lane // by address
	shunned map[string]shunned
}

// lane is one of them.
type lane struct {
	address string // empty: any
	cancel  context.CancelFunc
	stream  *Stream // nil: it is not open
	// waiting wait for it to be open.
	waiting []*handed
	// next is sent next; it is empty while nobody holds the lock.
	next []*orderv1.SubmitRequest
}

// shunned is a node whose stream broke, so many times in a row.
type shunned struct {
	failures int
	until    time.Time
}

// give takes an order, which flush sends.
func (ls *lanes) give(h *handed) {
	l := ls.lane(h.request.GetOrder())
	h.lane = l
	if l.stream == nil {
		l.waiting = append(l.waiting, h)
		return
	}
	h.tries++
	l.next = append(l.next, h.request)
}

// flush sends what was given.
func (ls *lanes) flush() {
	ls.any.send()
	for _, l := range ls.to {
		l.send()
	}
	if ls.any.stream == nil && len(ls.any.waiting) > 0 {
		signal(ls.submitter.work)
	}
}

func (l *lane) send() {
	if len(l.next) > 0 {
		l.stream.Submit(l.next...)
		clear(l.next)
		l.next = l.next[:0]
	}
}

// lane returns the one for an order; it may have to be opened.
func (ls *lanes) lane(o *orderv1.WorkOrder) *lane {
	address := ls.submitter.client.owners.at(o.GetId(), o.GetOrderKey())
	if address == "" || ls.ended {
		return ls.any
	}
	if l := ls.to[address]; l != nil {
		return l
	}
	if time.Now().Before(ls.shunned[address].until) {
		return ls.any
	}
	ctx, cancel := context.WithCancel(ls.ctx)
	l := &lane{address: address, cancel: cancel}
	ls.to[address] = l
	ls.running.Go(func() {
		defer cancel()
		_, _ = ls.submitter.session(ctx, l) // what it has left is given to others
	})
	return l
}

// opened says that a lane has its stream.
func (ls *lanes) opened(l *lane, s *Stream) {
	l.stream = s
	for _, h := range l.waiting {
		h.tries++
		l.next = append(l.next, h.request)
	}
	l.waiting = nil
	l.send()
}

// closed says that the stream of a lane is over, or was not opened. heard: a node had taken it.
func (ls *lanes) closed(l *lane, heard bool) {
	l.stream, l.waiting = nil, nil
	if l == ls.any {
		return
	}
	delete(ls.to, l.address)
	x := ls.shunned[l.address]
	if x.failures++; heard {
		x.failures = 1
	}
	c := ls.submitter.client
	x.until = time.Now().Add(c.config.Backoff.next(x.failures, c.random))
	ls.shunned[l.address] = x
}

// keep gives up the lanes to nodes that are not there any more: such a one may never answer. Nil: it is not known which there are.
func (ls *lanes) keep(nodes map[string]bool) {
	for address, l := range ls.to {
		if !nodes[address] {
			l.cancel()
		}
	}
	maps.DeleteFunc(ls.shunned, func(address string, _ shunned) bool { return !nodes[address] })
}

// finish has the streams end once all is answered.
func (ls *lanes) finish() {
	for _, l := range ls.to {
		if l.stream != nil {
			l.stream.Close()
		}
	}
	if ls.any.stream != nil {
		ls.any.stream.Close()
	}
}

// end waits until all lanes are closed; at once, if the Submitter has failed.
func (ls *lanes) end(failure error) {
	ls.submitter.mu.Lock()
	ls.ended = true
	if failure != nil {
		ls.keep(nil)
	}
	ls.submitter.mu.Unlock()
	ls.running.Wait()
}
