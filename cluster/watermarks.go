package cluster

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/cluster/consul"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// Watermarks is what a node has heard of what the journal has confirmed to other incarnations: from Consul, also before it is a member, and
// from its peers. A database that shows less is not to be used. Its methods are safe for concurrent use.
type Watermarks struct {
	store *consul.Watermarks
	log   *slog.Logger

	mu    sync.Mutex
	marks marks
	// told: Consul has answered once.
	told bool
	// peers asks the peers; nil: there are none yet.
	peers func(context.Context) []*remotingv1.Watermarks
}

// NewWatermarks makes it, with the settings of the member that the node is to be.
func NewWatermarks(config Config, log *slog.Logger) (*Watermarks, error) {
	store, err := consul.NewWatermarks(config.withDefaults(anybody, nil).Consul)
	if err != nil {
		return nil, err
	}
	return &Watermarks{store: store, log: log, marks: newMarks()}, nil
}

const (
	// awaitConsul is how long a node that starts waits for Consul, which alone can tell it what was confirmed before.
	awaitConsul = 10 * time.Second
	// readAgain is how often Consul is asked then.
	readAgain = 200 * time.Millisecond
	// askWithin bounds how long others are asked, before a server is used that was made the primary.
	askWithin = 500 * time.Millisecond
)

// Await waits until Consul has told what it knows. If that takes too long, it says so, and the node goes on: it may open its journal, and
// claims nothing before Consul has told.
func (w *Watermarks) Await(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, awaitConsul)
	defer cancel()
	again := time.NewTicker(readAgain)
	defer again.Stop()
	for {
		err := w.read(within)
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-within.Done():
			if ctx.Err() == nil {
				w.log.Warn("Consul does not tell what the journal has confirmed: the node takes the database for right, and owns nothing",
					"error", err)
			}
			return
		}
	}
}

// read hears what Consul knows.
func (w *Watermarks) read(ctx context.Context) error {
	published, err := w.store.Published(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	for who, x := range published {
		w.marks.hear(who, x)
	}
	if published != nil { // what can't be read is told, and does not hold up the rest
		w.told = true
	}
	return err
}

// isTold tells whether Consul has told what it knows.
func (w *Watermarks) isTold() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told
}

// Known implements postgres.Watermarks.
func (w *Watermarks) Known() (known map[messages.Incarnation]messages.Watermarks, cover bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.marks.known), len(w.marks.gone) > 0
}

// Covered implements postgres.Watermarks.
func (w *Watermarks) Covered(shard int, shown map[messages.Incarnation]messages.Watermarks) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks.cover(shard, shown)
}

// Ask implements postgres.Watermarks: it asks Consul and the peers, at once.
func (w *Watermarks) Ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if err := w.ask(ctx); err != nil {
		w.log.Warn("Consul does not tell what the journal has confirmed, before another server is used", "error", err)
	}
}

// ask asks Consul and the peers, at once, and says why Consul has not told.
func (w *Watermarks) ask(ctx context.Context) (err error) {
	var asked sync.WaitGroup
	asked.Go(func() { err = w.read(ctx) })
	w.mu.Lock()
	peers := w.peers
	w.mu.Unlock()
	if peers != nil {
		w.hear(peers(ctx))
	}
	asked.Wait()
	return err
}

// hear takes what a peer has said.
func (w *Watermarks) hear(said []*remotingv1.Watermarks) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range said {
		if len(x.GetShards()) > messages.Partitions {
			continue // a journal has no more
		}
		of := messages.Watermarks{Journal: x.GetJournal()}
		for _, s := range x.GetShards() {
			of.Shards = append(of.Shards, messages.ShardWatermarks{
				Generation: messages.Generation(s.GetGeneration()), Batches: s.GetBatches(),
			})
		}
		w.marks.hear(messages.Incarnation(x.GetIncarnation()), of)
	}
}

// say is what a node tells its peers: what was confirmed to itself, and to those that can't tell it any more.
func (w *Watermarks) say(self messages.Incarnation, confirmed messages.Watermarks) (all []*remotingv1.Watermarks) {
	w.mu.Lock()
	left := w.marks.left()
	w.mu.Unlock()
	left[self] = confirmed
	for who, x := range left {
		of := &remotingv1.Watermarks{Incarnation: string(who), Journal: x.Journal}
		for _, s := range x.Shards {
			of.Shards = append(of.Shards, &remotingv1.ShardWatermarks{Generation: uint32(s.Generation), Batches: s.Batches})
		}
		all = append(all, of)
	}
	return all
}

// join has the peers of a member asked from now on.
func (w *Watermarks) join(m *Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks.is(m.self)
	w.peers = m.inquire
}

// Publish has Consul know what was confirmed to an incarnation.
func (w *Watermarks) Publish(ctx context.Context, who messages.Incarnation, confirmed messages.Watermarks) error {
	return w.store.Publish(ctx, who, confirmed)
}

// Close ends the connections to Consul.
func (w *Watermarks) Close() { w.store.Close() }

// turn publishes what was confirmed to this node, has Consul forget what that covers, and hears what is new there.
func (w *Watermarks) turn(ctx context.Context, m *Member) error {
	w.mu.Lock()
	living, due := w.marks.living(), w.marks.due()
	w.mu.Unlock()
	for _, who := range living {
		if m.Gone(who) {
			w.mu.Lock()
			w.marks.bury(who)
			w.mu.Unlock()
		}
	}
	if err := w.Publish(ctx, m.self, m.deps.Confirmed()); err != nil {
		return err
	}
	for _, who := range due {
		w.mu.Lock()
		still := w.marks.isDue(who)
		w.mu.Unlock()
		if !still {
			continue
		}
		if err := w.store.Forget(ctx, who); err != nil {
			return err
		}
		w.mu.Lock()
		w.marks.settle(who)
		w.mu.Unlock()
	}
	return w.read(ctx)
}

// run publishes and hears once a second, until the context ends.
func (w *Watermarks) run(ctx context.Context, m *Member, loop *supervision.Loop) {
	defer loop.Close()
	ticks := time.NewTicker(tellEvery)
	defer ticks.Stop()
	var failed error
	for {
		loop.Beat()
		err := w.turn(ctx, m)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && failed == nil:
			w.log.Warn("watermarks can't be published or read; it is tried again and again", "error", err)
		case err == nil && failed != nil:
			w.log.Info("watermarks are published again")
		}
		failed = err
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}
