package actors_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// claimsLate takes a second for a claim, if it is to.
type claimsLate struct {
	persistence.Journal

	late *atomic.Bool
}

func (c claimsLate) Claim(ctx context.Context, seen []persistence.Holding) ([]persistence.Holding, error) {
	if c.late.Load() {
		time.Sleep(time.Second)
	}
	return c.Journal.Claim(ctx, seen)
}

// A node that stops while it claims a partition leaves nothing of it.
func TestStoppedWhileItClaims(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return claimsLate{j, &late} }))
		const p = messages.Partition(7)
		n.Give(p)
		n.sleep(2 * time.Second)
		late.Store(true)
		n.Take(p)
		settle()
		n.stop()
		for _, loop := range n.dog.Stuck(time.Now().Add(24 * time.Hour)) {
			if strings.HasPrefix(loop.Name, "partition") {
				t.Errorf("the watchdog looks after %s still", loop.Name)
			}
		}
	})
}
