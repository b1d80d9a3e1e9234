package actors_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Settings of TestChaos.
var (
	chaosFrom = flag.Uint64("chaos.from", 0, "the first seed of TestChaos")
	chaosRuns = flag.Uint64("chaos.runs", 4, "how many seeds TestChaos tries")
)

// Everything at once: commits that fail, partitions that panic, adapters that come and go, kills, operators, limits, and
// repeated submissions, with and without room for all. Whatever was acknowledged ends, once; of each key one order runs at a
// time; what is not idempotent is never executed by two ledgers without a mark; and in the end nothing is left of anything.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := *chaosFrom; seed < *chaosFrom+*chaosRuns; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				chaos(t, rand.New(rand.NewPCG(seed, 0)), actors.Config{
					LongWait: time.Second, Idle: 2 * time.Second, LedgerGrace: 10 * time.Second, AgeAfter: 20 * time.Second,
					Workflow:  workflow.Limits{StopGrace: 15 * time.Second},
					QueueEach: []int64{0, 2500}[seed%2], ResidentBytes: []int64{0, 20_000}[seed/2%2], Waking: []int{0, 1}[seed/4%2], Dues: []int{0, 1}[seed%2],
				})
			})
		})
	}
}

// dice is chance that many may draw from.
type dice struct {
	mu   sync.Mutex
	rng  *rand.Rand
	calm bool // nothing goes wrong any more
}

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

func (d *dice) isCalm() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calm
}

// stuck tells whether something never happens.
func (d *dice) stuck() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.calm && d.rng.IntN(10) == 0
}

// commit says what a commit answers.
func (d *dice) commit(*persistence.Commit) *fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch n := d.rng.IntN(40); {
	case d.calm || n > 3:
		return nil
	case n > 1:
		return &fault{err: persistence.ErrUnknown, made: n == 2}
	case n == 1:
		return &fault{err: persistence.ErrBusy}
	default:
		return &fault{err: persistence.ErrConflict}
	}
}

// chaos runs orders, with bounds for what waits and for what is in memory.
func chaos(t *testing.T, rng *rand.Rand, config actors.Config) {
	t.Helper()
	const orders, keys = 60, 4
	chance := &dice{rng: rng}
	f := &faulty{fail: chance.commit}
	n := start(t, inMemory, withWrap(f.wrap), withEngine(config))
	defs := []*workflow.Definition{
		n.deploy("steps", "do: [{a: {call: x.do}}, {w: {wait: PT2S}}, {b: {call: x.do}}]"), n.deploy("three", callThree),
		n.deploy("versions", "do: [{a: {call: x.do:1.0.0@default}}, {b: {call: x.do}}]"),
		n.deploy("retries", "do: [{a: {try: [{a: {call: x.do, timeout: {after: PT20S}}}], "+
			"catch: {retry: {delay: PT3S, limit: {attempt: {count: 2}}}}}}, {b: {call: x.do}}]"),
		n.deploy("parent", parentOf), n.deploy("undoes", undoes), n.deploy("detaches", detaches),
		n.deploy("undoesTry", "do: [{t: {try: [{a: {call: x.do, "+undone+"}}, {b: {call: x.do, "+undone+"}}], "+
			"catch: {retry: {delay: PT3S, limit: {attempt: {count: 1}}}}, metadata: {holdfast: {compensate: true}}}}]"),
	}
	n.deploy("child", childDo)
	executed := &executions{
		unmarked: map[string]string{}, failed: map[string]uint32{}, twice: map[string]bool{}, alone: map[string]int{},
	}
	crew := &crew{executed: executed, chance: chance}
	crew.attach(n, 2)
	var clients sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	submit := func(id, key string) {
		o := order{id: id, def: defs[chance.roll(len(defs))], key: key, priority: []int32{0, 5, 9}[chance.roll(3)]}
		if chance.roll(5) == 0 {
			o.deadline = time.Now().Add(time.Duration(chance.roll(120)) * time.Second)
		}
		now := n
		clients.Go(func() {
			for range 1 + chance.roll(3) {
				answer := make(chan error, 1)
				now.hand(o.accepted(), func(err error) { answer <- err })
				if <-answer == nil {
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
				}
				time.Sleep(time.Duration(chance.roll(400)) * time.Millisecond)
			}
		})
	}
	var byKey [keys][]string
	for i := range orders {
		id, k := fmt.Sprint("o", i), chance.roll(2*keys)
		key := ""
		if k < keys {
			key, byKey[k] = fmt.Sprint("k", k), append(byKey[k], id)
		}
		submit(id, key)
		victim := messages.OrderID(fmt.Sprint("o", chance.roll(i+1)))
		if chance.roll(4) == 0 {
			victim += "~1" // which may be there
		}
		switch chance.roll(14) {
		case 0:
			n.BreakPartition(messages.PartitionOf(messages.OrderID(id), key))
		case 1:
			crew.leave(n, 1)
		case 2:
			n.tell(victim, workflow.Cancel{}, func(error) {})
		case 3:
			if i%4 == 0 {
				clients.Wait()
				crew.forget()
				n = n.crash()
				crew.attach(n, 2)
			}
		case 4:
			n.tell(victim, workflow.Suspend{}, func(error) {})
		case 5:
			n.tell(victim, workflow.Fault{}, func(error) {})
		case 6:
			n.tell(victim, workflow.ReleaseKey{}, func(error) {})
			n.tell(victim, retry, func(error) {})
		case 7, 8:
			n.tell(victim, workflow.Cancel{Compensate: true}, func(error) {})
		case 9:
			n.deployDocument(fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: child, version: 1.%d.0}\n%s", i, childDo))
		case 10:
			n.limit(chance.roll(3)*chance.roll(10), chance.roll(3))
		case 11:
			slander(n, chance, fmt.Sprint("o", chance.roll(i+1)))
		}
		n.operateAll(retry, faulted, 3, chance)
		n.operateAll(skip, faulted, 10, chance)
		n.operateAll(workflow.Cancel{Compensate: true}, faulted, 10, chance)
		n.operateAll(workflow.Reopen{How: journalv1.Reopening_REOPENING_RESTART, Task: "/do/0/a"}, faulted, 10, chance)
		n.operateAll(workflow.Resume{}, suspended, 3, chance)
		n.sleep(time.Duration(chance.roll(1500)) * time.Millisecond)
	}
	clients.Wait()
	chance.mu.Lock()
	chance.calm = true
	chance.mu.Unlock()
	crew.leave(n, crew.size())
	names := make([]string, 0, keys)
	for k := range keys {
		names = append(names, fmt.Sprint("k", k))
	}
	n.limit(0, 0)
	n.operateAll(workflow.Resume{}, suspended, 1, chance)
	for range 10 { // parents wait for children that wait for an operator
		n.operateAll(workflow.Cancel{}, faulted, 1, chance)
		n.sleep(30 * time.Second)
	}
	n.releaseAll(names...)
	for id := range acknowledged {
		if s := n.state(id).Status(); s != orderv1.Status_STATUS_COMPLETED && s != orderv1.Status_STATUS_CANCELLED && s != orderv1.Status_STATUS_FAULTED {
			t.Errorf("%s is %v", id, s)
		}
	}
	for _, ids := range byKey {
		var kept []string
		for _, id := range ids {
			if _, _, err := n.View().Load(t.Context(), messages.OrderID(id)); err == nil {
				kept = append(kept, id)
			} else if !errors.Is(err, persistence.ErrNotFound) {
				t.Error(err)
			}
		}
		n.checkSequence(false, kept...)
	}
	for key := range executed.twice {
		t.Errorf("%s was executed by two ledgers, and not marked", key)
	}
	deaths, apart := 0, 0
	for id := range acknowledged {
		d, a := n.checkHonest(id, executed)
		deaths, apart = deaths+d, apart+a
	}
	t.Logf("%d deaths alone, %d tasks set apart", deaths, apart)
	n.operateAll(workflow.Cancel{}, faulted, 1, chance)
	n.sleep(2 * time.Minute)
	for _, key := range names {
		if q, err := n.Key(t.Context(), key, 0, 0); err != nil || q.GetHead() != "" || q.GetCount() != 0 {
			t.Errorf("the key %s has %+v, %v", key, q, err)
		}
	}
	n.checkNothingLeft()
	n.verify()
}

// checkNothingLeft checks that there is nothing left of orders that have all ended.
func (n *node) checkNothingLeft() {
	n.t.Helper()
	n.checkCounts()
	status := n.Status(n.t.Context())
	status.Faulted, status.InDoubt, status.KeysHeld = 0, 0, 0 // that is for an operator
	if !reflect.DeepEqual(status, actors.Status{}) {
		n.t.Errorf("of orders that have ended there is left %+v", status)
	}
	for _, a := range n.Activities().All() {
		if a.Waiting != 0 || a.InFlight != 0 || a.Overflow != 0 {
			n.t.Errorf("of tasks that have ended there is left %+v", a)
		}
		if left := n.RoomUsed(a.Name); left != "" {
			n.t.Errorf("the room of %s has %s", a.Name, left)
		}
	}
	if got := n.Uncounted(); got != 0 {
		n.t.Errorf("%d orders are not counted", got)
	}
	select {
	case err := <-n.broken:
		n.t.Errorf("the process ended: %v", err)
	default:
	}
}

// limit sets the limit of x.do.
func (n *node) limit(rate, concurrency int) {
	n.t.Helper()
	row := &journalv1.LimitRow{Activity: "x.do", Rate: float64(rate), Concurrency: uint32(concurrency)}
	if err := n.SetLimit(n.t.Context(), row); err != nil {
		n.t.Error(err)
	}
}

// operateAll has operators do something to one in so many orders of a status. Whether it is done does not matter.
func (n *node) operateAll(cmd workflow.Command, status orderv1.Status, oneIn int, chance *dice) {
	n.t.Helper()
	found, _, err := n.journal.List(n.t.Context(), persistence.Query{Statuses: []orderv1.Status{status}, Limit: 1000, Scan: 1 << 20})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range found {
		if chance.roll(oneIn) == 0 {
			n.tell(messages.OrderID(f.Row.GetId()), cmd, func(error) {})
		}
	}
}
