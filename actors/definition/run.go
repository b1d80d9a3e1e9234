package definition

import (
	"slices"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// runTask compiles the running of a process, or of another workflow.
func (c *compiler) runTask(o object, t *workflow.Task, s scope) {
	r := c.object(o.get("run"), "the property \"run\"", "workflow", "container", "script", "shell", "await", "return")
	if !r.ok {
		return
	}
	all := []string{"container", "script", "shell", "workflow"}
	given := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return r.get(name) == nil })
	switch {
	case len(given) != 1:
		c.atf(r.n, "%s must have one of the properties %s, but has %d of them", r.what, quoted(all), len(given))
	case given[0] == "workflow":
		c.workflowRun(r, t, s)
	default:
		c.process(r, given[0], t, s)
	}
}

// workflowRun compiles the running of another workflow: a child order.
func (c *compiler) workflowRun(r object, t *workflow.Task, s scope) {
	run := &workflow.Run{}
	t.Kind = run
	if v := r.get("return"); v != nil {
		switch {
		case v.kind == stringKind && v.text == "none":
			run.Silent = true
		case v.kind != stringKind || v.text != "stdout": // the default of all that is run
			c.atf(v, "\"return\" of a workflow must be \"stdout\", the default, for its output, or \"none\", but is %s: "+
				"a workflow has nothing else to return", v.describe())
		}
	}
	if v := r.get("await"); v != nil {
		await, ok := c.boolean(v, "await")
		run.Detached = ok && !await
	}
	w := c.object(r.required("workflow"), "the property \"workflow\"", "namespace", "name", "version", "input")
	if !w.ok {
		return
	}
	isVersion := func(text string) bool { return text == messages.Latest || messages.IsVersion(text) }
	run.Definition = w.definition(isVersion, "a semantic version such as '1.0.0', in quotes, or latest")
	switch v := w.get("input"); {
	case v == nil:
	case v.kind == objectKind || v.isExpression():
		run.Input = c.template(v, placeTask, s.vars)
	default:
		c.atf(v, "\"input\" must be an object or an expression in ${ }, but is %s", v.describe())
	}
}
