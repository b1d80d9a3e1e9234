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

// absentArguments are those of the language that are not supported yet.
var absentArguments = map[string]string{
	"$secrets": "secrets are", "$authorization": "authorization is",
}

// reserved are the names that no variable can have.
var reserved = []string{
	"context", "input", "output", "secrets", "authorization", "task", "workflow", "runtime", "ENV",
}

// place is where an expression stands: it decides what the expression can refer to.
type place struct {
	name string
	args argument
}

// The places, as in the specification's table of the arguments of runtime expressions.
var (
	placeWorkflowInput   = place{"the input of the workflow", argWorkflow | argRuntime}
	placeWorkflowOutput  = place{"the output of the workflow", argContext | argWorkflow | argRuntime}
	placeWorkflowTimeout = place{"the timeout of the workflow", argWorkflow | argRuntime}
	placeTaskIf          = place{"the condition of a task", argContext | argTask | argWorkflow | argRuntime}
	placeTaskInput       = place{"the input of a task", argContext | argTask | argWorkflow | argRuntime}
	placeTask            = place{"a task", argContext | argInput | argTask | argWorkflow | argRuntime}
	placeCatch           = place{"a catch clause", argContext | argInput | argTask | argWorkflow | argRuntime}
	placeTaskOutput      = place{"the output of a task", argContext | argInput | argTask | argWorkflow | argRuntime}
	placeTaskExport      = place{
		"the export of a task", argContext | argInput | argOutput | argTask | argWorkflow | argRuntime,
	}
)
