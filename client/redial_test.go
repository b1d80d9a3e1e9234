package client_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// network is one in which each node that is there is reached in memory.
type network struct {
	mu    sync.Mutex
	there map[string]*bufconn.Listener
	tried map[string]int // how often each address was connected to
}

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	n.tried[address]++
	l := n.there[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("nobody is there")
	}
	return l.DialContext(ctx)
}

// start starts a node at an address, and returns what ends it.
func (n *network) start(t *testing.T, s *store, address string) (end func()) {
	t.Helper()
	l, server := bufconn.Listen(1<<20), grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second}))
	orderv1.RegisterOrderServiceServer(server, &node{store: s, address: address})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.there[address] = l
	return func() {
		n.mu.Lock()
		delete(n.there, address)
		n.mu.Unlock()
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}
}

// within returns how often an address is connected to in a time.
func (n *network) within(d time.Duration, address string) int {
	n.mu.Lock()
	before := n.tried[address]
	n.mu.Unlock()
	time.Sleep(d)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tried[address] - before
}

// An announced address that can't be reached is connected to ever more rarely, until it was reached, or is announced anew. One that the
// client was given is tried as often as ever.
func TestUnreachableOwnersAreRarelyTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const first, second, away, other = "first.example:1", "second.example:1", "away.example:1", "other.example:1"
		lan := &network{there: map[string]*bufconn.Listener{}, tried: map[string]int{}}
		s := newWorld(t, 0).store
		defer lan.start(t, s, first)()
		announce := func(address string) {
			s.become(owners(func(int) *node { return nil }, &node{address: first}, &node{address: address}))
		}
		announce(away)
		c, err := client.New(client.Config{
			Addresses: []string{first, second}, DialOptions: []grpc.DialOption{grpc.WithContextDialer(lan.dial)},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		submitter := c.NewSubmitter(t.Context(), client.Submitting{})
		defer func() {
			if err := submitter.Close(); err != nil {
				t.Error(err)
			}
		}()
		c.AwaitOwners()
		if n := lan.within(5*time.Second, away); n < 3 {
			t.Errorf("it is tried %d times in the first 5 s", n)
		}
		time.Sleep(time.Minute)
		if n := lan.within(10*time.Minute, away); n < 18 || n > 30 {
			t.Errorf("it is tried %d times in 10 minutes", n)
		}
		if n := lan.within(10*time.Minute, second); n < 290 {
			t.Errorf("the address that was given is tried %d times in 10 minutes", n)
		}
		end := lan.start(t, s, away)
		if n := lan.within(33*time.Second, away); n != 1 {
			t.Errorf("it is tried %d times until it was reached", n)
		}
		end()
		if n := lan.within(5*time.Second, away); n < 3 {
			t.Errorf("it is tried %d times in 5 s after it was reached", n)
		}
		time.Sleep(time.Minute)
		announce(other)
		if n := lan.within(time.Second, other); n < 1 {
			t.Error("a new address is not tried at once")
		}
		if n := lan.within(time.Minute, away); n != 0 {
			t.Errorf("it is tried %d times when it is not announced any more", n)
		}
		announce(away)
		if n := lan.within(time.Second, away); n < 1 {
			t.Error("it is not tried at once when it is announced anew")
		}
	})
}
