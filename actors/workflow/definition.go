package workflow

import (
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Definition is a compiled workflow. It is immutable, and shared by all instances that run it.
type Definition struct {
	Ref   messages.DefinitionRef
	Hash  []byte
	Title string
	// Document is the parsed document, what expressions see as $workflow.definition.
	Document any
	Input    Input
	Output   Output
	// ReleaseKey: an order that faults lets the next order of its key go on; else it holds the key.
	ReleaseKey bool
	// Timeout bounds the running of the whole order; nil: no bound.
	Timeout Duration
	Do      *List
	// Terms are what orders are accepted with where they do not say it themselves; nil: nothing.
	Terms *Terms
	// Schedule says when orders come into being by themselves; nil: never.
	Schedule *Schedule
	// Tasks holds every task by its reference.
	Tasks map[string]*Task
	// Activities are the activities called, sorted, without repetition.
	Activities []string
	// Routes are those of the events that tasks and the schedule listen for, without repetition.
	Routes []*journalv1.Route
}

// List is a sequence of tasks: a scope of flow directives.
type List struct {
	Tasks []*Task
	// ByName gives the position of each task. Names are unique in a list.
	ByName map[string]int
}

// Task is a node of a definition.
type Task struct {
	// Ref is a JSON pointer, such as /do/2/activate.
	Ref  string
	Name string
	// In is the list that holds the task, at Index; Parent the task that has this list, nil for the outermost.
	In     *List
	Index  int
	Parent *Task
	// Raw is the parsed task, what expressions see as $task.definition.
	Raw any

	If      Expr // nil: always
	Input   Input
	Output  Output
	Export  Export
	Timeout Duration // nil: no bound
	// Then is continue, exit, end, or the name of a task in the same list. Empty means continue.
	Then string

	// Kind is what the task does.
	Kind Kind

	// Extended: extensions have tasks run around this one, in the same list, and it ends as the list does that has them all. Beside: the
	// task is one of those, and what it leaves is dropped, unless it ends the list. Of is the extended task that it is there for; nil: none.
	Extended, Beside bool
	Of               *Task

	// NoReturn: once the work of the task is done, the order is past a point of no return. Only a Call or a Run is one, and none that
	// Compensate undoes, or that is inside of that.
	NoReturn bool

	// Compensate undoes what the task has done: a list of one task, which gets an object with the input and the output of
	// the activity or child order. Nil: nothing does. Only a Call or a Run has one, and none that is inside another.
	Compensate *List
	// CompensateRetry is the policy by which that is tried again; nil: it is not.
	CompensateRetry *Retry
}

// Input prepares what comes into an order or a task. Nil parts do nothing.
type Input struct {
	Schema Schema
	From   Expr
}

// Output prepares what an order or a task leaves. Nil parts do nothing.
type Output struct {
	As     Expr
	Schema Schema
}

// Export makes the new context. Without As it is the one that there is; a nil Schema allows everything.
type Export struct {
	As     Expr
	Schema Schema
}

// Backoff says how the delay between retries grows.
type Backoff int

// The growths of the delay, by the number of the retry n, from 1.
const (
	BackoffConstant    Backoff = iota // delay
	BackoffLinear                     // delay × n
	BackoffExponential                // delay × 2ⁿ⁻¹
)

// Retry is a retry policy.
type Retry struct {
	When, ExceptWhen Expr
	Delay            Duration // nil: none
	Backoff          Backoff
	// Attempts is the most retries; 0: no limit.
	Attempts int
	// AttemptDuration bounds each retry; MaxDuration all of them, from the first error. Nil: no bound.
	AttemptDuration, MaxDuration Duration
	// JitterFrom and JitterTo bound a random time added to the delay; both or neither are set.
	JitterFrom, JitterTo Duration
	// Transient: only errors are retried that another try may mend, by their status.
	Transient bool
}

// Expr is a compiled runtime expression, or a constant, or a template of both. It is safe for concurrent use, and
// bounded in steps and size; an error of it is the definition's fault or the data's, never the engine's.
type Expr interface {
	// Eval evaluates on in. It returns in itself if it changes nothing, so that identity is told by the pointer.
	Eval(in *Value, args *Args) (*Value, error)
	// Bool evaluates a condition: everything but false and null holds.
	Bool(in *Value, args *Args) (bool, error)
}

// Duration is a length of time, fixed or computed.
type Duration interface {
	// After returns from plus the duration. Durations are not negative.
	After(from time.Time, in *Value, args *Args) (time.Time, error)
}

// Schema checks a value. It is safe for concurrent use.
type Schema interface {
	// Validate says in words for people what is wrong with the value. The meter may be nil.
	Validate(v *Value, m *Meter) error
}

// Args are the arguments of a runtime expression. A nil value stands for null.
type Args struct {
	Context, Input, Output *Value
	// Task is nil outside of tasks.
	Task     *TaskArg
	Workflow WorkflowArg
	// Vars are the variables of the enclosing catch clauses and loops, the innermost last.
	Vars []Var
	// Now is when the decision is made for which the expression is evaluated, in nanoseconds since 1970; 0: that is not to be had.
	Now int64
	// Unique makes ids that no other expression gets; nil: there are none to be had.
	Unique *Unique
	// Steps is the most steps of the interpreter; 0: as many as the definition's limits allow.
	Steps int
	// Meter counts what is evaluated; nil: nobody wants to know.
	Meter *Meter
}

// Var is a variable of an expression.
type Var struct {
	Name  string // without the dollar sign
	Value *Value
}

// TaskArg is what expressions see as $task.
type TaskArg struct {
	Task      *Task
	Input     *Value // raw
	Output    *Value // raw; nil before the task has run
	StartedAt int64  // in nanoseconds since 1970
}

// WorkflowArg is what expressions see as $workflow.
type WorkflowArg struct { //nolint:revive // it is named after $workflow, as TaskArg after $task
	ID         messages.OrderID
	Definition *Definition
	Input      *Value // raw
	StartedAt  int64  // in nanoseconds since 1970
}
