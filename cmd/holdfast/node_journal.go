package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/persistence/postgres"
	"github.com/holdfast-run/holdfast/supervision"
)

// openJournal opens the journal: the one in the data directory, or the one that databases have.
func (n *node) openJournal(ctx context.Context) (persistence.Journal, error) {
	if len(n.config.Shared.Shards) > 0 {
		return n.openShared(ctx)
	}
	return n.openEmbedded() //nolint:contextcheck // it lives longer than the call
}

func (n *node) openEmbedded() (persistence.Journal, error) {
	journal := n.config.Journal
	journal.MaxOpenFiles = n.files
	journal.Dir = journalIn(n.config.Data)
	journal.Observer, journal.Logger = n.metrics, n.log.With("part", "journal")
	journal.Fatal = func(err error) {
		n.fail(err)
		select {} // what follows must not happen any more
	}
	// The watchdog is told of the journal's loop only when the journal is open: opening takes long where there is much to replay.
	loop := sync.OnceValue(func() *supervision.Loop { return n.watchdog.Register("journal", stuckJournal) })
	journal.Turn = func() { loop().Beat() }
	faultyJournal(&journal)
	if err := makeData(n.config.Data); err != nil {
		return nil, err
	}
	j, err := pebble.Open(journal)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return j, nil
}

// openShared opens the journal that databases have, for this node alone if it is in no cluster, and has orders go by its time. As long as
// they don't answer, or can't tell that, it waits: it is alive, and not ready.
func (n *node) openShared(ctx context.Context) (persistence.Journal, error) {
	shared := n.config.Shared
	shared.Node, shared.Observer, shared.Logger, shared.Alone = n.id, n.metrics, n.log.With("part", "journal"), !n.config.Cluster.on()
	shared.Loop = func(name string) func() { return n.watchdog.Register("journal "+name, stuckJournal).Beat }
	if n.config.Cluster.on() {
		var err error
		if n.watermarks, err = cluster.NewWatermarks(n.config.Cluster.complete(n.config.Listen), n.log.With("part", "cluster")); err != nil {
			return nil, err
		}
		databases, err := postgres.NewLosses(shared)
		if err != nil {
			return nil, err
		}
		n.losses = &losses{databases: databases, watermarks: n.watermarks}
		n.starting.Store(gateway.NewStarting(n.losses, n.callers(), n.log))
		n.watermarks.Await(ctx)
		shared.Watermarks = n.watermarks
	}
	shared.Fenced = func() { n.fail(errFenced) }
	if err := n.untilAnswered(ctx, func() (err error) {
		n.shared, err = postgres.Open(ctx, shared)
		return err
	}); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if n.losses != nil {
		n.losses.journal.Store(n.shared)
	}
	n.now = n.shared.Now
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_clock_offset_seconds",
		Help: "By how much the clock by which orders go, that of the journal's first database, is ahead of the one of this node's system.",
	}, func() float64 { return n.shared.Offset().Seconds() }))
	return n.shared, nil
}

// errFenced is why a node ends that has learned that it will never own anything again.
var errFenced = fmt.Errorf("another node has taken over from this one, or the loss of commits was accepted; it is to be started again: %w",
	persistence.ErrIncarnationFenced)

// askAgain is how long a node waits before it asks a journal again that did not answer.
const askAgain = time.Second

// untilAnswered asks a journal something until it answers.
func (n *node) untilAnswered(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if !errors.Is(err, persistence.ErrUnavailable) {
			return err
		}
		n.waits.Store(&err)
		n.log.Warn("the journal does not answer; the node waits for it", "error", err)
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
