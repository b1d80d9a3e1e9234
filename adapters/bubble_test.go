package adapters_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
)

// place is where a node in a bubble listens.
type place struct {
	*bufconn.Listener

	address string
}

func (p place) Addr() net.Addr { return p }

func (place) Network() string { return "bubble" }

func (p place) String() string { return p.address }

// townInBubble runs a test with several nodes on a clock of its own, over a network of its own. An adapter reaches each node under two
// addresses: Addr, and that with "also-" before it.
func townInBubble(
	t *testing.T, options []adaptertest.Options, test func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		places, nodes := map[string]*bufconn.Listener{}, []*adaptertest.Node{}
		for i, o := range options {
			p := place{bufconn.Listen(1 << 16), fmt.Sprintf("node-%d:1", i)}
			places[p.address], places["also-"+p.address] = p.Listener, p.Listener
			o.Listener = p
			nodes = append(nodes, adaptertest.Start(t, o))
		}
		test(t, nodes, adapters.Config{DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return places[address].DialContext(ctx) }),
		}})
	})
}

// inBubble is townInBubble with one node.
func inBubble(t *testing.T, options adaptertest.Options, test func(t *testing.T, node *adaptertest.Node, c adapters.Config)) {
	t.Helper()
	townInBubble(t, []adaptertest.Options{options}, func(t *testing.T, nodes []*adaptertest.Node, c adapters.Config) {
		t.Helper()
		test(t, nodes[0], c)
	})
}

// inTime bounds waiting in a bubble, where time passes quickly.
func inTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}
