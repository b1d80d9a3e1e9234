package gateway

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// ownersPause is the least time from one message about owners to the next. Many partitions change their owner at about the same time,
// each by itself.
const ownersPause = time.Second

// WatchOwners implements orderv1.OrderServiceServer.
func (o orders) WatchOwners(_ *orderv1.WatchOwnersRequest, st grpc.ServerStreamingServer[orderv1.WatchOwnersResponse]) error {
	for {
		owners, changed := o.nodes.Owners()
		if owners != nil {
			if err := st.Send(owners); err != nil {
				return o.fail(fmt.Errorf("tell the owners: %w", err))
			}
			if err := await(st.Context(), o.stopping, time.After(ownersPause)); err != nil {
				return o.fail(err)
			}
		}
		if err := await(st.Context(), o.stopping, changed); err != nil {
			return o.fail(err)
		}
	}
}

// await waits for something. It fails if the node stops, or the context ends.
func await[T any](ctx context.Context, stopping <-chan struct{}, something <-chan T) error {
	select {
	case <-something:
		return nil
	case <-stopping:
		return runtime.ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}
