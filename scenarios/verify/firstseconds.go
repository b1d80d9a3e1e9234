package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// firstSecondsTogether is how many nodes run at the same time, each on a folder of its own.
	firstSecondsTogether = 2
	// firstSecondsLives is how long a node may live.
	firstSecondsLives = 2 * time.Second
	// firstSecondsInFlight is how many orders each client keeps in flight. Every other one waits a moment, so that there are
	// always some that were accepted and have not ended.
	firstSecondsInFlight = 256
	firstSecondsWait     = `{"delay":"PT0.1S"}`
)

func firstFolders(s *site) int {
	if s.ci() {
		return 4
	}
	return 50
}

// firstSeconds kills nodes on fresh folders in their first two seconds, while a client submits orders from the first moment on,
// and looks for the orders in the node that comes after it.
func firstSeconds(ctx context.Context, s *site) (figures, error) {
	f := figures{"folders": 0, "killed_unready": 0, "acknowledged": 0, "ended": 0, "lost": 0, "undone": 0, "wrong_answers": 0, "refused": 0}
	chance := s.chance()
	var lives []time.Duration
	for range firstFolders(s) {
		lives = append(lives, time.Duration(chance.Int64N(int64(firstSecondsLives))))
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for first := range firstSecondsTogether {
		all.Go(func() {
			for i := first; i < len(lives); i += firstSecondsTogether {
				one, err := firstLife(ctx, s, i, lives[i])
				mu.Lock()
				for name, n := range one {
					f.add(name, n)
				}
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("folder %d, killed after %v: %w", i, lives[i].Round(time.Millisecond), err))
					stop()
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return f, failed
}

// firstLife has one node live, and another one look.
func firstLife(ctx context.Context, s *site, i int, life time.Duration) (map[string]int, error) {
	dir := filepath.Join(s.dir, fmt.Sprint("folder-", i))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	client := newFleet(func(n int) *orderv1.WorkOrder {
		if n%2 == 0 {
			return &orderv1.WorkOrder{Definition: "verify/million:1.0.0", Input: []byte(firstSecondsWait)}
		}
		return &orderv1.WorkOrder{Definition: "verify/calm:1.0.0"}
	})
	ready, err := liveAndDie(ctx, s, dir, client, life)
	if err != nil {
		return nil, err
	}
	one := map[string]int{"folders": 1, "wrong_answers": len(client.wrong)}
	if !ready {
		one["killed_unready"] = 1
	}
	for _, wrong := range client.wrong {
		s.sayf("first_seconds: folder %d: %v", i, wrong)
	}
	c := client.counts()
	one["acknowledged"], one["ended"] = c.accepted, c.ended
	if err := lookBack(ctx, s, dir, client.orders, one); err != nil {
		return one, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return one, fmt.Errorf("remove the folder: %w", err)
	}
	return one, nil
}

// lookBack starts a node on what another one has left, and looks for all that was answered OK.
func lookBack(ctx context.Context, s *site, dir string, orders []*order, one map[string]int) error {
	var accepted []*order
	ended := map[messages.OrderID]bool{}
	for _, o := range orders {
		if !o.accepted.IsZero() {
			accepted = append(accepted, o)
			ended[o.id] = !o.ended.IsZero()
		}
	}
	whole := ctx
	ctx, st := stage.New(ctx, dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, false)
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	conn, err := node.Dial()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	one["lost"], err = readHistories(ctx, conn, idsOf(accepted), func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
		if ended[id] && (len(events) == 0 || events[len(events)-1].GetEventType() != eventtype.OrderCompleted) {
			one["undone"]++
		}
		return nil
	})
	if err != nil {
		return why(ctx, err)
	}
	st.Stop()
	if _, failed, err := examineJournal(whole, s, node.Data); err != nil || failed != nil {
		one["refused"]++
		s.sayf("first_seconds: %s: %v", dir, errors.Join(err, failed))
	}
	return nil
}

// liveAndDie runs a node for as long as it may live, with a client that submits orders as soon as it can, and kills it. It tells
// whether the node had become ready.
func liveAndDie(ctx context.Context, s *site, dir string, client *fleet, life time.Duration) (ready bool, err error) {
	ctx, st := stage.New(ctx, dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, false)
	if err != nil {
		return false, err
	}
	death := time.NewTimer(life)
	defer death.Stop()
	conn, err := node.Dial()
	if err != nil {
		return false, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	// The client ends when the node has.
	sailing, sink := context.WithCancel(context.WithoutCancel(ctx))
	defer sink()
	ended := make(chan error, 1)
	deployed := make(chan struct{})
	go func() {
		err := errors.Join(deploy(sailing, conn, "calm"), deploy(sailing, conn, "million"))
		if err == nil {
			close(deployed)
			err = client.run(sailing, conn, firstSecondsInFlight)
		}
		ended <- err
	}()
	select {
	case <-death.C:
	case err := <-ended:
		return false, fmt.Errorf("the client ended before the node: %w", err)
	case <-ctx.Done():
		sink()
		<-ended //nolint:errcheck // it ends because it was cancelled
		return false, context.Cause(ctx)
	}
	_, err = node.Kill(ctx)
	if ctx.Err() != nil && node.PID() == 0 {
		err = nil // the stage has ended with its process
	}
	sink()
	<-ended //nolint:errcheck // it ends because it was cancelled
	select {
	case <-deployed:
		ready = true
	default:
	}
	return ready, err
}

func firstSecondsBars(s *site) bars {
	return bars{
		"folders": atLeast(float64(firstFolders(s))), "acknowledged": atLeast(float64(20 * firstFolders(s))),
	}.none("lost", "undone", "wrong_answers", "refused")
}
