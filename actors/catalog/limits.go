package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Limit returns the limit of an activity; nil if it has none.
func (c *Catalog) Limit(activity string) *journalv1.LimitRow {
	row, ok := c.limits.Load(activity)
	if !ok {
		return nil
	}
	return row.(*journalv1.LimitRow) //nolint:errcheck,forcetypeassert // nothing else is stored
}

// Limited returns the activities that have a limit, by name.
func (c *Catalog) Limited() []string {
	names := map[string]struct{}{}
	c.limits.Range(func(name, _ any) bool {
		names[name.(string)] = struct{}{} //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	return slices.Sorted(maps.Keys(names))
}

// SetLimit bounds what adapters get of an activity from now on, also after a restart; a limit that bounds nothing ends that.
func (c *Catalog) SetLimit(ctx context.Context, row *journalv1.LimitRow) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.store.PutLimit(ctx, row); err != nil {
		return fmt.Errorf("set the limit of %s: %w", row.GetActivity(), err)
	}
	if row.GetRate() == 0 && row.GetConcurrency() == 0 {
		c.limits.Delete(row.GetActivity())
	} else {
		c.limits.Store(row.GetActivity(), row)
	}
	return nil
}

// setLimits replaces all limits, and returns the activities whose limits have changed, by name.
func (c *Catalog) setLimits(limits map[string]*journalv1.LimitRow) []string {
	changed := map[string]struct{}{}
	for _, name := range c.Limited() {
		if limits[name] == nil {
			c.limits.Delete(name)
			changed[name] = struct{}{}
		}
	}
	for name, row := range limits {
		if !proto.Equal(c.Limit(name), row) {
			c.limits.Store(name, row)
			changed[name] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
