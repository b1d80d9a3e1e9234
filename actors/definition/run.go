package definition

import (
	"fmt"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// runTask compiles the running of another workflow: a child order.
func (c *compiler) runTask(o object, t *workflow.Task, s scope) {
	r := c.object(o.get("run"), "the property \"run\"", "workflow", "container", "script", "shell", "await", "return")
	if !r.ok {
		return
	}
	process := false
	for _, name := range []string{"container", "script", "shell"} {
		r.unsupported(name, fmt.Sprintf("%q", "run."+name))
		process = process || r.get(name) != nil
	}
	if process {
		return
	}
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
