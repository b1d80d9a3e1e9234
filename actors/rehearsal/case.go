package rehearsal

import (
	"cmp"
	"encoding/json"
	"regexp"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Limits bound a case. Zero values stand for the defaults.
type Limits struct {
	// Steps is the most decisions and events of all orders of a case together. Default 100,000.
	Steps int
	// Time is the longest that a case may take of its own time. Default ten years.
	Time time.Duration
	// Keep is how long events are kept for listeners that come later, unless a task says otherwise. Default 1 h, as that of nodes.
	Keep time.Duration
	// Definition, Workflow and Slot are what nodes have too.
	Definition definition.Limits
	Workflow   workflow.Limits
	Slot       slot.Limits
}

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	l.Steps = cmp.Or(l.Steps, 100_000)
	l.Time = cmp.Or(l.Time, 10*365*24*time.Hour)
	l.Keep = cmp.Or(l.Keep, time.Hour)
	l.Definition, l.Workflow = l.Definition.WithDefaults(), l.Workflow.WithDefaults()
	return l
}

// Case is one order of a definition, what answers for the world around it, and what is expected of it.
type Case struct {
	Name string
	// Line and Column are where it stands in its file.
	Line, Column int

	// ID is the id of the order, and Key its order key; empty: the one that the definition says, or none.
	ID  messages.OrderID
	Key string
	// Start is when it is accepted, and Deadline how long after that it has to have ended; 0: no bound.
	Start    time.Time
	Deadline time.Duration
	Input    json.RawMessage
	// Stubs answer for activities and children: of those that fit, the first one. Those of the case come before those of all cases.
	Stubs  []*Stub
	Events []*Publication
	Cancel *Cancellation // nil: it is not cancelled
	Expect Expectation
}

// Stub answers for an activity, or for a child.
type Stub struct {
	Line, Column int
	// One of these says what it answers for: Task is the name or the reference of a task, Activity is adapter.activity, Workflow the
	// definition of a child, namespace/name with :version or without.
	Task, Activity, Workflow string
	// Input is what the activity or child must have got for the stub to answer; nil: anything.
	Input *Comparison
	// Times is how often it answers; 0: as often as it is asked.
	Times int
	// After is how long it takes to answer.
	After  time.Duration
	Answer Answer
	// Shared: it is one of all cases of its file.
	Shared bool
	// Idempotent tells whether the activity may be executed again with the same key; nil: as the kind of its task has it, and no
	// activity of an adapter.
	Idempotent *bool
}

// Answer is what a stub answers: one of these.
type Answer struct {
	Result json.RawMessage    // JSON
	Fault  *problemv1.Problem // it was not done
	Doubt  *problemv1.Problem // nobody knows whether it was done
	// Never: there is no answer, until the adapter is asked to stop: then nobody knows whether it was done.
	Never bool
	// NoAdapter: nobody is there to execute it.
	NoAdapter bool
}

// Publication is an event that is published from outside.
type Publication struct {
	Line, Column int
	// At is how long after the start; nil: as soon as an order listens for its type, and nothing else is to be done.
	At *time.Duration
	// Namespace is that where it is published; empty: that of the definition.
	Namespace string
	// Event are the attributes and the data. What it lacks of id, source, specversion and time is added.
	Event json.RawMessage
}

// Cancellation is a request to cancel the order.
type Cancellation struct {
	At         time.Duration // after the start
	Compensate bool
	Reason     string
}

// Outcome is how an order stands at the end of a case.
type Outcome string

// The outcomes.
const (
	Completed Outcome = "completed"
	Faulted   Outcome = "faulted"
	Cancelled Outcome = "cancelled"
	// Waiting: nothing can happen any more, and the order has not ended.
	Waiting Outcome = "waiting"
	// Refused: the definition does not take the input, so that there is no order.
	Refused Outcome = "refused"
)

// outcomes are all of them.
var outcomes = []string{string(Completed), string(Faulted), string(Cancelled), string(Waiting), string(Refused)}

// Expectation is what is expected of an order. What is nil, or empty, is not looked at.
type Expectation struct {
	Outcome Outcome
	Fault   *Fault
	Output  *Comparison
	Path    *Path
	// Compensated are the names of the tasks whose work was undone, in that order.
	Compensated *[]string
	// Emitted are what the events have at the least that were emitted, in that order.
	Emitted *[]json.RawMessage
	// Calls are how often activities were tried and children started, by task, activity or definition.
	Calls map[string]int
	// Waits are how long the order waited: for a time, or before a retry.
	Waits *[]time.Duration
	// Least and Most bound how long the order took; nil: no bound.
	Least, Most *time.Duration
}

// Fault is what is expected of the error of an order. What is nil, or empty, is not looked at.
type Fault struct {
	Type, Title string
	Status      *int32
	// Detail has to match somewhere in that of the error.
	Detail *regexp.Regexp
	// Task is the name or the reference of the task that the error is of.
	Task string
}

// Comparison is a value that another one is compared with.
type Comparison struct {
	Value json.RawMessage
	// Subset: the other one may have further properties. Lists are as long, and their items are compared likewise.
	Subset bool
}

// Path is what is expected of the tasks that were entered, each by its name or its reference.
type Path struct {
	Exactly *[]string
	// Contains are tasks that were entered in this order, others between them or not; Not are tasks that were not.
	Contains, Not []string
}

// what names what a stub answers for.
func (s *Stub) what() string { return cmp.Or(s.Task, s.Activity, s.Workflow) }
