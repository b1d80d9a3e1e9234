package definition

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// taskMetadata reads what of a task's metadata means something to Holdfast. The rest of the task has been compiled.
func (c *compiler) taskMetadata(n *node, kind construct, t *workflow.Task, s scope) {
	n = c.object(n, "the property \"metadata\"", anyProperty).get("holdfast")
	compensate := n.get("compensate")
	_, function := t.Kind.(*workflow.Do)
	run, _ := t.Kind.(*workflow.Run)
	switch {
	case compensate == nil:
	case kind.name == "call" && function:
		c.atf(compensate, "a call of a function has no work of its own to undo: give the compensation to the calls inside")
	case run != nil && run.Detached:
		c.atf(compensate, "a run that is not awaited can't be undone, for nobody knows what it has done: await it, or remove this")
	case kind.name == "call", kind.name == "run":
		t.Compensate, t.CompensateRetry = c.compensation(compensate, t, s), c.undoRetry
	case kind.name == "try":
		if try, ok := t.Kind.(*workflow.Try); ok {
			try.Compensate = c.compensateTry(compensate, s)
		}
	default:
		c.atf(compensate, "a task of the kind %q has no work of its own to undo: give the compensation to the \"call\" of an "+
			"activity or the \"run\" that does the work", kind.name)
		return
	}
	h := c.object(n, fmt.Sprintf("the property \"metadata.holdfast\" of a task of the kind %q", kind.name),
		kind.extensions...)
	own := func(name string) *node { // what the kind does not have is a mistake already
		if !slices.Contains(kind.extensions, name) {
			return nil
		}
		return h.get(name)
	}
	if v := h.get("compensateRetry"); v != nil {
		if t.Compensate == nil && compensate == nil {
			c.atf(v, "\"compensateRetry\" says how often \"compensate\" is tried again, which is not there: add that, or remove this")
		}
		t.CompensateRetry = c.compensateRetry(v)
	}
	for _, name := range [...]string{"startWithin", "runWithin"} {
		if v := own(name); v != nil {
			c.attemptBound(v, name, t, s)
		}
	}
	if v := own("keepFor"); v != nil {
		if emit, ok := t.Kind.(*workflow.Emit); ok {
			c.keepFor(v, emit)
		}
	}
	if v := own("idempotent"); v != nil {
		c.idempotent(v, t)
	}
	if v := own("pointOfNoReturn"); v != nil {
		c.noReturn(v, t, s)
	}
	if v := h.get("parallel"); v != nil {
		if loop, ok := t.Kind.(*workflow.For); ok {
			c.parallel(v, loop)
		}
	}
	switch v := own("orderKey"); {
	case v == nil || !c.isString(v, "orderKey"):
	case run == nil:
		c.atf(v, "\"orderKey\" is that of the order that the \"run\" of a workflow starts: remove it")
	default:
		run.OrderKey = c.template(v, placeTask, s.vars)
	}
}

// noReturn reads whether there is no way back once the work of a task is done.
func (c *compiler) noReturn(n *node, t *workflow.Task, s scope) {
	_, function := t.Kind.(*workflow.Do)
	switch is, _ := c.boolean(n, "pointOfNoReturn"); {
	case !is:
	case s.compensation:
		c.atf(n, "a compensation, or a function that one calls, is on the way back, and can't be a point of no return: remove it")
	case t.Compensate != nil:
		c.atf(n, "a task that \"compensate\" undoes is no point of no return: remove one of the two")
	case function:
		c.atf(n, "a call of a function has no work of its own: give the point of no return to the call inside that is it")
	default:
		t.NoReturn = true
	}
}

// attemptBound reads how long an attempt may wait for an adapter, or run.
func (c *compiler) attemptBound(n *node, name string, t *workflow.Task, s scope) {
	call, ok := t.Kind.(*workflow.Call)
	switch d := c.duration(n, placeTask, s.vars); {
	case !ok:
		c.atf(n, "a call of a function and the run of a workflow are no attempts: give %q to the calls inside", name)
	case name == "startWithin":
		call.StartWithin = d
	default:
		call.RunWithin = d
	}
}

// undoRetries is the policy by which what undoes something is tried again, unless the definition has another: for a minute.
var undoRetries = &workflow.Retry{
	Delay: span{rest: time.Second}, Backoff: workflow.BackoffExponential, Attempts: 6, Transient: true,
	JitterFrom: span{}, JitterTo: span{rest: time.Second / 2},
}

// compensateRetry reads the policy by which compensations are tried again; nil: they are not.
func (c *compiler) compensateRetry(n *node) *workflow.Retry {
	if n.kind == stringKind {
		if n.text == "none" {
			return nil
		}
		if n = c.named(n, "retries"); n == nil {
			return undoRetries
		}
	}
	r := c.retryPolicy(n, []string{defaultErrorVariable})
	if r != nil && r.AttemptDuration != nil {
		c.atf(n, "\"limit.attempt.duration\" bounds the tasks of a \"try\": a compensation has a \"timeout\" for that, or its call \"runWithin\"")
	}
	return r
}

// compensation compiles the task that undoes what t has done: the only one of a list that no task contains.
func (c *compiler) compensation(n *node, t *workflow.Task, s scope) *workflow.List {
	if s.compensation {
		c.atf(n, "a compensation, or a function that one calls, can't be compensated itself: remove it")
		return nil
	}
	if n.kind != objectKind {
		c.atf(n, "\"compensate\" must be a task such as {call: hss.deleteSubscriber}, but is %s", n.describe())
		return nil
	}
	const name = "compensate"
	l := &workflow.List{ByName: map[string]int{name: 0}}
	if !c.count(n) {
		return l
	}
	l.Tasks = append(l.Tasks, c.task(n, &workflow.Task{
		Ref: t.Ref + "/metadata/holdfast/" + name, Name: name, In: l,
	}, scope{functions: s.functions, compensation: true, check: s.check})) // it sees no variables of catch clauses
	return l
}

// compensateTry reads whether a try undoes what was done inside when it has caught an error.
func (c *compiler) compensateTry(n *node, s scope) bool {
	if n.kind == objectKind {
		c.atf(n, "\"compensate\" of a \"try\" must be true or false: give the compensations to the calls inside")
		return false
	}
	compensate, _ := c.boolean(n, "compensate")
	if compensate && s.compensation {
		c.atf(n, "nothing inside a compensation, or a function that one calls, is compensated: remove it")
	}
	return compensate
}
