package consul

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-run/holdfast/messages"
)

// prove asks every quarter of the TTL whether the servers have this node as passing, and sooner where that is due.
func (m *Membership) prove(ctx context.Context, turn func()) {
	failing := streak{log: m.cfg.Logger, what: "evidence"}
	e := endpoint{cfg: &m.cfg}
	defer e.close()
	filter := fmt.Sprintf("Service.ID == %q", m.cfg.Self)
	every, bound := m.cfg.TTL/4, m.cfg.TTL/2
	for {
		turn()
		o, _ := e.read(ctx, bound, Evidence, api.QueryOptions{Filter: filter})
		if ctx.Err() != nil {
			return
		}
		failing.note(o.Failure)
		m.observe(o)
		if o.Failure == nil && len(o.Instances) == 0 {
			m.keeper.miss(o.Sent)
		}
		if !waitUnless(ctx, m.sooner(every)-time.Since(o.Sent), m.soon) {
			return
		}
	}
}

// leastGap is the least time from one query of the watch to the next, however fast answers come.
const leastGap = 50 * time.Millisecond

// watch asks for all nodes, again and again. A query waits for a change, but no longer than the TTL.
func (m *Membership) watch(ctx context.Context, turn func()) {
	failing := streak{log: m.cfg.Logger, what: "watch"}
	e := endpoint{cfg: &m.cfg}
	defer e.close()
	remover := remover{self: m.cfg.Self, endpoint: &e, bound: m.cfg.TTL / 4}
	// Consul adds up to a sixteenth to a wait.
	longest := m.cfg.TTL - m.cfg.TTL/16
	last, after := uint64(0), uint64(0) // the index of the last answer, and the one that a change is awaited after; 0: none is
	vain := 0                           // in a row, what came at once and was no news
	for {
		turn()
		q := api.QueryOptions{WaitIndex: after, WaitTime: longest}
		waiting, cut := context.WithCancel(ctx)
		m.cut.Store(&cut)
		o, instances := e.read(waiting, m.cfg.TTL*3/2, Watch, q)
		isCut := waiting.Err() != nil
		cut()
		if ctx.Err() != nil {
			return
		}
		if isCut && o.Failure != nil {
			after = 0
			continue
		}
		failing.note(o.Failure)
		o.Fell = o.Failure == nil && o.Index < last
		m.observe(o)
		switch took := o.Received.Sub(o.Sent); {
		case o.Failure != nil, o.Index <= last && took < longest/2:
			vain++
		default:
			vain = 0
		}
		after = 0 // whatever is not as it should be is looked at anew
		if o.Failure == nil {
			if last = o.Index; !o.Fell {
				after = last
			}
			remover.remove(ctx, instances)
		}
		pause := leastGap - o.Received.Sub(o.Sent)
		if vain > 0 {
			pause = max(pause, retry.Next(vain, m.cfg.Random))
		}
		if !wait(ctx, pause) {
			return
		}
	}
}

// removeGap is the least time between two removals, so that one that fails does not hold up the watch again and again.
const removeGap = 10 * time.Second

// remover removes what is left of older incarnations of this node.
type remover struct {
	self     messages.Incarnation
	endpoint *endpoint
	bound    time.Duration // of each of two requests
	last     time.Time
}

// remove removes one instance that is critical, and of an older incarnation of this node, or of this one at an agent that it has left
// for another. What can't be removed is tried again, and at last removed by Consul.
func (r *remover) remove(ctx context.Context, instances []Instance) {
	if time.Since(r.last) < removeGap {
		return
	}
	passing := false
	for _, in := range instances {
		passing = passing || in.Incarnation == r.self && in.State == Passing
	}
	for _, in := range instances {
		older := in.Incarnation.Node() == r.self.Node() && in.Incarnation < r.self
		moved := in.Incarnation == r.self && passing
		if in.State != Critical || !older && !moved {
			continue
		}
		r.last = time.Now()
		remove := r.endpoint.deregister
		if moved { // the agent that is asked may be the one that has this node now
			remove = r.endpoint.strike
		}
		if err := remove(ctx, r.bound, in); err != nil {
			r.endpoint.cfg.Logger.Warn("an instance could not be removed from Consul", "incarnation", in.Incarnation, "error", err)
		}
		return
	}
}

// deregister removes an instance from the agent that has it. If this is another one than that which is asked, or it is gone, the
// catalogue forgets the instance.
func (e *endpoint) deregister(ctx context.Context, bound time.Duration, in Instance) error {
	id := string(in.Incarnation)
	err := e.call(ctx, bound, func(ctx context.Context, c *api.Client) error {
		return c.Agent().ServiceDeregisterOpts(id, (&api.QueryOptions{}).WithContext(ctx))
	})
	if !unknown(err) || in.Agent == "" {
		return err
	}
	return e.strike(ctx, bound, in)
}

// strike has the catalogue forget an instance. An agent that still has it brings it back.
func (e *endpoint) strike(ctx context.Context, bound time.Duration, in Instance) error {
	return e.call(ctx, bound, func(ctx context.Context, c *api.Client) error {
		entry := &api.CatalogDeregistration{Node: in.Agent, ServiceID: string(in.Incarnation)}
		_, err := c.Catalog().Deregister(entry, (&api.WriteOptions{}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
}
