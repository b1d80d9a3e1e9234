package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// learnAfter is how many calls that an owner could serve a client makes until it asks who that is: for a few it is not worth it.
	learnAfter = 16
	// learnAgain is how long after nodes that don't tell who owns what are asked again: they may be replaced by newer ones.
	learnAgain = time.Minute
	// mostNodes is to how many announced addresses there are connections at most: more nodes can't own anything.
	mostNodes = messages.Partitions
)

// owners is what a client knows of which node owns which partition. It begins to ask when that is worth it, and goes on until it is
// closed.
//
//	           worth it              a node tells            the stream breaks
//	(nothing) ─────────► (asking) ───────────────► (known) ──────────────────► (known, asking)
//
// What it knows may be wrong at any time: the node that is asked passes on what it does not own.
type owners struct {
	client *Client
	nodes  *manual.Resolver
	given  []resolver.Address

	calls atomic.Int64
	table atomic.Pointer[table]

	life   context.Context //nolint:containedctx // of the client
	end    context.CancelFunc
	asking sync.WaitGroup

	mu      sync.Mutex
	began   bool          // to ask
	changed chan struct{} // closed, and replaced, when there is another table
}

// table is which node owns which partition. It is never changed.
type table struct {
	nodes map[string]bool // by address
	// of are the addresses of the owners; empty: none is known.
	of [messages.Partitions]string
}

func newOwners(c *Client, nodes *manual.Resolver, given []resolver.Address) *owners {
	o := &owners{client: c, nodes: nodes, given: given, changed: make(chan struct{})}
	o.life, o.end = context.WithCancel(context.Background())
	return o
}

// at returns where the owner of an order is; empty: that is not known.
func (o *owners) at(id, key string) string {
	t := o.table.Load()
	if t == nil {
		return ""
	}
	return t.of[messages.PartitionOf(messages.OrderID(id), key)]
}

// serves returns where the owner is whom a call is best made at; empty: that is not known, or it is not about one order. Of an order with
// a key, of which only the id is known here, it is another node: any will do.
func (o *owners) serves(request any) string {
	var id, key string
	switch r := request.(type) {
	case *orderv1.SubmitRequest:
		id, key = r.GetOrder().GetId(), r.GetOrder().GetOrderKey()
	case *orderv1.GetRequest:
		id = r.GetId()
	case *orderv1.CancelRequest:
		id = r.GetId()
	default:
		return ""
	}
	if o.calls.Add(1) == learnAfter {
		o.learn()
	}
	return o.at(id, key)
}

// news returns the nodes that there are, by address, nil if that is not known, and a channel that is closed when that has changed.
func (o *owners) news() (nodes map[string]bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.table.Load(); t != nil {
		nodes = t.nodes
	}
	return nodes, o.changed
}

// learn begins to ask who owns what, unless that was begun before.
func (o *owners) learn() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.began && !o.client.config.Unrouted && o.life.Err() == nil {
		o.began = true
		o.asking.Go(func() { o.follow(o.life) })
	}
}

// close ends it.
func (o *owners) close() {
	o.mu.Lock()
	o.end()
	o.mu.Unlock()
	o.asking.Wait()
}

// follow asks nodes until its context ends, one after another.
func (o *owners) follow(ctx context.Context) {
	for failures := 1; ctx.Err() == nil; failures++ {
		told, err := o.hear(ctx)
		if told {
			failures = 1
		}
		delay := learnAgain
		if Passes(err) {
			delay = o.client.config.Backoff.next(failures, o.client.random)
		}
		again := time.NewTimer(delay)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
}

// hear learns from a node until the stream ends, and says whether that has told something, and why it ended.
func (o *owners) hear(ctx context.Context) (told bool, err error) {
	stream, err := o.client.Orders().WatchOwners(ctx, &orderv1.WatchOwnersRequest{})
	for err == nil {
		var m *orderv1.WatchOwnersResponse
		if m, err = stream.Recv(); err == nil {
			told = true
			o.become(m)
		}
	}
	return told, err //nolint:wrapcheck // it is the node's answer
}

// become takes a node's word. Owners whose addresses make no sense are none, and so are all if it knows other partitions than this client.
func (o *owners) become(m *orderv1.WatchOwnersResponse) {
	t := &table{nodes: make(map[string]bool)}
	addresses := make([]string, len(m.GetAddresses())+1) // 0: none is known
	for i, address := range m.GetAddresses()[:min(len(m.GetAddresses()), mostNodes)] {
		if complete, err := CompleteAddress(address, Port); err == nil {
			addresses[i+1] = complete
			t.nodes[complete] = true
		}
	}
	if owners := m.GetOwners(); len(owners) == len(t.of) {
		for p, number := range owners {
			if int(number) < len(addresses) {
				t.of[p] = addresses[number]
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.table.Store(t)
	o.connect(t)
	close(o.changed)
	o.changed = make(chan struct{})
}

// connect has gRPC hold connections to the nodes of a table, and to those that the client was given; mu is held.
func (o *owners) connect(t *table) {
	all := slices.Clone(o.given)
	for address := range t.nodes {
		if !slices.ContainsFunc(o.given, func(g resolver.Address) bool { return g.Addr == address }) {
			all = append(all, o.client.config.endpoint(address))
		}
	}
	o.nodes.UpdateState(resolver.State{Addresses: all})
}
