package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// clocksAhead is by how many seconds the clock of the node is ahead, from one of its starts to the next: it is put forward by an hour, and
// back.
func clocksAhead(s *site) []int {
	if s.ci() {
		return []int{0, 3600, 3590}
	}
	return []int{0, 3600, 3590, 7200, 7190, 7260}
}

// scheduleKills is how often the node is killed at each of these.
func scheduleKills(s *site) int {
	if s.ci() {
		return 2
	}
	return 8
}

// policies are what the definitions say of due times that are missed.
var policies = []string{"all", "last", "skip"} //nolint:gochecknoglobals // a constant

// schedules has orders come into being every second, by definitions that say different things about what is missed, while the node is
// killed and its clock is put forward and back.
func schedules(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	holdfast, err := s.wrongClock.binary()
	if err != nil {
		return nil, err
	}
	chance, kills := s.chance(), 0
	for i, ahead := range clocksAhead(s) {
		node, err := st.StartNodeIn(ctx, []string{fmt.Sprintf("CLOCK_AHEAD=%d", ahead)}, holdfast, true)
		if err != nil {
			return f, err
		}
		conn, err := node.Dial()
		if err != nil {
			return f, err
		}
		if i == 0 {
			err = deploySchedules(ctx, conn)
		}
		for n := 0; n < scheduleKills(s) && err == nil; n++ {
			if err = between(ctx, chance, time.Second, 4*time.Second); err == nil {
				_, err = node.Kill(ctx)
				kills++
			}
			if err == nil {
				err = node.Ready(ctx)
			}
		}
		if err == nil {
			err = caughtUp(ctx, conn, time.Duration(ahead)*time.Second)
		}
		if err == nil && i == len(clocksAhead(s))-1 {
			err = judgeSchedules(ctx, s, conn, f)
		}
		_ = conn.Close() // it fails only if it was closed before
		if err != nil {
			return f, why(ctx, err)
		}
		node.StayAway(time.Hour) // the next one has its journal
		if _, err := node.Kill(ctx); err != nil {
			return f, err
		}
	}
	f["kills"], f["clock_changes"] = kills, len(clocksAhead(s))-1
	return f, nil
}

func deploySchedules(ctx context.Context, conn *client.Client) error {
	for _, policy := range policies {
		if err := deployDocument(ctx, conn, fmt.Appendf(nil, "document: {dsl: 1.0.3, namespace: verify, name: %s, version: 1.0.0, "+
			"metadata: {holdfast: {schedule: {missed: %s}}}}\nschedule: {every: PT1S}\ndo: [{a: {set: {b: 1}}}]\n", policy, policy)); err != nil {
			return fmt.Errorf("deploy: %w", err)
		}
	}
	return nil
}

// scheduled is an order of a schedule: when it was due, and when it was accepted.
type scheduled struct{ due, accepted time.Time }

// scheduledOf returns the orders of a policy, by their due times.
func scheduledOf(ctx context.Context, conn *client.Client, policy string) ([]scheduled, error) {
	var out []scheduled
	var wrong error
	err := eachOrder(ctx, conn, "verify/"+policy+":1.0.0", func(o *orderv1.Order) {
		parts := strings.Split(o.GetId(), "~")
		due, err := time.Parse("20060102T150405.000Z", parts[len(parts)-1])
		if err != nil {
			wrong = fmt.Errorf("the id %s of a scheduled order tells no due time: %w", o.GetId(), err)
		}
		out = append(out, scheduled{due, o.GetAcceptedAt().AsTime()})
	})
	if err == nil {
		err = wrong
	}
	slices.SortFunc(out, func(a, b scheduled) int { return a.due.Compare(b.due) })
	return out, err
}

// caughtUp waits until all that is due by the clock of the node has come into being.
func caughtUp(ctx context.Context, conn *client.Client, ahead time.Duration) error {
	return eventually(ctx, func() (bool, error) {
		for _, policy := range policies {
			orders, err := scheduledOf(ctx, conn, policy)
			if err != nil {
				return false, err
			}
			const late = 3 * time.Second
			if n := len(orders); n == 0 || time.Now().Add(ahead).Sub(orders[n-1].due) > late {
				return false, nil
			}
		}
		return true, nil
	})
}

// judgeSchedules looks at what has come into being.
func judgeSchedules(ctx context.Context, s *site, conn *client.Client, f figures) error {
	for _, policy := range policies {
		orders, err := scheduledOf(ctx, conn, policy)
		if err != nil {
			return err
		}
		twice, passed, off, latest := 0, 0, 0, time.Duration(0)
		for i, o := range orders {
			latest = max(latest, o.accepted.Sub(o.due))
			if i == 0 {
				continue
			}
			step := o.due.Sub(orders[i-1].due)
			switch {
			case step == 0:
				twice++
			case step%time.Second != 0:
				off++
			default:
				passed += int(step/time.Second) - 1
			}
		}
		s.sayf("missed: %s: %d orders, %d due times passed over, the latest order %v late", policy, len(orders), passed, latest)
		f[policy+"_orders"], f[policy+"_passed_over"], f[policy+"_twice"], f[policy+"_off_time"] = len(orders), passed, twice, off
		f[policy+"_latest_s"] = round(latest.Seconds(), 1)
	}
	return nil
}

func schedulesBars(s *site) bars {
	jumps := 0 // by how many seconds the clock is put forward, altogether
	for i, ahead := range clocksAhead(s) {
		if i > 0 {
			jumps += max(0, ahead-clocksAhead(s)[i-1]-60)
		}
	}
	return bars{
		"kills": exactly(float64(scheduleKills(s) * len(clocksAhead(s)))), "clock_changes": exactly(float64(len(clocksAhead(s)) - 1)),
		"all_orders": atLeast(float64(jumps)), "last_passed_over": atLeast(float64(jumps)), "skip_passed_over": atLeast(float64(jumps)),
		"skip_latest_s": atMost(65),
	}.none("all_passed_over", "all_twice", "last_twice", "skip_twice", "all_off_time", "last_off_time", "skip_off_time")
}
