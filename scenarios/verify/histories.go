package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// historyReaders is how many histories are read at once.
const historyReaders = 8

// historyLine is an event as the checker reads it.
type historyLine struct {
	Order    messages.OrderID `json:"order"`
	Version  uint64           `json:"version"`
	At       time.Time        `json:"at"`
	Type     string           `json:"type"`
	Task     string           `json:"task,omitempty"`
	Attempt  uint32           `json:"attempt,omitempty"`
	Key      string           `json:"key,omitempty"`
	Activity string           `json:"activity,omitempty"`
}

// writeHistories writes the histories of all orders to a file, and counts those that the node knows nothing of.
func writeHistories(ctx context.Context, conn *grpc.ClientConn, orders []*order, name string) (untold int, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	lines := json.NewEncoder(w)
	client := orderv1.NewOrderServiceClient(conn)
	var (
		all    sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed error
	)
	one := func(o *order) error {
		events, err := readHistory(ctx, client, o.id)
		mu.Lock()
		defer mu.Unlock()
		if status.Code(err) == codes.NotFound {
			untold++
			return nil
		}
		for _, e := range events {
			err = errors.Join(err, lines.Encode(historyLine{
				Order: o.id, Version: e.GetVersion(), At: e.GetAt().AsTime(), Type: e.GetType(), Task: e.GetTask(),
				Attempt: e.GetAttempt(), Key: e.GetKey(), Activity: e.GetActivity(),
			}))
		}
		return err
	}
	for range historyReaders {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(orders); i = int(next.Add(1)) - 1 {
				if err := one(orders[i]); err != nil {
					mu.Lock()
					failed = fmt.Errorf("history of %s: %w", orders[i].id, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return untold, errors.Join(failed, w.Flush(), f.Close())
}

func readHistory(ctx context.Context, client orderv1.OrderServiceClient, id messages.OrderID) ([]*orderv1.HistoryEvent, error) {
	var events []*orderv1.HistoryEvent
	for from := uint64(1); from != 0; {
		page, err := client.History(ctx, &orderv1.HistoryRequest{Id: string(id), FromVersion: from}, grpc.WaitForReady(true))
		if err != nil {
			return nil, err
		}
		events = append(events, page.GetEvents()...)
		from = page.GetNextVersion()
	}
	return events, nil
}
