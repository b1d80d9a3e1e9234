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

// Watermarks is where nodes publish what the journal has confirmed to them, so that whoever comes later knows it: also a node that is no
// member yet. Its methods are safe for concurrent use. What is asked takes one TTL at most, and waits for what was asked before.
type Watermarks struct {
	cfg      Config
	endpoint endpoint
	turn     chan struct{} // holds one: whoever asks something has it
}

// NewWatermarks makes it, with the settings of a membership. Who this node is may be left out.
func NewWatermarks(cfg Config) (*Watermarks, error) {
	if cfg.Self == "" {
		cfg.Self = "node/0"
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Watermarks{cfg: cfg, turn: make(chan struct{}, 1)}
	w.endpoint.cfg = &w.cfg
	w.turn <- struct{}{}
	return w, nil
}

// mostWatermarks bounds watermarks as they are stored. Those of all lanes of 256 shards, with numbers of ten digits, need half of it.
const mostWatermarks = 64 << 10

// Publish stores what was confirmed to an incarnation, in place of what it had published before. It takes a write of Consul's servers:
// once a second is often enough.
func (w *Watermarks) Publish(ctx context.Context, who messages.Incarnation, confirmed messages.Watermarks) error {
	value, err := json.Marshal(confirmed)
	if err != nil {
		return fmt.Errorf("encode watermarks: %w", err)
	}
	if len(value) > mostWatermarks {
		return fmt.Errorf("watermarks have %d bytes, more than %d", len(value), mostWatermarks)
	}
	return w.ask(ctx, func(ctx context.Context, c *api.Client) error {
		_, err := c.KV().Put(&api.KVPair{Key: w.key(who), Value: value}, (&api.WriteOptions{}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
}

// UnreadableError says which watermarks can't be read, as they were damaged. Nobody mends them if their incarnation is gone.
type UnreadableError struct {
	// Keys are where they are in Consul.
	Keys []string

	err error
}

// Error implements error.
func (e *UnreadableError) Error() string { return e.err.Error() }

// Published returns, consistently, what each incarnation has published, until that is forgotten: also those that are dead. If some can't be
// read, they are missing, and there is an UnreadableError.
func (w *Watermarks) Published(ctx context.Context) (map[messages.Incarnation]messages.Watermarks, error) {
	var pairs api.KVPairs
	err := w.ask(ctx, func(ctx context.Context, c *api.Client) (err error) {
		pairs, _, err = c.KV().List(w.key(""), (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
	if err != nil {
		return nil, err
	}
	published := make(map[messages.Incarnation]messages.Watermarks, len(pairs))
	var bad UnreadableError
	for _, pair := range pairs {
		var confirmed messages.Watermarks
		if err := json.Unmarshal(pair.Value, &confirmed); err != nil {
			bad.Keys, bad.err = append(bad.Keys, pair.Key), errors.Join(bad.err, fmt.Errorf("watermarks at %s: %w", pair.Key, err))
			continue
		}
		published[messages.Incarnation(strings.TrimPrefix(pair.Key, w.key("")))] = confirmed
	}
	if len(bad.Keys) > 0 {
		return published, &bad
	}
	return published, nil
}

// Forget removes what an incarnation has published that is dead, once nobody needs it any more. Nothing else does.
func (w *Watermarks) Forget(ctx context.Context, who messages.Incarnation) error {
	return w.ask(ctx, func(ctx context.Context, c *api.Client) error {
		_, err := c.KV().Delete(w.key(who), (&api.WriteOptions{}).WithContext(ctx))
		return err //nolint:wrapcheck // call does
	})
}

// Close ends the connections. What is asked later makes new ones.
func (w *Watermarks) Close() {
	<-w.turn
	defer func() { w.turn <- struct{}{} }()
	w.endpoint.close()
}

// ask makes a request, one at a time.
func (w *Watermarks) ask(ctx context.Context, request func(context.Context, *api.Client) error) error {
	select {
	case <-w.turn:
	case <-ctx.Done():
		return fmt.Errorf("ask Consul of watermarks: %w", context.Cause(ctx))
	}
	defer func() { w.turn <- struct{}{} }()
	return w.endpoint.call(ctx, w.cfg.TTL, request)
}

// key is where what an incarnation has published is.
func (w *Watermarks) key(who messages.Incarnation) string {
	return w.cfg.Service + "/watermarks/" + string(who)
}
