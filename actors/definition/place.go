package definition

// argument is what expressions can refer to, beside their input and the variables of catch clauses.
type argument uint8

const (
	argContext argument = 1 << iota
	argInput
	argOutput
	argTask
	argWorkflow
	argRuntime
)

var argumentNames = map[string]argument{
	"$context": argContext, "$input": argInput, "$output": argOutput,
	"$task": argTask, "$workflow": argWorkflow, "$runtime": argRuntime,
}

// secretArguments are those that only built-in adapters know.
var secretArguments = []string{"$secrets", "$authorization"}

// reserved are the names that no variable can have.
var reserved = []string{
	"context", "input", "output", "secrets", "authorization", "task", "workflow", "runtime", "ENV",
}

// place is where an expression stands: it decides what the expression can refer to.
type place struct {
	name string
	args argument
	// hint is what to do in place of using what is not there; empty: to use what is.
	hint string
	// condition: what it yields holds or not.
	condition bool
	// timeless: it has neither a time nor an id, so that it yields the same again.
	timeless bool
}

// The places, as in the specification's table of the arguments of runtime expressions.
var (
	placeWorkflowInput   = place{name: "the input of the workflow", args: argWorkflow | argRuntime}
	placeWorkflowOutput  = place{name: "the output of the workflow", args: argContext | argWorkflow | argRuntime}
	placeWorkflowTimeout = place{name: "the timeout of the workflow", args: argWorkflow | argRuntime}
	placeTaskIf          = place{name: "the condition of a task", args: argContext | argTask | argWorkflow | argRuntime}
	placeTaskInput       = place{name: "the input of a task", args: argContext | argTask | argWorkflow | argRuntime}
	placeTask            = place{name: "a task", args: argContext | argInput | argTask | argWorkflow | argRuntime}
	placeCatch           = place{name: "a catch clause", args: argContext | argInput | argTask | argWorkflow | argRuntime}
	placeTaskOutput      = place{name: "the output of a task", args: argContext | argInput | argTask | argWorkflow | argRuntime}
	placeEvent           = place{
		name: "an expression about an event", hint: "it has the event alone; compare with what the order knows by \"expect\" of a correlation",
	}
	placeSchedule = place{name: "the schedule", hint: "there is no order yet that it could know of"}
	placeTerms    = place{
		name: "what an order is accepted with", hint: "it has the order's raw input alone, which is .", timeless: true,
	}
	placeTaskExport = place{
		name: "the export of a task", args: argContext | argInput | argOutput | argTask | argWorkflow | argRuntime,
	}
)
