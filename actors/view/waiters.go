package view

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Waiters are those who wait for the end of an order, or for the growth of its history. They are bounded by their callers: each
// belongs to a call, to an order of a stream, or to an await of another node. Where the order's partition is makes no difference to them.
type Waiters struct {
	post   Post
	shards [messages.Partitions]waiterShard
	// growing counts those that are told of each commit.
	growing atomic.Int64
	looks   looks
	// turns numbers what is undertaken to learn how orders stand.
	turns atomic.Uint64
	// seconds counts the ticks, in which the deadlines of awaits are told; awaits is how many there are, at most mostAwaits.
	seconds, awaits atomic.Int64
}

// waiterShard is those who wait for the orders of a partition.
type waiterShard struct {
	partition messages.Partition

	mu      sync.Mutex
	here    bool // this node has the partition, and so learns of each commit
	byOrder map[messages.OrderID]*awaited
	awaits  map[awaiter]*await
	count   atomic.Int64 // of waiters
}

// awaited is an order that somebody waits for.
type awaited struct {
	pursuit

	// waiters is replaced or appended to, never changed: it is read without the lock, too.
	waiters []*Waiter
	// version is what the order has grown to, as far as the waiters know; it may be less.
	version messages.Version
}

// Waiter is told of an order.
type Waiter struct {
	// Ended is called once, when the order has ended, with what it has come to; nothing more is told then. It must not block. May be
	// nil: an order that has ended may go on, and be watched.
	Ended func(*orderv1.Order)
	// Brief: the order's status, error and output are enough for Ended.
	Brief bool
	// Grown is called after each commit, with the version that the order has reached; perhaps once for many of them, or again. It must not
	// block. May be nil.
	Grown func(messages.Version)
}

func newWaiters(post Post, read standsFunc) *Waiters {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Waiters{post: post, looks: looks{read: read, ctx: ctx, cancel: cancel}}
	for p := range w.shards {
		w.shards[p].partition = messages.Partition(p)
		w.shards[p].byOrder = map[messages.OrderID]*awaited{}
		w.shards[p].awaits = map[awaiter]*await{}
	}
	return w
}

// has tells whether this node has a partition.
func (w *Waiters) has(p messages.Partition) bool {
	s := &w.shards[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.here
}

// Add has a waiter told of an order, whose partition is given, until forget is called. What happened before is not told, as a rule: whoever
// has to know reads the journal after this.
func (w *Waiters) Add(p messages.Partition, id messages.OrderID, x *Waiter) (forget func()) {
	s := &w.shards[p]
	s.mu.Lock()
	a := w.add(s, id, x)
	begin := func() {}
	if (a.turn != 0 || !s.here) && !covers(a.wanted, x) {
		begin = w.pursue(s, id, a)
	}
	s.mu.Unlock()
	begin()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.remove(s, id, x)
	})
}

// add adds a waiter; the lock is held.
func (w *Waiters) add(s *waiterShard, id messages.OrderID, x *Waiter) *awaited {
	a := s.byOrder[id]
	if a == nil {
		a = &awaited{}
		s.byOrder[id] = a
	}
	a.waiters = append(a.waiters, x)
	s.count.Add(1)
	if x.Grown != nil {
		w.growing.Add(1)
	}
	return a
}

// remove removes a waiter, if it is still there; the lock is held.
func (w *Waiters) remove(s *waiterShard, id messages.OrderID, x *Waiter) {
	a := s.byOrder[id]
	if a == nil || !slices.Contains(a.waiters, x) {
		return
	}
	stay := make([]*Waiter, 0, len(a.waiters)-1)
	for _, y := range a.waiters {
		if y != x {
			stay = append(stay, y)
		}
	}
	w.keep(s, id, a, stay)
}

// keep has some of the waiters of an order stay; the lock is held.
func (w *Waiters) keep(s *waiterShard, id messages.OrderID, a *awaited, stay []*Waiter) {
	s.count.Add(int64(len(stay) - len(a.waiters)))
	w.growing.Add(growing(stay) - growing(a.waiters))
	if a.waiters = stay; len(stay) == 0 {
		delete(s.byOrder, id)
	}
}

func growing(list []*Waiter) (n int64) {
	for _, x := range list {
		if x.Grown != nil {
			n++
		}
	}
	return n
}

// Len returns how many waiters there are.
func (w *Waiters) Len() int {
	n := int64(0)
	for i := range w.shards {
		n += w.shards[i].count.Load()
	}
	return int(n)
}

// Grown tells that events of an order of a partition were committed, up to a version. ended makes what it has come to, if it has ended;
// else it is nil. Whole: with all that is told of orders.
func (w *Waiters) Grown(p messages.Partition, id messages.OrderID, v messages.Version, ended func(whole bool) *orderv1.Order) {
	if ended == nil && w.growing.Load() == 0 {
		return
	}
	s := &w.shards[p]
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	var list []*Waiter
	if a := s.byOrder[id]; a != nil {
		list = w.told(s, id, a, v, ended != nil)
	}
	s.mu.Unlock()
	tell(list, v, ended)
}

// told returns who is to be told that an order has grown to a version, or has ended, and forgets those who are told nothing more then. The
// lock is held.
func (w *Waiters) told(s *waiterShard, id messages.OrderID, a *awaited, v messages.Version, ended bool) []*Waiter {
	list := a.waiters
	a.version = max(a.version, v)
	if ended {
		var stay []*Waiter
		for _, x := range list {
			if x.Ended == nil {
				stay = append(stay, x)
			}
		}
		w.keep(s, id, a, stay)
	}
	return list
}

// tell tells waiters how an order stands.
func tell(list []*Waiter, v messages.Version, ended func(whole bool) *orderv1.Order) {
	var order *orderv1.Order
	for _, x := range list {
		if ended != nil && x.Ended != nil {
			if order == nil {
				order = ended(slices.ContainsFunc(list, func(y *Waiter) bool { return y.Ended != nil && !y.Brief }))
			}
			x.Ended(order)
		}
		if x.Grown != nil {
			x.Grown(v)
		}
	}
}

// wantedBy is what is to be known of an order for its waiters.
func wantedBy(list []*Waiter) *nodev1.Await {
	m := &nodev1.Await{}
	for _, x := range list {
		m.Grows = m.GetGrows() || x.Grown != nil
		m.Ends = m.GetEnds() || x.Ended != nil
		m.Whole = m.GetWhole() || x.Ended != nil && !x.Brief
	}
	return m
}

// covers tells whether what is wanted, if anything is, is enough for a waiter, too.
func covers(m *nodev1.Await, x *Waiter) bool {
	one := wantedBy([]*Waiter{x})
	return (m.GetGrows() || !one.GetGrows()) && (m.GetEnds() || !one.GetEnds()) && (m.GetWhole() || !one.GetWhole())
}
