package gateway

import (
	"container/list"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
)

// unsent bounds the bytes of answers that were read from the journal and are not sent yet, over all calls and streams of a server. Before a
// call reads from the journal it takes a claim, and waits while there is no room for one. Connections take turns, and none has more than a
// quarter, so that a client that does not read holds up itself before others. A client that has not read for the time of patience, while
// somebody waits because of that, loses its connection.
type unsent struct {
	most, share, place int64
	patience           time.Duration
	// slow is told of each connection that is closed because its client does not read, changed how many bytes more are unsent.
	slow    func(name string)
	changed func(bytes int64)

	mu     sync.Mutex
	left   int64
	turn   []*reader // those who may have more, and have calls that wait for it: at most all connections
	claims map[*claim]struct{}
	others reader // all connections of which nothing is known, together
}

// newUnsent bounds the bytes that are not sent to most; place is what one answer takes until its size is known.
func newUnsent(most, place int64, patience time.Duration) *unsent {
	return &unsent{
		most: most, share: most / 4, place: place, patience: patience, left: most, claims: map[*claim]struct{}{},
		slow: func(string) {}, changed: func(int64) {},
	}
}

// reader is a connection whose client is sent something.
type reader struct {
	name   string
	hangUp func()                 // closes the connection; nil if nothing is known of it
	said   func() bool            // the requests of all its calls have come; nil if nothing is known of that
	in     atomic.Pointer[unsent] // set once it was sent something

	held    int64
	waiting list.List // of *claim; bounded by the calls and streams of the connection
	turn    bool      // it is among those whose turn comes
	gone    bool
}

// readerAddr is the address of a client, and what is known of its connection.
type readerAddr struct {
	net.Addr

	reader *reader
}

// connectionOf returns where a call comes from, nil if that is not known, and what is known of its connection, nil if nothing is.
func connectionOf(ctx context.Context) (from net.Addr, by *reader) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, nil
	}
	if known, ok := p.Addr.(readerAddr); ok {
		return known.Addr, known.reader
	}
	return p.Addr, nil
}

// leave ends all claims of a connection: it is closed, and what was not sent there never will be.
func (r *reader) leave() {
	if u := r.in.Load(); u != nil {
		u.leave(r)
	}
}

// claim is the right to some bytes of unsent answers.
type claim struct {
	// encoded is what was read under the claim, encoded. The rest of the message follows.
	encoded *[]byte

	in    *unsent
	by    *reader
	bytes int64
	since time.Time
	given bool
	ready chan struct{} // closed when the caller has the claim
}

// take takes a claim for an answer to the caller that ctx tells of. It waits while there is no room for one.
func (u *unsent) take(ctx context.Context) (*claim, error) {
	c, place := u.ask(ctx)
	select {
	case <-c.ready:
		return c, nil
	default:
	}
	impatient := time.NewTicker(u.patience)
	defer impatient.Stop()
	for {
		select {
		case <-c.ready:
			return c, nil
		case <-impatient.C:
			u.hangUp(c)
		case <-ctx.Done():
			u.withdraw(c, place)
			return nil, fmt.Errorf("wait until there is room beside what clients have not read yet: %w", ctx.Err())
		}
	}
}

// tryTake takes a claim if there is room for one now; else it is nil.
func (u *unsent) tryTake(ctx context.Context) *claim {
	c, place := u.ask(ctx)
	select {
	case <-c.ready:
		return c
	default:
		u.withdraw(c, place)
		return nil
	}
}

// ask makes a claim, and puts it in line.
func (u *unsent) ask(ctx context.Context) (*claim, *list.Element) {
	c := &claim{in: u, by: u.readerOf(ctx), ready: make(chan struct{})}
	u.mu.Lock()
	defer u.mu.Unlock()
	place := c.by.waiting.PushBack(c)
	u.enter(c.by)
	u.serve()
	return c, place
}

func (u *unsent) readerOf(ctx context.Context) *reader {
	_, r := connectionOf(ctx)
	if r == nil {
		return &u.others
	}
	r.in.Store(u)
	return r
}

// enter puts a reader among those whose turn comes, if a call of it waits and it does not have its share.
func (u *unsent) enter(r *reader) {
	if !r.turn && r.waiting.Len() > 0 && u.mayHaveMore(r) {
		r.turn = true
		u.turn = append(u.turn, r)
	}
}

// mayHaveMore tells whether a reader does not have its share. One whose connection is closed gets nothing: its calls are about
// to end.
func (u *unsent) mayHaveMore(r *reader) bool {
	return r == &u.others || !r.gone && (r.held <= 0 || r.held+u.place <= u.share)
}

// serve gives claims to those whose turn it is, one to each. If one claim is larger than all the room, one caller has it at a time.
func (u *unsent) serve() {
	for len(u.turn) > 0 && (u.left >= u.place || u.left >= u.most) {
		r := u.turn[0]
		u.turn, r.turn = u.turn[1:], false
		first := r.waiting.Front()
		if first == nil || r.gone {
			continue // its calls have given up waiting, or are about to
		}
		c := r.waiting.Remove(first).(*claim) //nolint:errcheck,forcetypeassert // nothing else is in there
		c.since = time.Now()
		u.claims[c] = struct{}{}
		u.add(c, u.place)
		close(c.ready)
		u.enter(r)
	}
}

// add changes how much a claim is for.
func (u *unsent) add(c *claim, bytes int64) {
	c.bytes += bytes
	c.by.held += bytes
	u.left -= bytes
	u.changed(bytes)
}

// withdraw ends the wait for a claim.
func (u *unsent) withdraw(c *claim, place *list.Element) {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-c.ready:
		u.giveBack(c)
	default:
		c.by.waiting.Remove(place)
	}
}

// resize says how many bytes a claim is for, once that is known.
func (c *claim) resize(bytes int) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.given {
		c.in.add(c, int64(bytes)-c.bytes)
		c.in.enter(c.by)
		c.in.serve()
	}
}

// give ends a claim. Doing it again changes nothing.
func (c *claim) give() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.giveBack(c)
}

func (u *unsent) giveBack(c *claim) {
	if c.given {
		return
	}
	c.given = true
	delete(u.claims, c)
	u.add(c, -c.bytes)
	u.enter(c.by)
	u.serve()
}

func (u *unsent) leave(r *reader) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r.gone = true
	for c := range u.claims {
		if c.by == r {
			u.giveBack(c)
		}
	}
}

// hangUp closes the connection of the client that has not read for longest, if that is longer than patience. If a claim has to wait
// because its own connection has its share, that connection is the one.
func (u *unsent) hangUp(waits *claim) {
	u.mu.Lock()
	own := !u.mayHaveMore(waits.by)
	var oldest *claim
	for c := range u.claims {
		if c.by.hangUp != nil && !c.by.gone && (!own || c.by == waits.by) && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if oldest == nil || time.Since(oldest.since) < u.patience {
		u.mu.Unlock()
		return
	}
	oldest.by.gone = true // once is enough
	u.mu.Unlock()
	u.slow(oldest.by.name)
	oldest.by.hangUp()
}
