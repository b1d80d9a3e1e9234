package actors_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/definition"
	hfruntime "github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
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

// What turns out to take long in the turn of its partition is decided anew outside of it: the other orders there go on meanwhile. It comes to the
// same as if it had been known.
func TestLongLeavesItsPartition(t *testing.T) {
	t.Parallel()
	const long = `{b: {set: {n: '${ [range(30000)] | length }'}}}`
	for name, doc := range map[string]string{
		"at its start":    "do: [" + long + "]",
		"behind a wait":   "do: [{a: {wait: PT1S}}, " + long + "]",
		"behind a result": "do: [{a: {call: x.do}}, " + long + ", {c: {call: x.do}}]",
		"much before it":  "do: [{a: {set: {x: '${ \"x\" * 300000 }'}}}, " + long + "]",
		"behind a check": "input: {schema: {document: {type: object, properties: {n: {items: {type: integer}}}}}}\n" +
			"do: [" + long + "]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory, withEngine(actors.Config{Evaluations: 1, EvaluationBytes: 1 << 30}))
				n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return done("1") })
				def, small := n.deploy("long", doc), n.deploy("small", "do: [{a: {set: {x: 1}}}]")
				ids := crowd(3) // of one partition
				input := `{"n": [1` + strings.Repeat(", 1", 3000) + `]}`
				end := n.HoldHeavy()
				answer := n.submitOnly(order{id: ids[0], def: def, input: input})
				n.sleep(2 * time.Second)
				n.wantStuck()
				n.mustSubmit(order{id: ids[1], def: small})
				n.expect(ids[1], completed)
				if d := n.HeavyDone(hfruntime.HeavyEvaluation); d.Waiting != 1 {
					t.Errorf("%+v", d)
				}
				end()
				n.sleep(time.Minute)
				wantErr(t, <-answer, nil)
				n.mustSubmit(order{id: ids[2], def: def, input: input})
				n.sleep(time.Minute)
				n.wantStuck()
				var told [2][]string
				for i, id := range []string{ids[0], ids[2]} {
					n.expect(id, completed)
					for _, e := range n.history(id) {
						told[i] = append(told[i], fmt.Sprintf("%T", e.GetKind()))
					}
				}
				if !slices.Equal(told[0], told[1]) {
					t.Errorf("the history of the first one is %v, of the next one %v", told[0], told[1])
				}
				if d := n.HeavyDone(hfruntime.HeavyEvaluation); d.Waiting != 0 || d.Running != 0 {
					t.Errorf("in the end: %+v", d)
				}
			})
		})
	}
}
