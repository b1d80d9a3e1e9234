package actors_test

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/persistence"
)

// keeping is a journal that keeps large commits until it is told to let them go.
type keeping struct {
	persistence.Journal

	mu   *sync.Mutex
	kept *[]*persistence.Commit
}

func (k keeping) Commit(c *persistence.Commit) {
	if len(c.Record) < 50_000 {
		k.Journal.Commit(c)
		return
	}
	k.mu.Lock()
	*k.kept = append(*k.kept, c)
	k.mu.Unlock()
}

func (k keeping) letGo() (some bool) {
	k.mu.Lock()
	kept := *k.kept
	*k.kept = nil
	k.mu.Unlock()
	for _, c := range kept {
		k.Journal.Commit(c)
	}
	return len(kept) > 0
}

const makesMuch = `do: [{a: {set: {x: '${ "x" * 300000 }'}}}]`

// Orders that evaluate much wait for each other, and for what is not durable yet, and nobody else does, not even those of the same partition.
func TestMuchAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keeping{mu: &sync.Mutex{}, kept: &[]*persistence.Commit{}}
		n := start(t, withEngine(actors.Config{Definition: definition.Limits{Memory: 10 << 20}, EvaluationBytes: 11 << 20}),
			withWrap(func(j persistence.Journal) persistence.Journal {
				k.Journal = j
				return k
			}))
		much, little := n.deploy("much", makesMuch), n.deploy("little", "do: [{a: {set: {x: 1}}}]")
		ids := crowd(41)
		answers := []<-chan error{n.submitOnly(order{id: ids[0], def: much})} // by which it is known that they make much
		settle()
		for _, id := range ids[1:40] {
			answers = append(answers, n.submitOnly(order{id: id, def: much}))
		}
		settle()
		n.wantStuck()
		if decided := len(*k.kept); decided < 1 || decided > 2 { // what the first one has made leaves room for one at most
			t.Errorf("%d are decided and not durable", decided)
		}
		n.mustSubmit(order{id: ids[40], def: little})
		n.expect(ids[40], completed)
		for k.letGo() {
			settle()
		}
		for i, answer := range answers {
			wantErr(t, <-answer, nil)
			n.expect(ids[i], completed)
		}
		n.wantStuck()
	})
}

// Nothing of an order that has ended stays in memory.
func TestEndedLeaveNothing(t *testing.T) { //nolint:paralleltest // others would use memory, too
	n := start(t)
	def := n.deploy("much", makesMuch)
	heap := func() int {
		var m runtime.MemStats
		for range 3 { // pools keep what they have for two rounds
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	ids := crowd(100) // of one partition, which has them at the same time
	answers := make(chan error, len(ids))
	for _, id := range ids {
		n.hand(order{id: id, def: def}.accepted(), func(err error) { answers <- err })
	}
	for range ids {
		wantErr(t, <-answers, nil)
	}
	for _, id := range ids {
		n.expect(id, completed)
	}
	if more := heap() - before; more > 10<<20 { // they had 30 MB
		t.Errorf("%d bytes more are in use", more)
	}
}
