package adapters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Run executes tasks until the context ends, or the adapter fails for good. Then it drains: it takes no more tasks,
// answers not done for those that it has not begun, finishes the others, and waits until all results are
// acknowledged, for DrainTimeout at most. After that it interrupts what is executed. The process should end when Run returns: the
// nodes give the tasks that are executed even then to others.
//
// It returns nil if the context ended and nothing was left undone. Errors are: mistakes in the adapter or the
// configuration, all at once; a first node that refuses the adapter; an activity actor that failed too often; work or
// results that were left when DrainTimeout was over.
func (a *Adapter) Run(ctx context.Context, config Config) error {
	config = config.withDefaults()
	if err := errors.Join(a.validate(), config.validate()); err != nil {
		return err
	}
	transport, err := config.transport()
	if err != nil {
		return err
	}
	health, err := startHealth(ctx, config)
	if err != nil {
		return err
	}
	defer health.close()
	h := newHub(a, config)
	if err := h.remember(); err != nil {
		return err
	}
	h.transport, h.health = transport, health
	h.links, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer h.stop()
	return errors.Join(h.run(ctx), h.forget())
}

func (h *hub) run(ctx context.Context) error {
	// What matters of the actors' failures, the supervisors log.
	silent := slog.New(slog.DiscardHandler)
	h.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return silent }))
	defer h.system.Shutdown()
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h.base = base
	for _, p := range h.pools {
		if err := p.start(); err != nil {
			return err
		}
	}
	h.mu.Lock()
	for _, server := range h.config.Servers {
		h.connect(server)
	}
	h.mu.Unlock()
	h.running.Go(h.ticks)
	h.health.systemd.Ready("executing tasks of " + strings.Join(h.config.Servers, ", "))

	var reason error
	select {
	case <-ctx.Done():
		h.config.Log.Info("draining", "timeout", h.config.DrainTimeout)
	case reason = <-h.failed:
	case reason = <-h.lost:
	}
	if reason != nil {
		h.config.Log.Error("adapter failed, draining", "error", reason, "timeout", h.config.DrainTimeout)
	}
	h.health.systemd.Stopping()
	err := errors.Join(reason, h.drained(), h.halt(cancel))
	h.leave()
	h.stop()
	h.running.Wait()
	return err
}

// ticks lets time pass for the hub.
func (h *hub) ticks() {
	ticker := time.NewTicker(min(max(h.config.ResendAfter/4, time.Millisecond), time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-h.links.Done():
			return
		case <-ticker.C:
			h.tick()
			h.health.loop.Beat()
		}
	}
}

// farewell is how long the nodes have to end the streams that the adapter closed.
const farewell = time.Second

// drained drains, and interrupts what is executed after DrainTimeout.
func (h *hub) drained() error {
	h.drain()
	timeout := time.NewTimer(h.config.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-h.quiet:
		return nil
	case <-timeout.C:
	}
	executing, results := h.abort()
	if executing+results == 0 {
		return nil
	}
	return fmt.Errorf("%d tasks were still executed and %d results not acknowledged after %v: the nodes will ask again",
		executing, results, h.config.DrainTimeout)
}

// halt ends the actors. An activity may go on for a while though it was interrupted. Until it ends, or the process does, the streams must
// stay: else a node takes the process for dead, and gives the work to another one.
func (h *hub) halt(cancel context.CancelFunc) error {
	cancel()
	failed := make([]error, len(h.pools))
	var halting sync.WaitGroup
	for i, p := range h.pools {
		halting.Go(func() { failed[i] = p.stop() })
	}
	halting.Wait()
	return errors.Join(failed...)
}

// leave waits a while for the results that are left to be acknowledged, and closes the streams.
func (h *hub) leave() {
	timeout := time.NewTimer(farewell)
	defer timeout.Stop()
	h.mu.Lock()
	h.checkQuiet()
	h.mu.Unlock()
	select {
	case <-h.quiet:
	case <-timeout.C:
	}
	h.finish()
	timeout.Reset(farewell)
	for {
		live, detached := h.connected()
		if !live {
			return
		}
		select {
		case <-detached:
		case <-timeout.C:
			return
		}
	}
}

// finish has every stream closed as soon as nothing on it is unsent.
func (h *hub) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	for _, l := range h.streams {
		l.finished = true
		l.poke()
	}
}

func (h *hub) isFinished(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return l.finished
}

// connected tells whether a stream is live, and when to ask again.
func (h *hub) connected() (bool, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.streams {
		if l.live {
			return true, h.detached
		}
	}
	return false, nil
}
