package catalog

import (
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/persistence"
)

// NewestLevel is the highest feature level that this version reads.
const NewestLevel = persistence.NewestLevel

// RaiseLevel raises the feature level of the journal, for good. When it returns, this node knows of it; others do after their next look.
func (c *Catalog) RaiseLevel(ctx context.Context, level uint32) error {
	if err := c.store.RaiseFeatureLevel(ctx, level); err != nil {
		return fmt.Errorf("raise the feature level to %d: %w", level, err)
	}
	return c.Reread(ctx)
}
