package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// queries are those that read histories in a test. Each waits until it may go on.
type queries struct {
	goOn chan struct{}

	mu    sync.Mutex
	sizes []int
}

func (q *queries) read(_ context.Context, of []*history) {
	q.mu.Lock()
	q.sizes = append(q.sizes, len(of))
	q.mu.Unlock()
	<-q.goOn
	for _, x := range of {
		x.page, x.err = []persistence.StoredRecord{{Data: x.handle[:]}}, nil
	}
}

func handleNumbered(n int) (h messages.Handle) {
	h[0], h[1] = byte(n>>8), byte(n)
	return h
}

// Histories that are asked for while two queries are under way are read by few more, each by its own caller's turn, and each caller gets its
// own.
func TestBeginnings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queries{goOn: make(chan struct{})}
		b := beginnings{most: 2, read: q.read}
		const callers = 2 + 2*mostTogether + 1
		var all sync.WaitGroup
		for n := range callers {
			all.Go(func() {
				h := handleNumbered(n)
				page, more, err := b.first(t.Context(), h)
				if err != nil || more || len(page) != 1 || string(page[0].Data) != string(h[:]) {
					t.Errorf("caller %d: %v, %v, %v", n, page, more, err)
				}
			})
		}
		synctest.Wait()
		close(q.goOn)
		all.Wait()
		if slices.Sort(q.sizes); !slices.Equal(q.sizes, []int{1, 1, 1, mostTogether, mostTogether}) {
			t.Errorf("the queries read %d histories", q.sizes)
		}
		if b.reading != 0 || len(b.waiting) != 0 {
			t.Errorf("%d queries are left, and %d callers", b.reading, len(b.waiting))
		}
	})
}

// A caller who need not wait any more harms nobody: not while it waits, nor when its query is under way, nor when it is to read for others.
func TestBeginningsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queries{goOn: make(chan struct{})}
		b := beginnings{most: 1, read: q.read}
		ask := func(ctx context.Context, n int) <-chan error {
			told := make(chan error, 1)
			go func() {
				page, _, err := b.first(ctx, handleNumbered(n))
				if err == nil && len(page) != 1 {
					err = fmt.Errorf("caller %d: %v", n, page) //nolint:err113 // of a test
				}
				told <- err
			}()
			synctest.Wait()
			return told
		}
		gone, cancel := context.WithCancelCause(t.Context())
		why := errors.New("given up") //nolint:err113 // of a test
		reader, waiting, lasting := ask(gone, 0), ask(gone, 1), ask(t.Context(), 2)
		cancel(why)
		if err := <-waiting; !errors.Is(err, why) {
			t.Errorf("who waited is told %v", err)
		}
		late, over := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer over()
		second := ask(late, 3) // it is read together with the one before, when its time is over
		q.goOn <- struct{}{}
		if err := <-reader; err != nil {
			t.Errorf("who read is told %v", err)
		}
		time.Sleep(2 * time.Second) // by the clock of the test
		synctest.Wait()
		q.goOn <- struct{}{}
		for _, told := range []<-chan error{lasting, second} {
			if err := <-told; err != nil {
				t.Error(err)
			}
		}
		if _, _, err := b.first(late, handleNumbered(4)); !errors.Is(err, why) {
			t.Errorf("who comes too late is told %v", err)
		}
		if got := fmt.Sprint(q.sizes); got != "[1 2]" || b.reading != 0 {
			t.Errorf("the queries read %s histories, and %d are left", got, b.reading)
		}
	})
}

// A reader that panics leaves nobody waiting, and nobody takes what it has not read for an empty history.
func TestBeginningsPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		calls := 0
		b := beginnings{most: 1}
		b.read = func(context.Context, []*history) {
			<-goOn
			if calls++; calls == 2 {
				panic("no")
			}
		}
		var all sync.WaitGroup
		for n := range 3 {
			all.Go(func() {
				defer func() { _ = recover() }()
				if _, _, err := b.first(t.Context(), handleNumbered(n)); !errors.Is(err, errUnread) {
					t.Errorf("caller %d is told %v", n, err)
				}
			})
			synctest.Wait()
		}
		close(goOn)
		all.Wait()
		if b.reading != 0 {
			t.Errorf("%d queries are left", b.reading)
		}
	})
}
