package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// familySleep is how long each activity of a family takes: long enough to be killed in.
	familySleep = 4 * time.Millisecond
	// familySlack is how long after an event at most the node is killed: commits of the children come in between.
	familySlack = 8 * time.Millisecond
)

// familyRounds is how often the node is killed at each event of the parent, familyStep which of these are taken.
func (s *site) familyRounds() (rounds, step int) {
	if s.ci() {
		return 1, 15
	}
	return 3, 1
}

// verifyKilled kills a node on a fresh folder at each event of an order that runs three others and undoes what was done, and has
// the journal verified: as it was left, and when another node has brought the order to its end.
func verifyKilled(ctx context.Context, s *site) (figures, error) {
	f := figures{"kills": 0, "at_events": 0, "refused": 0}
	// Nobody is killed in a trial: it tells how many events there are.
	events, err := s.familyLife(ctx, 0, 1<<20, 0, f)
	if err != nil {
		return f, err
	}
	f["at_events"] = events
	chance := s.chance()
	rounds, step := s.familyRounds()
	for round := range rounds {
		for at := 1 + round%step; at < events; at += step {
			kills := f["kills"].(int) + 1 //nolint:errcheck,forcetypeassert // set above
			slack := time.Duration(chance.Int64N(int64(familySlack)))
			if _, err := s.familyLife(ctx, kills, at, slack, f); err != nil {
				return f, fmt.Errorf("killed %v after event %d: %w", slack, at, err)
			}
			f["kills"] = kills
		}
	}
	return f, nil
}

// familyLife has one node live until its order has come to an event, and another one bring the order to its end.
func (s *site) familyLife(ctx context.Context, n, at int, slack time.Duration, f figures) (events int, err error) {
	dir := filepath.Join(s.dir, fmt.Sprint("family-", n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, fmt.Errorf("make the folder: %w", err)
	}
	for life := range 2 {
		if life == 1 {
			at, slack = 1<<20, 0
		}
		seen, data, err := s.familyUntil(ctx, dir, at, slack)
		if err != nil {
			return seen, err
		}
		_, failed, err := examineJournal(ctx, s, data)
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		if err != nil || failed != nil {
			f.add("refused", 1)
			s.sayf("verify_killed: %s: %v", dir, errors.Join(err, failed))
			return seen, nil // The folder stays, to be looked at.
		}
		events = max(events, seen)
	}
	if err := os.RemoveAll(dir); err != nil {
		return events, fmt.Errorf("remove the folder: %w", err)
	}
	return events, nil
}

// familyUntil runs a node and its adapter until the order has come to an event, or to its end, and kills them a while later. It
// returns how many events were seen, and the data folder.
func (s *site) familyUntil(ctx context.Context, dir string, at int, slack time.Duration) (events int, data string, err error) {
	ctx, st := stage.New(ctx, dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, false)
	if err != nil {
		return 0, "", err
	}
	if err := node.Ready(ctx); err != nil {
		return 0, "", err
	}
	_, err = st.Start(ctx, stage.Spec{
		Name: players.Sleeper, Path: s.self,
		Args: []string{players.Sleeper, "-server", node.Server, "-for", familySleep.String(), "-log", filepath.Join(dir, "executions.jsonl")},
	})
	if err != nil {
		return 0, "", err
	}
	conn, err := prepared(ctx, node, "family-child", "family")
	if err != nil {
		return 0, "", err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	client := conn.Orders()
	order := &orderv1.WorkOrder{Id: "family", Definition: "verify/family:1.0.0", OrderKey: "family"}
	if _, err := client.Submit(ctx, &orderv1.SubmitRequest{Order: order}); err != nil {
		return 0, "", why(ctx, err)
	}
	if events, err = watchUntil(ctx, client, order.GetId(), at); err != nil {
		return 0, "", why(ctx, err)
	}
	if err := stage.Pause(ctx, slack); err != nil {
		return 0, "", err
	}
	if _, err := node.Kill(ctx); err != nil && node.PID() != 0 {
		return 0, "", err
	}
	return events, node.Data, nil
}

// watchUntil watches an order until it has had so many events, or has completed.
func watchUntil(ctx context.Context, client orderv1.OrderServiceClient, id string, at int) (events int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stream, err := client.Watch(ctx, &orderv1.WatchRequest{Id: id}, grpc.WaitForReady(true))
	if err != nil {
		return 0, err
	}
	last := orderv1.EventType_EVENT_TYPE_UNSPECIFIED
	for events < at {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if last != eventtype.OrderCompleted {
				return events, fmt.Errorf("order %s ended with %s", id, last)
			}
			return events, nil
		}
		if err != nil {
			return events, fmt.Errorf("watch order %s: %w", id, err)
		}
		for _, e := range m.GetEvents() {
			last = e.GetEventType()
			events++
		}
	}
	return events, nil
}

func verifyKilledBars(s *site) bars {
	rounds, step := s.familyRounds()
	return bars{"kills": atLeast(float64(20 * rounds / step)), "at_events": atLeast(20)}.none("refused")
}
