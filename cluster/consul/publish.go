package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-run/holdfast/messages"
)

// Watermarks are, for each shard of the journal and each lane there, the number of the last batch that was confirmed to a node. The
// lanes of a shard that the node has not reached are none.
type Watermarks [][]int64

// mostWatermarks bounds watermarks as they are stored. All lanes of 256 shards, with numbers of ten digits, need a third of it.
const mostWatermarks = 64 << 10

// Publish stores the watermarks of this incarnation, in place of those that it published before. It takes a write of Consul's
// servers: once a second is often enough. Like all that is asked of what is published, it takes one TTL at most, and waits for
// what was asked before.
func (m *Membership) Publish(ctx context.Context, w Watermarks) error {
	value, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode watermarks: %w", err)
	}
	if len(value) > mostWatermarks {
		return fmt.Errorf("watermarks have %d bytes, more than %d", len(value), mostWatermarks)
	}
	return m.publish(ctx, false, func(ctx context.Context, c *api.Client) error {
		pair := &api.KVPair{Key: m.key(m.cfg.Self), Value: value}
		_, err := c.KV().Put(pair, (&api.WriteOptions{}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
}

// Published returns, consistently, what each incarnation has published that has not left: also those that are dead. Those that can't
// be read are missing, and named in the error.
func (m *Membership) Published(ctx context.Context) (map[messages.Incarnation]Watermarks, error) {
	var pairs api.KVPairs
	err := m.publish(ctx, false, func(ctx context.Context, c *api.Client) (err error) {
		pairs, _, err = c.KV().List(m.key(""), (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
	if err != nil {
		return nil, err
	}
	published := make(map[messages.Incarnation]Watermarks, len(pairs))
	var errs []error
	for _, pair := range pairs {
		var w Watermarks
		if err := json.Unmarshal(pair.Value, &w); err != nil {
			errs = append(errs, fmt.Errorf("watermarks at %s: %w", pair.Key, err))
			continue
		}
		published[messages.Incarnation(strings.TrimPrefix(pair.Key, m.key("")))] = w
	}
	return published, errors.Join(errs...)
}

// Forget removes what an incarnation has published that is dead, once nobody needs it any more. Nothing else does: each incarnation
// that dies without leaving stays among the published until then.
func (m *Membership) Forget(ctx context.Context, i messages.Incarnation) error {
	return m.forget(ctx, i, false)
}

// forget removes what an incarnation has published; for good: nothing is published afterwards.
func (m *Membership) forget(ctx context.Context, i messages.Incarnation, forGood bool) error {
	return m.publish(ctx, forGood, func(ctx context.Context, c *api.Client) error {
		_, err := c.KV().Delete(m.key(i), (&api.WriteOptions{}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
}

// publish makes a request about what is published, one at a time; the last one, if there is to be no other.
func (m *Membership) publish(ctx context.Context, last bool, request func(context.Context, *api.Client) error) error {
	ctx, stop := m.until(ctx)
	defer stop()
	m.publishing.Lock()
	defer m.publishing.Unlock()
	if m.closed {
		return ErrLeft
	}
	m.closed = last
	err := m.publisher.call(ctx, m.cfg.TTL, request)
	if last {
		m.publisher.close()
	}
	return err
}

// key is where the watermarks of an incarnation are.
func (m *Membership) key(i messages.Incarnation) string {
	return m.cfg.Service + "/watermarks/" + string(i)
}
