package definition

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// The activities that run a process which can't be repeated, by what is run. Each has one for processes that can.
const (
	activityCommandOnce   = "shell.commandOnce"
	activityScriptOnce    = "shell.scriptOnce"
	activityContainerOnce = "shell.containerOnce"
)

// returns are the outputs of a process that a task can have.
var returns = []string{"stdout", "stderr", "code", "all", "none"}

// process compiles the running of a process.
func (c *compiler) process(r object, what string, t *workflow.Task, s scope) {
	call := &workflow.Call{}
	t.Kind = call
	p := process{c.request(s)}
	properties := []string{"stdin", "arguments", "environment"}
	form := fmt.Sprintf("the property %q", what)
	switch what {
	case "shell":
		call.Activity = activityCommandOnce
		o := c.object(r.get(what), form, append(properties, "command")...)
		p.text(o.required("command"))
		p.streams(o)
	case "script":
		call.Activity = activityScriptOnce
		o := c.object(r.get(what), form, append(properties, "language", "code", "source")...)
		p.script(o)
		p.streams(o)
	case "container":
		call.Activity = activityContainerOnce
		o := c.object(r.get(what), form, append(properties, "image", "name", "command", "ports", "volumes", "lifetime", "pullPolicy")...)
		p.text(o.required("image"))
		p.container(o)
		p.streams(o)
	}
	if v := r.get("await"); v != nil {
		if await, ok := c.boolean(v, "await"); ok && !await {
			c.atf(v, "a process is always awaited, so that what came of it is known: to go on meanwhile, run it in a workflow of its own, "+
				"with \"run: {workflow: …, await: false}\"")
		}
	}
	if v := r.get("return"); v != nil {
		if v.kind != stringKind || !slices.Contains(returns, v.text) {
			c.atf(v, "\"return\" must be %s, but is %s", quoted(returns), v.describe())
		}
		p.property("return", v)
	}
	for _, s := range p.sealed {
		if !secretive.MatchString(s.at) || strings.Contains(s.n.text, "$authorization") {
			c.atf(s.n, "secrets can't stand here: give them as \"environment\" or \"stdin\"")
		}
	}
	call.With = p.done()
}

// secretive are the properties of a process that secrets may stand in: other users of a host see what a process is called with.
var secretive = regexp.MustCompile(`^/(?:stdin|environment)(?:/|$)`)

// process builds what the activities of processes get.
type process struct{ *request }

// text adds a property that is a string, or an expression that makes one.
func (p process) text(n *node) {
	if n != nil && p.c.isString(n, n.property()) {
		p.property(n.property(), n)
	}
}

// streams adds what a process is given.
func (p process) streams(o object) {
	if v := o.get("stdin"); v != nil {
		p.property("stdin", v)
	}
	if v := o.get("arguments"); v != nil {
		switch {
		case v.kind == listKind:
			for _, item := range v.items {
				if item.kind == objectKind || item.kind == listKind {
					p.c.atf(item, "an argument must be a string, a number, true or false, but is %s", item.describe())
				}
			}
		case !v.isExpression():
			p.c.atf(v, "\"arguments\" must be a list such as [a, \"${ .b }\"], or an expression in ${ }, but is %s", v.describe())
		}
		p.property("arguments", v)
	}
	if v := o.get("environment"); v != nil {
		p.pairs(v, "environment")
	}
}

// script adds the code of a script, which is written here or elsewhere.
func (p process) script(o object) {
	p.text(o.required("language"))
	code, source := o.get("code"), o.get("source")
	switch {
	case code != nil && source != nil:
		p.c.atf(source, "%s has \"code\" already: remove one of them", o.what)
	case code != nil:
		p.text(code)
	case source != nil:
		content, _ := p.c.resource(source)
		p.name("code")
		writeString(&p.literal, string(content))
	case o.ok:
		p.c.atf(o.n, "%s lacks the property \"code\", or \"source\": add one of them", o.what)
	}
}

// container adds what is said of a container beside what it runs.
func (p process) container(o object) {
	p.text(o.get("command"))
	p.text(o.get("name"))
	for _, name := range [...]string{"ports", "volumes"} {
		if v := o.get(name); v != nil {
			p.pairs(v, name)
		}
	}
	if v := o.get("pullPolicy"); v != nil {
		if all := []string{"ifNotPresent", "always", "never"}; v.kind != stringKind || !slices.Contains(all, v.text) {
			p.c.atf(v, "\"pullPolicy\" must be %s, but is %s", quoted(all), v.describe())
		}
		p.property("pullPolicy", v)
	}
	if v := o.get("lifetime"); v != nil {
		p.lifetime(v)
	}
}

// lifetime adds when a container is removed.
func (p process) lifetime(n *node) {
	l := p.c.object(n, "the property \"lifetime\"", "cleanup", "after")
	cleanup := l.required("cleanup")
	if cleanup == nil {
		return
	}
	if all := []string{"always", "never", "eventually"}; cleanup.kind != stringKind || !slices.Contains(all, cleanup.text) {
		p.c.atf(cleanup, "\"cleanup\" must be %s, but is %s", quoted(all), cleanup.describe())
	}
	p.property("cleanup", cleanup)
	after := l.get("after")
	switch eventually := cleanup.text == "eventually"; {
	case eventually && after == nil:
		p.c.atf(n, "%s lacks the property \"after\": say after what time the container is removed", l.what)
	case !eventually && after != nil:
		p.c.atf(after, "\"after\" is for the cleanup \"eventually\": remove it")
	case eventually:
		switch d := p.c.duration(after, placeTask, p.vars).(type) {
		case span:
			p.name("cleanupAfter")
			p.literal.WriteString(strconv.FormatFloat((time.Duration(d.months)*31*day + d.rest).Seconds(), 'f', -1, 64))
		case computed:
			p.c.atf(after, "\"after\" must be a fixed duration, but is an expression")
		}
	}
}
