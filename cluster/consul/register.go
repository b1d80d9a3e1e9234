package consul

import (
	"context"
	"maps"
	"time"

	"github.com/hashicorp/consul/api"
)

// keeper keeps the node registered. All but its channels belongs to the goroutine that runs it, and then to Leave.
type keeper struct {
	m         *Membership
	endpoint  endpoint
	stop      func()
	stopped   chan struct{}     // closed when run has ended
	announced chan Announcement // the latest
	hurry     chan struct{}     // holds one: the next refresh is due
	missed    chan time.Time    // when an answer was asked for that did not have the node; the latest

	now Announcement
	// agent is the address at which the node is registered, as far as is known; empty: nowhere. since is when that was asked for.
	agent string
	since time.Time
	told  time.Time // when it was last logged that the node is registered
}

// staleAfter is how many refusals in a row, of whatever kind, have the node registered again.
const staleAfter = 3

// tellGap is the least time between two lines of the log that say that the node is registered.
const tellGap = 10 * time.Second

// deregisterAfter is how long a node is critical until Consul itself removes it, in case that nobody else did. Consul takes no less
// than a minute.
const deregisterAfter = 10 * time.Minute

// run registers the node, and refreshes it, until the context ends.
func (k *keeper) run(ctx context.Context, turn func()) {
	defer close(k.stopped)
	failing := streak{log: k.m.cfg.Logger, what: "registration"}
	again := retry
	again.Max = min(again.Max, k.every())
	hurried := false
	for {
		turn()
		err := k.renew(ctx)
		if ctx.Err() != nil {
			return
		}
		failing.note(err)
		if err == nil && hurried {
			hurried = false
			latest(k.m.soon, struct{}{})
		}
		pause := k.m.sooner(k.every())
		if err != nil {
			pause = again.Next(failing.failures, k.m.cfg.Random)
			if unknown(err) || isRefusal(err) && failing.failures >= staleAfter {
				k.agent = ""
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.hurry:
			hurried = true
		case sent := <-k.missed:
			if sent.After(k.since) {
				k.agent = ""
			}
		case k.now = <-k.announced:
			k.agent = ""
		}
		timer.Stop()
	}
}

// every is how often the node is refreshed, and how long each request may take.
func (k *keeper) every() time.Duration { return k.m.cfg.TTL / 3 }

// announce has the node registered with another announcement. Only the latest counts.
func (k *keeper) announce(a Announcement) { latest(k.announced, a) }

// miss says that the servers do not have the node, in an answer that was asked for at a time.
func (k *keeper) miss(sent time.Time) { latest(k.missed, sent) }

// latest puts a value into a channel that holds one, in place of that which is there.
func latest[T any](c chan T, value T) {
	for {
		select {
		case c <- value:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// renew registers the node, if need be, and refreshes it.
func (k *keeper) renew(ctx context.Context) error {
	if !k.m.cfg.Renew() {
		return nil
	}
	if address := k.endpoint.address(); k.agent != address {
		k.since = time.Now()
		if err := k.register(ctx); err != nil {
			return err
		}
		k.agent = address
		if time.Since(k.told) >= tellGap {
			k.told = time.Now()
			k.m.cfg.Logger.Info("node is registered with Consul", "incarnation", k.m.cfg.Self, "address", address)
		}
	}
	sent := time.Now()
	if err := k.tell(ctx, k.every(), api.HealthPassing, "refreshed"); err != nil {
		return err
	}
	k.m.cfg.Renewed(sent)
	return nil
}

// register makes the service and its check, or replaces what they were.
func (k *keeper) register(ctx context.Context) error {
	cfg := &k.m.cfg
	host, port, err := splitAddress(k.now.Public)
	if err != nil {
		return err
	}
	meta := maps.Clone(cfg.Meta)
	if meta == nil {
		meta = map[string]string{}
	}
	maps.Copy(meta, k.now.meta())
	service := &api.AgentServiceRegistration{
		ID: string(cfg.Self), Name: cfg.Service, Tags: cfg.Tags, Meta: meta, Address: host, Port: port,
		Check: &api.AgentServiceCheck{
			CheckID: checkID(cfg.Self), Name: "refreshed by the node", TTL: cfg.TTL.String(), Status: api.HealthPassing,
			// An agent tells the servers nothing of what it is told again unchanged, also if they have lost it.
			Notes:                          "registered at " + k.since.UTC().Format(time.RFC3339Nano),
			DeregisterCriticalServiceAfter: deregisterAfter.String(),
		},
	}
	return k.endpoint.call(ctx, k.every(), func(ctx context.Context, c *api.Client) error {
		opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
		return c.Agent().ServiceRegisterOpts(service, opts)
	})
}

// tell sets the state of the node's check.
func (k *keeper) tell(ctx context.Context, bound time.Duration, status, output string) error {
	return k.endpoint.call(ctx, bound, func(ctx context.Context, c *api.Client) error {
		q := (&api.QueryOptions{}).WithContext(ctx)
		return c.Agent().UpdateTTLOpts(checkID(k.m.cfg.Self), output, status, q)
	})
}
