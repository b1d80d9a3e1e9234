package pebble

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

// A disk that can't be read for a while is no damage: what needs it is refused, and may be tried again.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	j := mustOpen(t, testConfig(fs))
	journaltest.Fill(t, j, 20)
	mustClose(t, j)
	var away atomic.Bool
	config := testConfig(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if away.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return errors.New("the disk does not answer")
		}
		return nil
	})))
	config.CacheBytes = 1 << 20
	j = mustOpen(t, config)
	found, _, err := j.List(t.Context(), persistence.Query{Limit: 1, Scan: 1})
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	id := messages.OrderID(found[0].Row.GetId())
	var h messages.Handle
	asks := map[string]func() error{
		"history": func() error {
			for _, err := range j.Records(t.Context(), h, 1) {
				return err
			}
			return nil
		},
		"directory": func() error { _, err := j.Find(t.Context(), id); return err },
		"open":      func() error { _, err := j.Open(t.Context(), 1, messages.Handle{}, 1<<20); return err },
		"queues":    func() error { _, err := j.QueuedKeys(t.Context(), 1, "", 1<<20); return err },
	}
	h = found[0].Handle
	away.Store(true)
	refused := 0
	for name, ask := range asks {
		switch err := ask(); {
		case errors.Is(err, persistence.ErrUnavailable) && !errors.Is(err, persistence.ErrCorrupt):
			refused++
		case err != nil: // What is in the cache is read from there.
			t.Errorf("%s: %v", name, err)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	away.Store(false)
	for name, ask := range asks {
		if err := ask(); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
	mustClose(t, j)
}
