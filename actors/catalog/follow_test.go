package catalog_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a catalogue that is followed, as that of a node is.
type node struct {
	*catalog.Catalog

	t       *testing.T
	away    atomic.Bool // the journal does not answer
	hangs   atomic.Bool // it takes as long as it is given
	looks   atomic.Int64
	reads   atomic.Int64
	mu      sync.Mutex
	limited []string
	noted   error
	stop    func()
}

// counted is the journal as a node sees it.
type counted struct {
	persistence.Catalog

	n *node
}

func (c counted) CatalogVersion(ctx context.Context) (uint64, error) {
	c.n.looks.Add(1)
	if c.n.hangs.Load() {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	return c.Catalog.CatalogVersion(ctx)
}

func (c counted) FeatureLevel(ctx context.Context) (uint32, error) {
	c.n.reads.Add(1)
	return c.Catalog.FeatureLevel(ctx)
}

const (
	every  = time.Second
	within = 4 * time.Second
)

// follow has another node follow the catalogue of a store.
func follow(t *testing.T, store *memory.Store) *node {
	t.Helper()
	n := &node{t: t}
	j := store.Open(memory.Config{Faults: func(*persistence.Commit) memory.Fault {
		if n.away.Load() {
			return memory.Unavailable
		}
		return memory.None
	}})
	var err error
	if n.Catalog, err = catalog.Load(t.Context(), counted{j, n}, catalog.Config{}); err != nil {
		t.Fatal(err)
	}
	n.looks.Store(0)
	n.reads.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Follow(ctx, catalog.Following{Every: every, Within: within, Limited: n.wasLimited, Note: n.note})
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) wasLimited(activity string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limited = append(n.limited, activity)
}

func (n *node) note(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.noted = err
}

// wantLimited checks of which limits the node was told since it was asked last, and what the last look came to.
func (n *node) wantLimited(noted error, want ...string) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.limited, want) {
		n.t.Errorf("the node was told of the limits of %v, want %v", n.limited, want)
	}
	if !errors.Is(n.noted, noted) {
		n.t.Errorf("the last look came to %v, want %v", n.noted, noted)
	}
	n.limited = nil
}

func ref(version string) messages.DefinitionRef {
	return messages.DefinitionRef{Namespace: "test", Name: "one", Version: version}
}

func (n *node) deploy(version string) {
	n.t.Helper()
	doc := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: one, version: %s}\ndo: [{a: {set: {b: 1}}}]", version)
	hash := sha256.Sum256([]byte(doc))
	_, err := n.Deploy(n.t.Context(), &journalv1.DefinitionRow{
		Namespace: "test", Name: "one", Version: version, Hash: hash[:], Document: []byte(doc),
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// find finds a definition among those that the node knows.
func (n *node) find(ref messages.DefinitionRef) (*workflow.Definition, error) {
	def, err := n.Definition(ref)
	if errors.Is(err, catalog.ErrNotLoaded) {
		loaded := make(chan error)
		go n.Await(err, func(err error) {
			if err == nil {
				def, err = n.Definition(ref)
			}
			loaded <- err
		})
		err = <-loaded
	}
	return def, err
}

// look finds a definition, or makes sure that there is none.
func (n *node) look(version string) (*workflow.Definition, error) {
	return catalog.Look(n.t.Context(), n.Catalog, func() (*workflow.Definition, error) { return n.Definition(ref(version)) })
}

// second lets one second and a little more pass.
func second() {
	time.Sleep(every + every/10)
	synctest.Wait()
}

// What one node deploys, retires, limits, and raises the others know a second later.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		a, b := follow(t, store), follow(t, store)
		a.deploy("1.0.0")
		a.deploy("2.0.0")
		if _, err := b.find(ref("1.0.0")); !errors.Is(err, catalog.ErrUnknown) {
			t.Fatalf("it was known at once: %v", err)
		}
		second()
		if def, err := b.find(ref(messages.Latest)); err != nil || def.Ref != ref("2.0.0") {
			t.Errorf("the latest is %v: %v", def, err)
		}
		if _, err := a.Retire(t.Context(), ref("2.0.0"), &journalv1.Retirement{At: 1}); err != nil {
			t.Fatal(err)
		}
		second()
		if _, err := b.find(ref("2.0.0")); !errors.Is(err, catalog.ErrRetired) {
			t.Errorf("what was retired is found with %v", err)
		}
		if def, err := b.find(ref(messages.Latest)); err != nil || def.Ref != ref("1.0.0") {
			t.Errorf("the latest is %v: %v", def, err)
		}
		if _, err := a.Retire(t.Context(), ref("2.0.0"), nil); err != nil {
			t.Fatal(err)
		}
		second()
		if def, err := b.find(ref(messages.Latest)); err != nil || def.Ref != ref("2.0.0") {
			t.Errorf("the latest is %v: %v", def, err)
		}
		if reads := b.reads.Load(); reads != 3 {
			t.Errorf("the catalogue was read %d times for 3 changes", reads)
		}
	})
}

// A limit that another node has set, changed or lifted is told, and no other.
func TestFollowLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		a, b := follow(t, store), follow(t, store)
		limit := func(activity string, rate float64) {
			t.Helper()
			if err := a.SetLimit(t.Context(), &journalv1.LimitRow{Activity: activity, Rate: rate}); err != nil {
				t.Fatal(err)
			}
		}
		limit("x.do", 1)
		limit("x.undo", 2)
		second()
		b.wantLimited(nil, "x.do", "x.undo")
		limit("x.do", 3)
		a.deploy("1.0.0")
		second()
		b.wantLimited(nil, "x.do")
		if got := b.Limit("x.do").GetRate(); got != 3 {
			t.Errorf("the limit is %v", got)
		}
		limit("x.undo", 0)
		second()
		b.wantLimited(nil, "x.undo")
		if got := b.Limited(); !slices.Equal(got, []string{"x.do"}) || b.Limit("x.undo") != nil {
			t.Errorf("limits are left of %v", got)
		}
		second()
		b.wantLimited(nil)
		a.wantLimited(nil) // it is who did it
	})
}

// A definition that is missed is looked for at once; many who miss some are no load for the journal.
func TestMiss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		a, b := follow(t, store), follow(t, store)
		time.Sleep(every / 2)
		a.deploy("1.0.0")
		began := time.Now()
		if _, err := b.look("1.0.0"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the first miss took %v", took)
		}
		a.deploy("2.0.0")
		if _, err := b.look("2.0.0"); err != nil { // though there was a look just now
			t.Error(err)
		}
		const callers = 50
		looked, read := b.looks.Load(), b.reads.Load()
		began = time.Now()
		var all sync.WaitGroup
		var missed atomic.Int64
		for range callers {
			all.Go(func() {
				for time.Since(began) < 10*time.Second {
					if _, err := b.look("9.0.0"); !errors.Is(err, catalog.ErrUnknown) {
						t.Errorf("what is not there is %v", err)
					}
					missed.Add(1)
				}
			})
		}
		all.Wait()
		if looks := b.looks.Load() - looked; looks > 10*1000+1 || missed.Load() < looks*callers/2 {
			t.Errorf("%d misses within 10 s had the journal asked %d times", missed.Load(), looks)
		}
		if reads := b.reads.Load() - read; reads != 0 {
			t.Errorf("the catalogue was read %d times, though nothing had changed", reads)
		}
	})
}

// While the journal does not answer, what is known stays, and a definition that is missed is not said not to be there.
func TestFollowUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		a, b := follow(t, store), follow(t, store)
		a.deploy("1.0.0")
		second()
		if _, err := b.find(ref("1.0.0")); err != nil { // so that it is loaded
			t.Fatal(err)
		}
		for name, fault := range map[string]*atomic.Bool{"is away": &b.away, "hangs": &b.hangs} {
			version := fmt.Sprintf("%d.0.0", 2+len(b.Rows("")))
			fault.Store(true)
			a.deploy(version)
			if _, err := b.look(version); !errors.Is(err, persistence.ErrUnavailable) {
				t.Errorf("the journal %s: a definition that is missed is %v", name, err)
			}
			time.Sleep(within + every)
			synctest.Wait()
			b.wantLimited(persistence.ErrUnavailable)
			if _, err := b.find(ref("1.0.0")); err != nil {
				t.Errorf("the journal %s: %v", name, err)
			}
			fault.Store(false)
			time.Sleep(within) // a look that hangs
			second()
			b.wantLimited(nil)
			if _, err := b.find(ref(version)); err != nil {
				t.Errorf("the journal %s no more: %v", name, err)
			}
		}
	})
}

// Who waits for a look is told when none will come.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := follow(t, memory.NewStore())
		n.hangs.Store(true)
		errs := make(chan error, 3)
		for range 2 { // the second waits for the next look
			go func() { errs <- n.Reread(t.Context()) }()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Reread(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("who has no time is told %v", err)
		}
		n.stop()
		errs <- n.Reread(t.Context())
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, catalog.ErrEnded) {
				t.Errorf("it is told %v", err)
			}
		}
	})
}
