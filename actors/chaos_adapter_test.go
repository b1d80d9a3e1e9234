package actors_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// executions is what the downstream of all workers knows: by key, the ledger that executed it without a mark.
type executions struct {
	mu       sync.Mutex
	unmarked map[string]string
	failed   map[string]uint32 // the attempt that failed last, if none came after it
	twice    map[string]bool
	alone    map[string]int // how many processes ended that executed a key, and nothing else
}

// lie is the output of whatever is told of tasks that the teller was not sent.
const lie = `"a lie"`

// mortal is an adapter that may leave at any time, and dies of some of its tasks.
type mortal struct {
	*worker

	executions *executions
	chance     *dice
	ledger     string

	mu      sync.Mutex
	held    map[string]*adapterv1.Task
	running map[string]bool
	alone   string
	gone    bool
}

// spawn attaches an adapter, which awaits confirmations or does not. replace is called if it dies.
func (e *executions) spawn(n *node, chance *dice, name, ledger string, replace func(*mortal)) *mortal {
	m := &mortal{executions: e, chance: chance, ledger: ledger, held: map[string]*adapterv1.Task{}, running: map[string]bool{}}
	changes := []func(*adapterv1.Hello){process(name, ledger), notIdempotent}
	if chance.roll(3) > 0 {
		changes = append(changes, begins)
	}
	m.worker = n.newWorker(func(_ *worker, t *adapterv1.Task) *adapterv1.Result {
		m.take(t, replace)
		return nil
	}, changes...)
	m.confirm = func(c *adapterv1.Confirmation) { m.confirmed(c, replace) }
	m.cancel = m.cancelled
	m.join()
	return m
}

// take holds a task, or executes it.
func (m *mortal) take(t *adapterv1.Task, replace func(*mortal)) {
	if !t.GetAwaitConfirmation() {
		m.begin(t, replace)
		return
	}
	m.mu.Lock()
	m.held[t.GetKey()] = t
	m.mu.Unlock()
	m.report(t)
}

// report says, again and again, that it is about to begin, once it may.
func (m *mortal) report(t *adapterv1.Task) {
	time.AfterFunc(time.Duration(m.chance.roll(1000))*time.Millisecond, func() {
		m.mu.Lock()
		if m.gone || m.held[t.GetKey()] != t {
			m.mu.Unlock()
			return
		}
		may := m.alone == "" && (!t.GetAlone() || len(m.running) == 0)
		m.mu.Unlock()
		if may {
			m.Begun(&adapterv1.Begun{Key: t.GetKey(), Attempt: t.GetAttempt()})
		}
		m.report(t)
	})
}

// cancelled gives up what is held.
func (m *mortal) cancelled(c *adapterv1.Cancellation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.held[c.GetKey()]
	if m.gone || t == nil || t.GetAttempt() != c.GetAttempt() {
		return
	}
	delete(m.held, c.GetKey())
	outcome := adapterv1.Outcome_OUTCOME_NOT_DONE
	if t.GetMaybeStarted() || m.executions.knows(m.ledger, c.GetKey()) {
		outcome = adapterv1.Outcome_OUTCOME_IN_DOUBT
	}
	time.AfterFunc(time.Millisecond, func() { m.answer(t, &adapterv1.Result{Outcome: outcome}) })
}

func (m *mortal) confirmed(c *adapterv1.Confirmation, replace func(*mortal)) {
	m.mu.Lock()
	t := m.held[c.GetKey()]
	if m.gone || t == nil || t.GetAttempt() != c.GetAttempt() || m.alone != "" || t.GetAlone() && len(m.running) > 0 {
		m.mu.Unlock()
		return
	}
	delete(m.held, c.GetKey())
	if t.GetAlone() {
		m.alone = c.GetKey()
	}
	m.mu.Unlock()
	if c.GetMaybeStarted() && !t.GetMaybeStarted() {
		t, _ = proto.Clone(t).(*adapterv1.Task)
		t.MaybeStarted = true
	}
	m.begin(t, replace)
}

// begin executes a task, or dies of it.
func (m *mortal) begin(t *adapterv1.Task, replace func(*mortal)) {
	key := t.GetKey()
	m.mu.Lock()
	if m.gone {
		m.mu.Unlock()
		return
	}
	m.running[key] = true
	m.mu.Unlock()
	result := m.executions.execute(m.chance, m.ledger, t)
	if result == nil {
		time.AfterFunc(time.Millisecond, func() {
			if m.end(true) {
				replace(m)
			}
		})
		return
	}
	if m.chance.stuck() {
		return // until it is gone
	}
	var try func()
	try = func() {
		m.mu.Lock()
		if m.gone {
			m.mu.Unlock()
			return
		}
		delete(m.running, key)
		if m.alone == key {
			m.alone = ""
		}
		m.mu.Unlock()
		m.answerThen(t, result, func(err error) {
			if err != nil && !errors.Is(err, workflow.ErrNotAccepted) {
				time.AfterFunc(time.Second, try)
			}
		})
	}
	time.AfterFunc(time.Duration(m.chance.roll(2000))*time.Millisecond, try)
}

// end ends the process; false if it had ended.
func (m *mortal) end(closed bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return false
	}
	m.gone = true
	if m.alone != "" {
		m.executions.mu.Lock()
		m.executions.alone[m.alone]++
		m.executions.mu.Unlock()
	}
	m.Detach(closed, false)
	return true
}

// crew is the adapters that there are.
type crew struct {
	executed *executions
	chance   *dice

	mu         sync.Mutex
	generation int
	aboard     []*mortal
}

// attach adds adapters.
func (c *crew) attach(n *node, count int) {
	for range count {
		c.mu.Lock()
		c.generation++
		name, ledger := fmt.Sprint("p", c.generation), fmt.Sprint("l", c.generation%3)
		c.mu.Unlock()
		m := c.executed.spawn(n, c.chance, name, ledger, func(dead *mortal) {
			c.mu.Lock()
			aboard := slices.Contains(c.aboard, dead)
			c.aboard = slices.DeleteFunc(c.aboard, func(m *mortal) bool { return m == dead })
			c.mu.Unlock()
			if aboard {
				time.AfterFunc(100*time.Millisecond, func() { c.attach(n, 1) })
			}
		})
		c.mu.Lock()
		c.aboard = append(c.aboard, m)
		c.mu.Unlock()
	}
}

func (c *crew) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(len(c.aboard), 2)
}

// leave has some leave, without a word, and others come.
func (c *crew) leave(n *node, count int) {
	c.mu.Lock()
	leaving := slices.Clone(c.aboard[:min(count, len(c.aboard))])
	c.aboard = slices.Clone(c.aboard[len(leaving):])
	c.mu.Unlock()
	for _, m := range leaving {
		m.end(false)
	}
	settle()
	c.attach(n, count)
}

// forget lets all go, with their node.
func (c *crew) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.aboard {
		m.mu.Lock()
		m.gone = true
		m.mu.Unlock()
	}
	c.aboard = nil
}

// poisonous tells whether who executes a key dies of it.
func poisonous(key string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return h.Sum32()%17 == 0
}

// execute executes a task as an adapter with a ledger does: what is marked is in doubt, unless its own ledger knows it. Nil: who
// executes it dies.
func (e *executions) execute(chance *dice, ledger string, task *adapterv1.Task) *adapterv1.Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	by, known := e.unmarked[task.GetKey()]
	known = known && (e.failed[task.GetKey()] == 0 || e.failed[task.GetKey()] >= task.GetAttempt())
	kills := !chance.isCalm() && poisonous(task.GetKey())
	switch {
	case known && by == ledger && kills:
		return nil
	case known && by == ledger: // it is answered from the ledger
		if e.failed[task.GetKey()] != 0 {
			return failing(503)
		}
	case task.GetMaybeStarted():
		return &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_IN_DOUBT}
	case known:
		e.twice[task.GetKey()] = true
	default:
		e.unmarked[task.GetKey()], e.failed[task.GetKey()] = ledger, 0
		if kills {
			return nil
		}
		if chance.roll(10) == 0 {
			e.failed[task.GetKey()] = task.GetAttempt()
			return failing(503)
		}
	}
	return done("1")
}

// knows tells whether a key was begun by a process with a ledger.
func (e *executions) knows(ledger, key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unmarked[key] == ledger
}

// slander has an adapter of another name, and one of the same that is sent nothing, tell of what they were not sent.
func slander(n *node, chance *dice, id string) {
	hello := func(h *adapterv1.Hello) {
		h.Process, h.Ledger = "liar", "liar"
		if chance.roll(2) == 0 {
			h.Adapter = "liar"
			h.Keys = []string{id + ":/do/0/a"}
		}
	}
	w := n.newWorker(nil, hello, notIdempotent)
	w.attach()
	outcomes := slices.Sorted(maps.Keys(adapterv1.Outcome_name))
	for range 5 {
		w.answer(&adapterv1.Task{
			OrderId: id, Partition: uint32(messages.PartitionOf(messages.OrderID(id), "")), Attempt: 1 + uint32(chance.roll(3)), Activity: "do",
			Key: id + ":/do/0/" + []string{"a", "t/try/0/a", "try/0/a"}[chance.roll(3)],
		}, &adapterv1.Result{Outcome: adapterv1.Outcome(outcomes[chance.roll(len(outcomes))]), Output: []byte(lie)})
		w.Begun(&adapterv1.Begun{Key: id + ":/do/0/a", Attempt: 1})
	}
	w.leave()
}

// checkHonest checks that no lie is in a history, and that no more deaths are told of than there were. It returns how many are.
func (n *node) checkHonest(id string, executed *executions) (deaths, apart int) {
	n.t.Helper()
	counts, keys := map[string]int{}, map[uint32]string{}
	for _, ev := range n.history(id) {
		if strings.Contains(fmt.Sprint(ev), "a lie") {
			n.t.Errorf("%s believes a lie: %v", id, ev)
		}
		switch e := ev.GetKind().(type) {
		case *journalv1.Event_AttemptScheduled:
			keys[e.AttemptScheduled.GetFrame()] = e.AttemptScheduled.GetKey()
		case *journalv1.Event_AttemptLost:
			if e.AttemptLost.GetAlone() {
				deaths++
				counts[keys[e.AttemptLost.GetFrame()]]++
			}
		case *journalv1.Event_AttemptEnded:
			if strings.Contains(e.AttemptEnded.GetError().GetType(), "quarantined") {
				apart++
			}
		}
	}
	for key, count := range counts {
		if count > executed.alone[key] {
			n.t.Errorf("%d processes are said to have died of %s alone, and %d have", count, key, executed.alone[key])
		}
	}
	return deaths, apart
}
