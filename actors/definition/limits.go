package definition

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Limits bound what a document may hold and what the evaluation of an expression may use. A zero field means its
// default.
type Limits struct {
	// Document is the size of the largest document, in bytes. Default 1 MiB.
	Document int
	// Depth is how deep objects and lists may nest in a document. Default 64.
	Depth int
	// Tasks is the most tasks in a definition, those of each call of a function counted anew. Default 1000.
	Tasks int
	// Expressions is the most jq programs in a definition: each keeps some kilobytes of memory for as long as the
	// definition is loaded. Equal ones count once, constants and plain paths not at all. Default 5000.
	Expressions int
	// Expression is the length of the longest expression, in bytes. Default 16 KiB.
	Expression int

	// Steps is the most instructions that one evaluation may execute, and all those that are evaluated at once for a task,
	// added up. Default 10,000,000, some 400 ms of CPU.
	Steps int
	// Memory is the most bytes that the bulk operations of one evaluation (joining, copying, sorting, comparing,
	// encoding and the like) may make or visit, all added up; and the most that the interpreter's stacks may take, which
	// come on top. Default 32 MiB. Lists that a program collects take at most about 10 bytes per step besides.
	Memory int64
	// Time is the longest that one evaluation may take on the clock, once it has its turn. It is only a backstop for what
	// Steps and Memory don't see, and generous because a busy machine must not fault an order. Default 30 s.
	Time time.Duration
	// Result is the size of the largest result, encoded, in bytes. Default 1 MiB.
	Result int
	// ResultDepth is how deep objects and lists may nest in a result. Default 64.
	ResultDepth int

	// Runtime is what expressions see as $runtime.version. Default: the version of the build.
	Runtime string
	// Now is the clock for Time. Default time.Now.
	Now func() time.Time
}

// Validate says everything that is wrong with the limits.
func (l Limits) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Document", int64(l.Document)},
		{"Depth", int64(l.Depth)},
		{"Tasks", int64(l.Tasks)},
		{"Expressions", int64(l.Expressions)},
		{"Expression", int64(l.Expression)},
		{"Steps", int64(l.Steps)},
		{"Memory", l.Memory},
		{"Time", int64(l.Time)},
		{"Result", int64(l.Result)},
		{"ResultDepth", int64(l.ResultDepth)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("limit %s is negative: give a positive number, or 0 for the default", f.name))
		}
	}
	if l.Depth > maxDepth || l.ResultDepth > maxDepth {
		errs = append(errs, fmt.Errorf("limits Depth and ResultDepth can't exceed %d", maxDepth))
	}
	return errors.Join(errs...)
}

// maxDepth bounds recursion over values, whatever the limits say.
const maxDepth = 1000

// WithDefaults fills in what is zero. What is negative gets its default too: Validate is the place to complain.
func (l Limits) WithDefaults() Limits {
	l.Document = positive(l.Document, 1<<20)
	l.Depth = min(positive(l.Depth, 64), maxDepth)
	l.Tasks = positive(l.Tasks, 1000)
	l.Expressions = positive(l.Expressions, 5000)
	l.Expression = positive(l.Expression, 16<<10)
	l.Steps = positive(l.Steps, 10_000_000)
	l.Memory = positive(l.Memory, 32<<20)
	l.Time = positive(l.Time, 30*time.Second)
	l.Result = positive(l.Result, 1<<20)
	l.ResultDepth = min(positive(l.ResultDepth, 64), maxDepth)
	if l.Runtime == "" {
		l.Runtime = "unknown"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			l.Runtime = info.Main.Version
		}
	}
	if l.Now == nil {
		l.Now = time.Now
	}
	return l
}

func positive[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}
