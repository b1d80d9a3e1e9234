package actors_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// deployElsewhere deploys a definition as another node does.
func (n *node) deployElsewhere(name, tasks string) *workflow.Definition {
	n.t.Helper()
	other, err := catalog.Load(n.t.Context(), n.journal, catalog.Config{})
	if err != nil {
		n.t.Fatal(err)
	}
	doc := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: %s, version: 1.0.0}\n%s", name, tasks)
	hash := sha256.Sum256([]byte(doc))
	row, err := other.Deploy(n.t.Context(), &journalv1.DefinitionRow{
		Namespace: "test", Name: name, Version: "1.0.0", Hash: hash[:], Document: []byte(doc),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	def, err := found(other, messages.RefOf(row))
	if err != nil {
		n.t.Fatal(err)
	}
	return def
}

// limitElsewhere sets a limit as another node does.
func (n *node) limitElsewhere(concurrency uint32) {
	n.t.Helper()
	if err := n.journal.PutLimit(n.t.Context(), &journalv1.LimitRow{Activity: "x.do", Concurrency: concurrency}); err != nil {
		n.t.Fatal(err)
	}
	n.sleep(2 * time.Second)
}

// A limit that another node sets, changes or lifts holds here, too.
func TestLimitOfAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		w := n.worker(nil)
		def := n.deploy("one", callOne)
		n.limitElsewhere(2)
		const orders = 10
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
		}
		for _, limit := range []struct {
			concurrency uint32
			want        int
		}{{2, 2}, {3, 3}, {0, orders}} {
			n.limitElsewhere(limit.concurrency)
			if got := len(w.took()); got != limit.want {
				t.Errorf("%d tasks at a concurrency of %d", got, limit.concurrency)
			}
		}
	})
}

// An order whose definition another node has deployed just now is accepted.
func TestDefinitionOfAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.worker(succeed("1"))
		n.sleep(time.Second)
		def := n.deployElsewhere("one", callOne)
		began := time.Now()
		n.mustSubmit(order{id: "o", def: def})
		n.expect("o", completed)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// outdated is a journal that can't tell whether its catalogue was changed.
type outdated struct {
	persistence.Journal

	away *atomic.Bool
}

func (o outdated) CatalogVersion(ctx context.Context) (uint64, error) {
	if o.away.Load() {
		return 0, persistence.ErrUnavailable
	}
	return o.Journal.CatalogVersion(ctx)
}

// A child is refused for want of its definition only when it is certain that nobody has deployed that.
func TestChildOfAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		n := start(t, withWrap(func(j persistence.Journal) persistence.Journal { return outdated{j, &away} }))
		n.worker(succeed("1"))
		parent := n.deploy("parent", parentOf)
		for i, isAway := range []bool{false, true} {
			away.Store(isAway)
			id := fmt.Sprint("none", i)
			n.mustSubmit(order{id: id, def: parent})
			n.sleep(100 * time.Millisecond)
			want := map[bool]orderv1.Status{false: faulted, true: running}[isAway]
			n.expect(id, want)
		}
		n.deployElsewhere("child", callOne)
		n.mustSubmit(order{id: "some", def: parent})
		n.sleep(time.Minute)
		for _, id := range []string{"none1", "some"} {
			n.expect(id, running)
		}
		away.Store(false)
		n.sleep(5 * time.Second)
		for _, id := range []string{"none1", "none1~1", "some", "some~1"} {
			n.expect(id, completed)
		}
		n.checkNothingLeft()
	})
}

// A node that is to own nothing yet starts all the same.
func TestNodeWithoutPartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &town{t: t, store: memory.NewStore(), chance: rand.New(rand.NewPCG(1, 1))} // the first is to own all
		for i := range w.sides {
			w.sides[i] = &side{town: w, index: i}
		}
		for _, s := range w.sides {
			s.open()
		}
		w.sides[0].host.Give(7)
		w.sides[1].host.Take(7)
		time.Sleep(5 * time.Second)
		if w.sides[1].serving[7].Load() == nil {
			t.Error("it does not own what it is given later")
		}
		for _, s := range w.sides {
			s.close()
		}
		time.Sleep(time.Minute) // timers that are left do nothing
	})
}

// A child is refused because its definition is retired only when it is certain that nobody has deployed a later version, or has
// reinstated one.
func TestChildOfReinstated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.worker(succeed("1"))
		def := n.deploy("child", childDo)
		parent := n.deploy("parent", "do: [{c: {run: {workflow: {namespace: test, name: child, version: latest}}}}]")
		if _, err := n.Catalog().Retire(t.Context(), def.Ref, &journalv1.Retirement{At: 1}); err != nil {
			t.Fatal(err)
		}
		n.sleep(5 * time.Second)
		other, err := catalog.Load(t.Context(), n.journal, catalog.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Retire(t.Context(), def.Ref, nil); err != nil {
			t.Fatal(err)
		}
		n.mustSubmit(order{id: "o", def: parent})
		n.sleep(time.Minute)
		n.expect("o", completed)
		n.checkNothingLeft()
	})
}
