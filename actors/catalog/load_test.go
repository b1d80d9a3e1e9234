package catalog_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// large is a journal that has many definitions with long texts: it makes each when it is read.
type large struct {
	persistence.Catalog

	count, bytes int
	reads        atomic.Int64
}

// journal opens a journal that is closed in the end.
func journal(t *testing.T) persistence.Catalog {
	t.Helper()
	j := memory.NewStore().Open(memory.Config{})
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func numbered(i int) messages.DefinitionRef {
	return messages.DefinitionRef{Namespace: "test", Name: fmt.Sprintf("d%d", i), Version: "1.0.0"}
}

func (l *large) DefinitionMarks(context.Context) (map[messages.DefinitionRef]persistence.DefinitionMark, error) {
	marks := map[messages.DefinitionRef]persistence.DefinitionMark{}
	for i := range l.count {
		marks[numbered(i)] = "1"
	}
	return marks, nil
}

func (l *large) Definition(_ context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	l.reads.Add(1)
	document := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: %s, version: 1.0.0}\ndo: [{a: {set: {b: '%s'}}}]",
		ref.Name, strings.Repeat("x", l.bytes))
	hash := sha256.Sum256([]byte(document))
	return &journalv1.DefinitionRow{
		Namespace: ref.Namespace, Name: ref.Name, Version: ref.Version, Hash: hash[:], Document: []byte(document),
		Activities: []string{strings.Repeat("a", 10_000)}, // more than is kept
	}, nil
}

// find finds a definition, and waits until it is loaded.
func find(ctx context.Context, c *catalog.Catalog, ref messages.DefinitionRef) (*workflow.Definition, error) {
	return catalog.Look(ctx, c, func() (*workflow.Definition, error) { return c.Definition(ref) })
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyLarge: a thousand definitions of 100 kB take no more memory than is allowed, when the catalogue is read, and when they are
// asked for. It does not run beside others, as it measures the heap.
//
//nolint:paralleltest // see above
func TestManyLarge(t *testing.T) {
	const count, asked, allowed, others = 1000, 25, 1 << 20, 3 << 20
	before := heap()
	store := &large{Catalog: journal(t), count: count, bytes: 100_000}
	c, err := catalog.Load(t.Context(), store, catalog.Config{Bytes: allowed})
	if err != nil {
		t.Fatal(err)
	}
	if took := heap() - before; took > others {
		t.Errorf("%d definitions that nobody asked for take %d bytes", count, took)
	}
	for i := range asked { // the last one stays in any case
		if def, err := find(t.Context(), c, numbered(i)); err != nil || def.Ref != numbered(i) {
			t.Fatalf("definition %d: %v, %v", i, def, err)
		}
	}
	if took := heap() - before; took > allowed+others {
		t.Errorf("after some were asked for, definitions take %d bytes, of %d", took, allowed)
	}
	if got := len(c.Rows("")); got != count {
		t.Errorf("%d definitions are known", got)
	}
}

// TestCache: what has no room leaves memory, and is compiled again when it is asked for; what is asked for again and again stays; and
// what somebody keeps is not compiled a second time.
func TestCache(t *testing.T) {
	t.Parallel()
	store := &large{Catalog: journal(t), count: 5, bytes: 1000}
	c, err := catalog.Load(t.Context(), store, catalog.Config{Bytes: 230_000}) // three
	if err != nil {
		t.Fatal(err)
	}
	reads := func(want int64, i int) *workflow.Definition {
		t.Helper()
		before := store.reads.Load()
		def, err := find(t.Context(), c, numbered(i))
		if got := store.reads.Load() - before; err != nil || got != want {
			t.Errorf("definition %d was read %d times, want %d: %v", i, got, want, err)
		}
		return def
	}
	for i := range 4 { // the last one in place of the first
		reads(1, i)
	}
	reads(0, 2)
	reads(1, 4) // in place of 1: of what was there before 3 came, only 2 was asked for since
	runtime.GC()
	reads(0, 2)
	reads(0, 3)
	kept := reads(1, 0)
	reads(1, 1)
	for i := range 2 * store.count { // so that it is long since 0 was asked for
		if _, err := find(t.Context(), c, numbered(1+i%4)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	if again := reads(0, 0); again != kept {
		t.Error("a definition that is kept was compiled again")
	}
}

// TestOneLoad: however many ask for a definition, it is read once; while the journal is away they are told so, and find it afterwards.
func TestOneLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		a, b := follow(t, store), follow(t, store)
		a.deploy("1.0.0")
		second()
		b.away.Store(true)
		if _, err := find(t.Context(), b.Catalog, ref("1.0.0")); !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("while the journal is away: %v", err)
		}
		b.away.Store(false)
		const callers = 50
		defs := make([]*workflow.Definition, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				var err error
				if defs[i], err = find(t.Context(), b.Catalog, ref("1.0.0")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, def := range defs {
			if def != defs[0] {
				t.Error("it was compiled more than once")
			}
		}
	})
}

// TestTooMany: there are no more definitions than there may be, until some are removed; what is removed comes back only if there is
// room.
func TestTooMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := catalog.Load(t.Context(), journal(t), catalog.Config{Most: 2})
		if err != nil {
			t.Fatal(err)
		}
		put := func(version string, size int) error {
			_, err := c.Deploy(t.Context(), &journalv1.DefinitionRow{
				Namespace: "test", Name: "one", Version: version, Hash: []byte(version), Document: make([]byte, size),
			})
			return err
		}
		want := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		want("the first", put("1.0.0", 1), nil)
		want("a large one", put("1.1.0", 512<<10), catalog.ErrTooMany)
		want("the second", put("1.1.0", 1), nil)
		want("the third", put("1.2.0", 1), catalog.ErrTooMany)
		want("the second again", put("1.1.0", 1), nil)
		_, err = c.Remove(t.Context(), ref("1.0.0"), time.Now())
		want("remove what is not retired", err, catalog.ErrNotRetired)
		_, err = c.Retire(t.Context(), ref("1.0.0"), &journalv1.Retirement{At: 1})
		want("retire", err, nil)
		if err := put("1.2.0", 1); !errors.Is(err, catalog.ErrTooMany) || !strings.Contains(err.Error(), "such as test/one:1.0.0") {
			t.Errorf("while one is retired: %v", err)
		}
		_, err = c.Remove(t.Context(), ref("1.0.0"), time.Now())
		want("remove", err, nil)
		if rows := c.Rows(""); len(rows) != 1 || rows[0].GetVersion() != "1.1.0" {
			t.Errorf("there are %v", rows)
		}
		want("the third", put("1.2.0", 1), nil)
		want("the first again", put("1.0.0", 1), catalog.ErrTooMany)
		_, err = c.Retire(t.Context(), ref("1.0.0"), nil)
		want("reinstate the first", err, catalog.ErrTooMany)
	})
}

// silent is a journal that does not answer any more, from some time on, when a definition is read.
type silent struct {
	*large

	away atomic.Bool
}

func (s *silent) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	if s.away.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.large.Definition(ctx, ref)
}

// TestLoadsEnd: whoever waits for a definition when the node stops is told that it does, whatever it waits for.
func TestLoadsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const count = 30
		store := &silent{large: &large{Catalog: journal(t), count: count}}
		c, err := catalog.Load(t.Context(), store, catalog.Config{})
		if err != nil {
			t.Fatal(err)
		}
		store.away.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		followed, found := make(chan struct{}), make(chan error, count)
		go func() {
			defer close(followed)
			c.Follow(ctx, catalog.Following{Every: time.Hour, Within: time.Second, Limited: func(string) {}, Note: func(error) {}})
		}()
		for i := range count {
			go func() {
				_, err := find(t.Context(), c, numbered(i))
				found <- err
			}()
		}
		synctest.Wait()
		stop()
		<-followed
		for range count {
			if err := <-found; !errors.Is(err, catalog.ErrEnded) {
				t.Errorf("the node stops: %v", err)
			}
		}
	})
}
