package client

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// routes are the streams of a Submitter: to each node that owns something, as far as that is known, and one to any node. The Submitter's
// lock is held by all who call its methods, but for end.
//
//	           first order for it         the node takes it
//	(none) ───────────────────► opening ───────────────────► open
//	   ▲                           │                           │  it breaks, or the node is none any more
//	   └───────────────────────────┴───────────────────────────┘  what it has left is given to others
//
// After it broke, a node is shunned for a while: its orders go to any node, which passes them on.
type routes struct {
	submitter *Submitter
	ctx       context.Context //nolint:containedctx // of the Submitter: routes are opened by whoever submits
	running   sync.WaitGroup
	ended     bool

	any     *route
	to      map[string]*route // by address
	shunned map[string]shunned
}

// route is one of them.
type route struct {
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
func (rs *routes) give(h *handed) {
	r := rs.route(h.request.GetOrder())
	h.route = r
	if r.stream == nil {
		r.waiting = append(r.waiting, h)
		return
	}
	h.tries++
	r.next = append(r.next, h.request)
}

// flush sends what was given.
func (rs *routes) flush() {
	rs.any.send()
	for _, r := range rs.to {
		r.send()
	}
	if rs.any.stream == nil && len(rs.any.waiting) > 0 {
		signal(rs.submitter.work)
	}
}

func (r *route) send() {
	if len(r.next) > 0 {
		r.stream.Submit(r.next...)
		clear(r.next)
		r.next = r.next[:0]
	}
}

// route returns the one for an order; it may have to be opened.
func (rs *routes) route(o *orderv1.WorkOrder) *route {
	address := rs.submitter.client.owners.at(o.GetId(), o.GetOrderKey())
	if address == "" || rs.ended {
		return rs.any
	}
	if r := rs.to[address]; r != nil {
		return r
	}
	if time.Now().Before(rs.shunned[address].until) {
		return rs.any
	}
	ctx, cancel := context.WithCancel(rs.ctx)
	r := &route{address: address, cancel: cancel}
	rs.to[address] = r
	rs.running.Go(func() {
		defer cancel()
		_, _ = rs.submitter.session(ctx, r) // what it has left is given to others
	})
	return r
}

// opened says that a route has its stream.
func (rs *routes) opened(r *route, s *Stream) {
	r.stream = s
	for _, h := range r.waiting {
		h.tries++
		r.next = append(r.next, h.request)
	}
	r.waiting = nil
	r.send()
}

// closed says that the stream of a route is over, or was not opened. heard: a node had taken it.
func (rs *routes) closed(r *route, heard bool) {
	r.stream, r.waiting = nil, nil
	if r == rs.any {
		return
	}
	delete(rs.to, r.address)
	x := rs.shunned[r.address]
	if x.failures++; heard {
		x.failures = 1
	}
	c := rs.submitter.client
	x.until = time.Now().Add(c.config.Backoff.next(x.failures, c.random))
	rs.shunned[r.address] = x
}

// keep gives up the routes to nodes that are not there any more: such a one may never answer. Nil: it is not known which there are.
func (rs *routes) keep(nodes map[string]bool) {
	for address, r := range rs.to {
		if !nodes[address] {
			r.cancel()
		}
	}
	maps.DeleteFunc(rs.shunned, func(address string, _ shunned) bool { return !nodes[address] })
}

// finish has the streams end once all is answered.
func (rs *routes) finish() {
	for _, r := range rs.to {
		if r.stream != nil {
			r.stream.Close()
		}
	}
	if rs.any.stream != nil {
		rs.any.stream.Close()
	}
}

// endWithin is how long nodes may take to end their streams when all is answered.
const endWithin = time.Second

// end waits until all routes are closed: at once, if the Submitter has failed, and else within a time, as nothing is owed to anybody.
func (rs *routes) end(failure error) {
	giveUp := func() {
		rs.submitter.mu.Lock()
		defer rs.submitter.mu.Unlock()
		rs.keep(nil)
	}
	rs.submitter.mu.Lock()
	rs.ended = true
	rs.submitter.mu.Unlock()
	if failure != nil {
		giveUp()
	}
	late := time.AfterFunc(endWithin, giveUp)
	rs.running.Wait()
	late.Stop()
}
