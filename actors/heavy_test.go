package actors_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/definition"
	hfruntime "github.com/holdfast-run/holdfast/actors/runtime"
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
			n.sleep(200 * time.Millisecond) // what was evaluated counts for the pace, however little time passes here
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

// Orders whose definition is known to evaluate much wait for their turn outside of that of their partition, and are not stuck. Whatever was
// done of it is counted.
func TestHeavyOrdersWaitApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Evaluations: 1, EvaluationBytes: 1 << 30}))
		long := n.deploy("long", "do: [{a: {set: {n: '${ [range(30000)] | length }'}}}]")
		small := n.deploy("small", "do: [{a: {set: {x: '${ .s | length }'}}}]")
		ids := crowd(6) // of one partition
		n.mustSubmit(order{id: ids[0], def: long})
		n.expect(ids[0], completed)
		before := n.HeavyDone(hfruntime.HeavyEvaluation)
		if before.Used == 0 || before.Waits != 0 {
			t.Errorf("the first one: %+v", before)
		}
		end := n.HoldHeavy()
		answers := []<-chan error{
			n.submitOnly(order{id: ids[1], def: long}),
			n.submitOnly(order{id: ids[2], def: long}),
			n.submitOnly(order{id: ids[3], def: small, input: `{"s": "` + strings.Repeat("x", 100_000) + `"}`}),
		}
		n.wantStuck()
		n.mustSubmit(order{id: ids[4], def: small, input: `{"s": ""}`})
		n.expect(ids[4], completed)
		if d := n.HeavyDone(hfruntime.HeavyEvaluation); d.Waiting != 3 || d.Waits != before.Waits+3 {
			t.Errorf("%+v", d)
		}
		end()
		n.sleep(time.Minute)
		for i, answer := range answers {
			wantErr(t, <-answer, nil)
			n.expect(ids[1+i], completed)
		}
		if d := n.HeavyDone(hfruntime.HeavyEvaluation); d.Waiting != 0 || d.Running != 0 || d.Used <= before.Used {
			t.Errorf("in the end: %+v", d)
		}
	})
}
