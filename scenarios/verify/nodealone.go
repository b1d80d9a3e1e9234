package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// aloneFor is how long one node alone is cut off from Consul.
const aloneFor = 8 * time.Second

// agentAloneFor is how long its agent is: a node that starts waits for Consul for ten seconds before it answers others.
const agentAloneFor = 25 * time.Second

// aloneRounds is how often.
func aloneRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 5
}

// nodeAlone cuts one node off from Consul, which the others have, under load. It must end before the others take over from it, and come
// back by itself.
func nodeAlone(ctx context.Context, s *site) (figures, error) { return cutOff(ctx, s, false, aloneFor) }

// agentAlone cuts one node's agent of Consul off from the server, and not from the other agents: Consul goes on to show the node as
// passing. The others find out by what answers in its place.
func agentAlone(ctx context.Context, s *site) (figures, error) {
	if s.ci() {
		return skippedAtCI(), nil
	}
	return cutOff(ctx, s, true, agentAloneFor)
}

// cutOff cuts a node, or the agent beside it, off from the server of Consul, again and again.
func cutOff(ctx context.Context, s *site, agents bool, lasts time.Duration) (figures, error) {
	return withHosts(ctx, s, agents, func(ctx context.Context, r *clusterRow) (figures, error) {
		f, chance := figures{}, s.chance()
		longest, latest, soonest := time.Duration(0), time.Duration(0), time.Hour
		err := r.during(ctx, killNodeRate(s), f, func(ctx context.Context, _ *pulse) error {
			for range aloneRounds(s) {
				if err := r.settled(ctx); err != nil {
					return err
				}
				if err := between(ctx, chance, 500*time.Millisecond, 1500*time.Millisecond); err != nil {
					return err
				}
				ended, taken, err := r.alone(ctx, chance.IntN(len(r.Nodes)), lasts)
				if err != nil {
					return err
				}
				longest, latest, soonest = max(longest, ended), max(latest, taken), min(soonest, taken-ended)
			}
			return r.settled(ctx)
		})
		if err != nil {
			return f, err
		}
		f["ended_within_s"], f["taken_over_within_s"] = round(longest.Seconds(), 2), round(latest.Seconds(), 2)
		f["ended_before_s"], f["node_starts"] = round(soonest.Seconds(), 3), r.restarts()
		f["told_why"], err = r.logged("cut off from Consul")
		return f, err
	})
}

// alone cuts a node off from Consul for a while, and tells after how long it ended, and others took over from it.
func (r *clusterRow) alone(ctx context.Context, i int, lasts time.Duration) (ended, taken time.Duration, err error) {
	n, starts := r.Nodes[i], r.Nodes[i].Starts()
	began := time.Now()
	heal, err := cut(ctx, bothWays(n.Host, r.Consul.Host))
	if err != nil {
		return 0, 0, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, lasts, errors.New("it is not cut off any more"))
	defer cancel()
	end, err := n.AwaitEnd(bounded, starts)
	if err != nil {
		return 0, 0, err
	}
	if err := r.taken(bounded, i); err != nil {
		return 0, 0, err
	}
	over, err := r.takenOver(began)
	if err != nil {
		return 0, 0, err
	}
	if err := stage.Pause(ctx, time.Until(began.Add(lasts))); err != nil {
		return 0, 0, err
	}
	return end.Sub(began), over.Sub(began), heal()
}

// takenOver is when, by its own log, a node first took over from another one since a time.
func (r *clusterRow) takenOver(since time.Time) (first time.Time, err error) {
	for i := range r.Nodes {
		log, err := os.ReadFile(r.log(i))
		if err != nil {
			return first, err
		}
		for line := range strings.Lines(string(log)) {
			text, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if !strings.Contains(rest, `msg="takes over"`) {
				continue
			}
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return first, fmt.Errorf("the log of %s has the time %q: %w", nodeName(i), text, err)
			}
			if at.After(since) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	if first.IsZero() {
		return first, errors.New("nobody has taken over")
	}
	return first, nil
}

func nodeAloneBars(s *site) bars {
	if noHosts(s) {
		return bars{}
	}
	rounds := float64(aloneRounds(s))
	b := bars{"taken_over_within_s": atMost(5), "told_why": atLeast(rounds), "node_starts": atLeast(rounds)}.none(clusterNone...)
	if !s.ci() { // a machine that is shared may see the end late
		b["ended_within_s"], b["ended_before_s"] = atMost(clusterTTL.Seconds()), atLeast(0)
	}
	return b
}

func agentAloneBars(s *site) bars {
	switch {
	case s.ci():
		return bars{"skipped": atLeast(1)}
	case noHosts(s):
		return bars{}
	}
	b := nodeAloneBars(s)
	b["taken_over_within_s"] = atMost(20)
	return b
}
