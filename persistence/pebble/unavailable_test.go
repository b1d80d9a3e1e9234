package pebble

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

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
	unnoted := make(chan struct{}, 1)
	config := testConfig(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		// Directories are opened to be synced.
		if !away.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsRead || op.Kind == errorfs.OpOpenDir {
			return nil
		}
		if op.Kind == errorfs.OpList { // The journal looks for its manifest, to take a note.
			signal(unnoted)
		}
		return errors.New("the disk does not answer")
	})))
	fatal := make(chan error, 1)
	config.Fatal = func(err error) {
		select {
		case fatal <- err:
		default: // It was told before.
		}
	}
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
	signal(j.grew)
	for range 2 { // The second time is after the first has failed.
		select {
		case <-unnoted:
		case err := <-fatal:
			t.Fatalf("the process is ended: %v", err)
		}
	}
	away.Store(false)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for name, ask := range asks {
		err := ask()
		// The engine may have begun to open a table when the disk was away: whoever asks meanwhile gets the answer to that, too.
		for over := time.After(time.Minute); errors.Is(err, persistence.ErrUnavailable); err = ask() {
			select {
			case <-over:
				t.Fatalf("%s, a minute after the disk was back: %v", name, err)
			case <-tick.C:
			}
		}
		if err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
	waitIdle(t, j)
	mustClose(t, j)
}
