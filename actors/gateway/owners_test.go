package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// A client is told who owns what once that is known, and then at most once in a second what has become of it; until the node stops.
func TestWatchOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c := start(t), newNeighbours()
		n.server.Among(c)
		st, err := n.orders.WatchOwners(t.Context(), &orderv1.WatchOwnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		become := func(owners ...uint32) *orderv1.WatchOwnersResponse {
			told := &orderv1.WatchOwnersResponse{Addresses: []string{"node:7460", "other:7460"}, Owners: owners}
			c.mu.Lock()
			c.told = told
			c.mu.Unlock()
			c.become(1)
			settle()
			return told
		}
		began := time.Now()
		wantOwners := func(want *orderv1.WatchOwnersResponse, after time.Duration) {
			t.Helper()
			got, err := st.Recv()
			if err != nil || !proto.Equal(got, want) || time.Since(began) != after {
				t.Errorf("after %v: told %v, %v; want %v after %v", time.Since(began), got, err, want, after)
			}
		}
		settle() // nothing is known, and nothing told
		wantOwners(become(1, 2), 0)
		become(2, 2)
		wantOwners(become(0, 2), time.Second)
		time.Sleep(time.Minute)
		wantOwners(become(1, 1), time.Minute+time.Second)
		n.server.Drain()
		_, err = st.Recv()
		wantRefusal(t, err, codes.Unavailable, "STOPPING")
	})
}

// A node that is alone names nobody. Public addresses are not told to those who ask the administration.
func TestWatchOwnersOfOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		st, err := n.orders.WatchOwners(t.Context(), &orderv1.WatchOwnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := st.Recv(); err != nil || len(got.GetAddresses())+len(got.GetOwners()) > 0 {
			t.Errorf("told %v, %v", got, err)
		}
		st, err = n.adminOrders.WatchOwners(t.Context(), &orderv1.WatchOwnersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = st.Recv()
		wantRefusal(t, err, codes.FailedPrecondition, "PUBLIC_ONLY")
	})
}
