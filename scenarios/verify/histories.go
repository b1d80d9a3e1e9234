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

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// historyReaders is how many histories are read at once.
const historyReaders = 8

// writeHistories writes the histories of all orders to a file, and counts those that the node knows nothing of.
func writeHistories(ctx context.Context, conn *client.Client, ids []messages.OrderID, name string) (untold int, err error) {
	return recordHistories(ctx, conn, ids, name, func(messages.OrderID, []*orderv1.HistoryEvent) {})
}

// recordHistories does the same for ids, and hands each history to take, one at a time.
func recordHistories(
	ctx context.Context, conn *client.Client, ids []messages.OrderID, name string,
	take func(messages.OrderID, []*orderv1.HistoryEvent),
) (untold int, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	lines := json.NewEncoder(w)
	untold, err = readHistories(ctx, conn, ids, func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
		take(id, events)
		return checker.WriteHistory(lines, id, events)
	})
	return untold, errors.Join(err, w.Flush(), f.Close())
}

func idsOf(orders []*order) []messages.OrderID {
	ids := make([]messages.OrderID, len(orders))
	for i, o := range orders {
		ids[i] = o.id
	}
	return ids
}

// readHistories reads several histories at once, hands over one at a time, and counts those that the node knows nothing of.
func readHistories(
	ctx context.Context, conn *client.Client, ids []messages.OrderID, take func(messages.OrderID, []*orderv1.HistoryEvent) error,
) (untold int, err error) {
	client := conn.Orders()
	var (
		all    sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed error
	)
	one := func(id messages.OrderID) error {
		events, err := readHistory(ctx, client, id)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case status.Code(err) == codes.NotFound:
			untold++
			return nil
		case err != nil:
			return err
		}
		return take(id, events)
	}
	for range historyReaders {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ids); i = int(next.Add(1)) - 1 {
				if err := one(ids[i]); err != nil {
					mu.Lock()
					failed = fmt.Errorf("history of %s: %w", ids[i], err)
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return untold, failed
}

func readHistory(ctx context.Context, client orderv1.OrderServiceClient, id messages.OrderID) ([]*orderv1.HistoryEvent, error) {
	return stage.History(ctx, client, string(id), grpc.WaitForReady(true))
}
