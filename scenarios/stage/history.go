package stage

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// History reads the whole history of an order.
func History(
	ctx context.Context, orders orderv1.OrderServiceClient, id string, options ...grpc.CallOption,
) ([]*orderv1.HistoryEvent, error) {
	var all []*orderv1.HistoryEvent
	for from := uint64(1); from != 0; {
		page, err := orders.History(ctx, &orderv1.HistoryRequest{Id: id, FromVersion: from}, options...)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		all = append(all, page.GetEvents()...)
		from = page.GetNextVersion()
	}
	return all, nil
}
