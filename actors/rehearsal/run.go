package rehearsal

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Result is what came of a case.
type Result struct {
	Case *Case
	// Failures are what was expected and is not so; empty: the case has passed.
	Failures []Failure
	Outcome  Outcome
	// Took is how long the order took, or until nothing could happen any more, of the case's own time.
	Took time.Duration
	// Path are the tasks that the order has entered, in that order, without those of extensions and compensations.
	Path []*workflow.Task
	// Orders are that of the case, and its children, in the order in which they were accepted.
	Orders []Order
	// Unused are the stubs of the case alone that have answered for nothing.
	Unused []*Stub
}

// Passed tells whether all is as it was expected.
func (r *Result) Passed() bool { return len(r.Failures) == 0 }

// Order is an order of a case, and its history.
type Order struct {
	ID         messages.OrderID
	Definition *workflow.Definition
	Events     []*journalv1.Event
}

// Failure is something that was expected and is not so.
type Failure struct {
	// What says it in one line, and Details what else is to be known, in further lines.
	What    string
	Details []string
	// Task is the reference of the task that it is about, in Definition; empty: of none.
	Task       string
	Definition *workflow.Definition
}

// Run runs a case of a definition. Children run what others have.
func Run(c *Case, def *workflow.Definition, others *Definitions, limits Limits, coverage ...*Coverage) *Result {
	w := &world{
		c: c, main: def, others: others, limits: limits.WithDefaults(), now: c.Start, coverage: coverage,
		orders: map[messages.OrderID]*instance{}, stubbed: map[messages.OrderID]*stubbedChild{},
		attempts: map[string]*attempt{}, keys: map[string][]*instance{},
		slots: map[string]*correlationSlot{}, compiled: map[string]workflow.Expr{},
		uses: make([]int, len(c.Stubs)), published: make([]bool, len(c.Events)),
	}
	if w.accept() {
		w.run()
	}
	return w.result()
}

// world is all that there is in a case.
type world struct {
	c      *Case
	main   *workflow.Definition
	others *Definitions
	limits Limits

	now   time.Time
	steps int
	// agenda is what comes at its time, ready what is to be done now, in that order.
	agenda agenda
	number int
	ready  []func()

	root     *instance
	orders   map[messages.OrderID]*instance
	accepted []*instance // all orders, in the order in which they were accepted
	attempts map[string]*attempt
	stubbed  map[messages.OrderID]*stubbedChild
	// keys are the orders that have an order key or wait for it, by that; the first one has it.
	keys map[string][]*instance
	// slots are those that something was published in, or is listened in; behind are the offers that listeners could not take.
	slots    map[string]*correlationSlot
	opened   []*correlationSlot
	behind   []func()
	compiled map[string]workflow.Expr

	uses      []int  // how often each stub has answered
	published []bool // which events of the case were
	cancelled bool   // the order of the case was asked to
	refused   error  // the input was

	story    story
	coverage []*Coverage
	// failed is why the case can't go on; empty: it can.
	failed []Failure
}

// instance is the shell round the machine of one order.
type instance struct {
	id      messages.OrderID
	state   *workflow.State
	history []*journalv1.Event
	frames  map[uint32]*frame
	// children are the tasks that run them, by their ids.
	children map[string]*workflow.Task
}

// event is something that comes at a time.
type event struct {
	at     time.Time
	number int // of those that come at one time, in the order in which they were planned
	do     func()
}

// agenda is a heap of events: first what comes first.
type agenda []event

// Len implements heap.Interface.
func (a *agenda) Len() int { return len(*a) }

// Less implements heap.Interface.
func (a *agenda) Less(i, j int) bool {
	x, y := (*a)[i], (*a)[j]
	return x.at.Before(y.at) || x.at.Equal(y.at) && x.number < y.number
}

// Swap implements heap.Interface.
func (a *agenda) Swap(i, j int) { (*a)[i], (*a)[j] = (*a)[j], (*a)[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(event)) } //nolint:errcheck,forcetypeassert // nothing else is pushed

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = event{}
	*a = (*a)[:last]
	return e
}

// at plans something for a time.
func (w *world) at(at time.Time, do func()) {
	w.number++
	heap.Push(&w.agenda, event{at, w.number, do})
}

// soon has something done now, behind what is to be done already.
func (w *world) soon(do func()) { w.ready = append(w.ready, do) }

// accept accepts the order of the case, and plans what the case says. It is false if the input is refused, as a node does.
func (w *world) accept() bool {
	c := w.c
	o := &journalv1.OrderAccepted{
		OrderId: string(c.ID), Definition: w.main.Ref.String(), DefinitionHash: w.main.Hash, Input: c.Input, OrderKey: c.Key,
		ContentHash: []byte(c.ID),
	}
	if w.refused = w.agree(w.main, w.main.Terms, o); w.refused != nil {
		return false
	}
	if c.Deadline > 0 {
		o.Deadline = c.Start.Add(c.Deadline).UnixNano()
	}
	for i, p := range c.Events {
		if p.At != nil {
			w.at(c.Start.Add(*p.At), func() { w.publishOf(i) })
		}
	}
	if c.Cancel != nil {
		w.at(c.Start.Add(c.Cancel.At), w.cancel)
	}
	w.root = w.begin(w.main, o, workflow.Queues(o))
	return true
}

// agree gives an order what terms say that it is accepted with, or tells why its definition does not take its input.
func (w *world) agree(def *workflow.Definition, terms *workflow.Terms, o *journalv1.OrderAccepted) error {
	input := workflow.NewValue(o.GetInput())
	if s := def.Input.Schema; s != nil {
		if err := s.Validate(input, nil); err != nil {
			return err
		}
	}
	if terms == nil {
		return nil
	}
	agreed, err := terms.Agree(o, input, w.limits.Workflow.Terms(), nil)
	if err != nil {
		return err
	}
	agreed.Give(o)
	return nil
}

// begin begins an order.
func (w *world) begin(def *workflow.Definition, o *journalv1.OrderAccepted, queued bool) *instance {
	i := &instance{
		id: messages.OrderID(o.GetOrderId()), state: workflow.New(def, &w.limits.Workflow), frames: map[uint32]*frame{},
		children: map[string]*workflow.Task{},
	}
	w.orders[i.id] = i
	w.accepted = append(w.accepted, i)
	w.must(i, workflow.Accept{Order: o, Queued: queued})
	return i
}

// decide has an order decide about a command, and what comes of it done. It tells why the command was refused, if it was.
func (w *world) decide(i *instance, cmd workflow.Command) error {
	events, err := i.state.Decide(w.now, w.chance(), cmd)
	w.steps += 1 + len(events)
	if err != nil {
		return fmt.Errorf("order %s: %w", i.id, err)
	}
	i.history = append(i.history, events...)
	w.tell(i, events)
	for _, e := range i.state.Effects(events) {
		w.perform(i, e)
	}
	w.turn(i)
	return nil
}

// must is decide for commands that are never refused here.
func (w *world) must(i *instance, cmd workflow.Command) {
	if err := w.decide(i, cmd); err != nil {
		w.fail(Failure{What: fmt.Sprintf("%T is refused: %v", cmd, err)})
	}
}

// chance is another number at each decision, and the same ones in each run of the case.
func (w *world) chance() uint64 {
	const golden = 0x9e3779b97f4a7c15
	return uint64(w.steps+1) * golden //nolint:gosec // it is not negative
}

func (w *world) perform(i *instance, e workflow.Effect) {
	switch e := e.(type) {
	case workflow.Dispatch:
		w.soon(func() { w.dispatch(i, e) })
	case workflow.CancelAttempt:
		w.soon(func() { w.stopAttempt(i, e) })
	case workflow.StartChild:
		w.soon(func() { w.startChild(i, e.Order) })
	case workflow.CancelChild:
		w.soon(func() { w.cancelChild(i, e) })
	case workflow.TellParent:
		w.soon(func() { w.tellParent(i, e) })
	case workflow.PublishEvent:
		w.soon(func() {
			w.publish(i.state.Definition().Ref.Namespace, e.Event, e.Keep)
			w.must(i, workflow.Emitted{Frame: e.Frame})
		})
	case workflow.BeginListen:
		w.soon(func() { w.beginListen(i, e) })
	case workflow.EndListen:
		w.soon(func() { w.endListen(i, e) })
	case workflow.More:
		w.soon(func() { w.must(i, workflow.Continue{}) })
	case workflow.End:
	}
}

// run has everything happen that can, until the orders have ended.
func (w *world) run() {
	for len(w.failed) == 0 {
		if w.steps > w.limits.Steps {
			w.stopf("%d steps: does the order loop? More are allowed by --max-steps", w.limits.Steps)
			return
		}
		if len(w.ready) > 0 {
			do := w.ready[0]
			w.ready = w.ready[1:]
			do()
			continue
		}
		if w.over() || !w.publishAwaited() && !w.pass() {
			return
		}
	}
}

// stopf ends a case at a bound.
func (w *world) stopf(format string, args ...any) {
	w.fail(Failure{What: "the case was stopped after " + fmt.Sprintf(format, args...), Details: w.standing()})
}

// over tells whether all orders have ended. One that has faulted has, unless it is to be cancelled.
func (w *world) over() bool {
	for _, i := range w.accepted {
		if !i.state.Ended() {
			return false
		}
	}
	return !w.root.state.Faulted() || w.c.Cancel == nil || w.cancelled
}

// pass has time pass until something is to be done. It is false if nothing will ever be.
func (w *world) pass() bool {
	next := w.next()
	switch {
	case next.IsZero():
		return false
	case next.Sub(w.c.Start) > w.limits.Time:
		w.stopf("%s of its time: does the order wait for ever? More is allowed by --max-time", Text(w.limits.Time))
		return true
	}
	if next.After(w.now) {
		w.now = next
	}
	for len(w.agenda) > 0 && !w.agenda[0].at.After(w.now) {
		e := heap.Pop(&w.agenda).(event) //nolint:errcheck,forcetypeassert // nothing else is in it
		w.soon(e.do)
	}
	for _, i := range w.accepted {
		if due := i.state.NextDue(); !due.IsZero() && !due.After(w.now) {
			w.soon(func() { w.must(i, workflow.TimerFired{}) })
		}
	}
	w.expire()
	w.ready = append(w.ready, w.behind...)
	w.behind = nil
	return true
}

// next is when something is to be done the next time; zero: never. That an event is kept no longer is nothing to wait for.
func (w *world) next() time.Time {
	var next time.Time
	earliest := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if len(w.agenda) > 0 {
		earliest(w.agenda[0].at)
	}
	for _, i := range w.accepted {
		earliest(i.state.NextDue())
	}
	return next
}

// cancel cancels the order of the case.
func (w *world) cancel() {
	if w.root.state.Ended() && !w.root.state.Faulted() {
		return // its children go on, perhaps
	}
	w.cancelled = true
	cancel := workflow.Cancel{Compensate: w.c.Cancel.Compensate, Reason: w.c.Cancel.Reason, Turn: w.queuePlace()}
	if err := w.decide(w.root, cancel); err != nil {
		w.fail(Failure{What: "the order can't be cancelled: " + err.Error()})
	}
}

// queuePlace is that of an order in the queue of its key which has to wait for it again.
func (w *world) queuePlace() []byte {
	w.number++
	return fmt.Appendf(nil, "%016x", w.number)
}

// turn gives the turn of an order key to the order that is next.
func (w *world) turn(i *instance) {
	key := i.state.Key()
	if key == "" {
		return
	}
	queue := w.keys[key]
	at := -1
	for n, other := range queue {
		if other == i {
			at = n
		}
	}
	switch waits := !i.state.QueuedSince().IsZero(); {
	case at < 0 && (waits || !i.state.Ended()):
		queue = append(queue, i)
		at = len(queue) - 1
	case at >= 0 && !waits && i.state.Ended() && !i.state.HoldsKey():
		queue = append(queue[:at:at], queue[at+1:]...)
		at = -1
	}
	w.keys[key] = queue
	if len(queue) > 0 && !queue[0].state.QueuedSince().IsZero() && (at == 0 || at < 0) {
		w.soon(func() { w.must(queue[0], workflow.Start{}) })
	}
}

// fail ends the case, for something that was not foreseen in it.
func (w *world) fail(f Failure) { w.failed = append(w.failed, f) }
