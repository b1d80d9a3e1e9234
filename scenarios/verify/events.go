package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// newsListeners is how many orders get each of newsEvents events.
	newsListeners, newsEvents = 100, 50
	// eventsInFlight is how many orders wait for their events at a time, eventKills how often the node is killed meanwhile.
	eventsInFlight, eventKills = 200, 10
	// publishers is how many calls publish at a time, and publishedAtOnce how many events each.
	publishers, publishedAtOnce = 16, 100
	// keptLooked is how many of the events that are kept are looked for.
	keptLooked = 1000
)

// eventPairs is how many orders wait for an event of their own, and keptEvents how many events are kept that nobody waits for.
func eventPairs(s *site) int {
	if s.ci() {
		return 1000
	}
	return 10_000
}

func keptEvents(s *site) int {
	if s.ci() {
		return 20_000
	}
	return 1_000_000
}

// eventPauses are the shortest and the longest time between two kills.
func eventPauses(s *site) (least, most time.Duration) {
	if s.ci() { // the orders have soon ended
		return 20 * time.Millisecond, 100 * time.Millisecond
	}
	return 200 * time.Millisecond, 1500 * time.Millisecond
}

// events has orders wait for events that are published before, during and after kills of the node; and then has many events be kept.
func events(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, true)
	if err != nil {
		return nil, err
	}
	conn, err := prepared(ctx, node, "pairs", "news")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	for _, part := range []func(context.Context, *site, *stage.Node, *client.Client, figures) error{pairs, news, kept} {
		if err := part(ctx, s, node, conn, f); err != nil {
			return f, why(ctx, err)
		}
	}
	return f, nil
}

// publish publishes events until that has succeeded.
func publish(ctx context.Context, conn *client.Client, keep time.Duration, events ...*eventv1.Event) error {
	_, err := conn.Events().Publish(ctx, &eventv1.PublishRequest{Namespace: "verify", Events: events, KeepFor: durationpb.New(keep)},
		client.Patiently(client.Patience{Most: 2 * time.Minute}))
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

func numbered(eventType string, n int) *eventv1.Event {
	return &eventv1.Event{Id: fmt.Sprint(n), Source: "/verify", Type: eventType, Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// pairs has many orders wait for an event each, half of which are published before their orders are there.
func pairs(ctx context.Context, s *site, node *stage.Node, conn *client.Client, f figures) error {
	all := eventPairs(s)
	due := make(chan int, all+eventsInFlight)
	fleet := newFleet(func(n int) *orderv1.WorkOrder {
		due <- n
		return &orderv1.WorkOrder{Definition: "verify/pairs:1.0.0", Input: fmt.Appendf(nil, `{"n":%d}`, n)}
	})
	fleet.most = all
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		before := 0 // half of the events are there before their orders
		for ; before < all; before += 2 {
			if err := publish(ctx, conn, time.Hour, numbered("verify.paired", before)); err != nil {
				cancel(err)
				return
			}
		}
	})
	for range publishers {
		publishing.Go(func() {
			for n := range due {
				if n%2 == 0 {
					continue
				}
				if err := publish(ctx, conn, time.Hour, numbered("verify.paired", n)); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	began, chance, kills := time.Now(), s.chance(), 0
	least, most := eventPauses(s)
	err := fleet.during(ctx, conn, eventsInFlight, func(ctx context.Context) error {
		var err error
		kills, err = fleet.amid(ctx, eventKills, func() error {
			err := between(ctx, chance, least, most)
			if err == nil {
				_, err = node.Kill(ctx)
			}
			return err
		})
		return err
	})
	close(due)
	cancel(nil)
	publishing.Wait()
	c := fleet.counts()
	f["pairs"], f["pairs_lost"], f["pairs_wrong"] = c.ended, all-c.ended, c.ended-c.completed+len(fleet.wrong)
	f["kills"] = kills
	f["pairs_per_s"] = round(float64(c.ended)/time.Since(began).Seconds(), 0)
	for _, wrong := range fleet.wrong {
		s.sayf("%v", wrong)
	}
	return err
}

// news has some orders get all of some events, in their order, while the node is killed.
func news(ctx context.Context, s *site, node *stage.Node, conn *client.Client, f figures) error {
	fleet := newFleet(func(int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{Definition: "verify/news:1.0.0", Input: fmt.Appendf(nil, `{"all":%d}`, newsEvents)}
	})
	fleet.replace = false
	err := fleet.during(ctx, conn, newsListeners, func(ctx context.Context) error {
		listens := func() error {
			return eventually(ctx, func() (bool, error) {
				n := 0
				err := eachOrder(ctx, conn, "verify/news:1.0.0", func(o *orderv1.Order) {
					if o.GetStatus() == orderv1.Status_STATUS_WAITING {
						n++
					}
				})
				return n == newsListeners, err
			})
		}
		if err := listens(); err != nil {
			return err
		}
		for n := range newsEvents {
			if err := publish(ctx, conn, time.Second, numbered("verify.news", n)); err != nil {
				return err
			}
			if n%10 == 5 {
				if _, err := node.Kill(ctx); err != nil {
					return err
				}
				if err := node.Ready(ctx); err != nil {
					return err
				}
			}
		}
		return fleet.await(ctx, func(c counts) bool { return c.ended >= newsListeners })
	})
	c := fleet.counts()
	f["news_lost"], f["news_wrong"] = newsListeners-c.ended, c.ended-c.completed+len(fleet.wrong)
	for _, wrong := range fleet.wrong {
		s.sayf("%v", wrong)
	}
	return err
}

// eventually waits until something holds.
func eventually(ctx context.Context, holds func() (bool, error)) error {
	return stage.Eventually(ctx, 100*time.Millisecond, holds)
}

// kept publishes many events that nobody waits for, kills the node, and looks for some of them by orders that wait for these.
func kept(ctx context.Context, s *site, node *stage.Node, conn *client.Client, f figures) error {
	first, all := eventPairs(s)+eventsInFlight, keptEvents(s)
	began := time.Now()
	if err := publishAll(ctx, conn, first, all); err != nil {
		return err
	}
	f["kept"], f["publications_per_s"] = all, round(float64(all)/time.Since(began).Seconds(), 0)
	before, err := node.Usage()
	if err != nil {
		return err
	}
	killed, err := node.Kill(ctx)
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	f["ready_s"] = round(time.Since(killed).Seconds(), 2)
	fleet := newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: "verify/pairs:1.0.0", Input: fmt.Appendf(nil, `{"n":%d}`, first+n*(all/keptLooked)),
		}
	})
	fleet.most = keptLooked
	err = fleet.during(ctx, conn, eventsInFlight, func(ctx context.Context) error {
		return fleet.await(ctx, func(c counts) bool { return c.ended >= keptLooked })
	})
	after, e := node.Usage()
	f["node_peak_rss_bytes"] = max(before.PeakRSS, after.PeakRSS)
	c := fleet.counts()
	f["kept_lost"], f["kept_wrong"] = keptLooked-c.ended, c.ended-c.completed+len(fleet.wrong)
	return errors.Join(err, e)
}

// publishAll publishes events with numbers from one on, as fast as they are taken.
func publishAll(ctx context.Context, conn *client.Client, first, all int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var publishing sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			for ctx.Err() == nil {
				end := int(next.Add(publishedAtOnce))
				var batch []*eventv1.Event
				for n := end - publishedAtOnce; n < min(end, all); n++ {
					batch = append(batch, numbered("verify.paired", first+n))
				}
				if len(batch) == 0 {
					return
				}
				if err := publish(ctx, conn, 10*time.Hour, batch...); err != nil {
					cancel(err)
				}
			}
		})
	}
	publishing.Wait()
	return context.Cause(ctx)
}

func eventsBars(s *site) bars {
	return bars{
		"pairs": exactly(float64(eventPairs(s))), "kills": atLeast(1), "publications_per_s": s.atRate(5000),
		"node_peak_rss_bytes": atMost(1<<30 - 1),
	}.none("pairs_lost", "pairs_wrong", "news_lost", "news_wrong", "kept_lost", "kept_wrong")
}
