package definition

import (
	"math"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// defaultErrorVariable is the variable of a catch clause that names none.
const defaultErrorVariable = "error"

func (c *compiler) tryTask(o object, t *workflow.Task, s scope) {
	try := &workflow.Try{
		List: c.taskList(o.get("try"), s.below(t, "/try", s.vars)), As: defaultErrorVariable,
	}
	t.Kind = try
	n := o.required("catch")
	k := c.object(n, "the property \"catch\"", "errors", "as", "when", "exceptWhen", "retry", "do")
	if !k.ok {
		return
	}
	try.Filter = c.filter(k.get("errors"))
	try.As = c.variable(k.get("as"), "as", defaultErrorVariable)
	vars := append(slices.Clone(s.vars), try.As)
	if v := k.get("when"); v != nil {
		try.When = c.errorCondition(v, "when", vars)
	}
	if v := k.get("exceptWhen"); v != nil {
		try.ExceptWhen = c.errorCondition(v, "exceptWhen", vars)
	}
	if v := k.get("retry"); v != nil {
		if v.kind == stringKind {
			v = c.named(v, "retries")
		}
		if v != nil {
			try.Retry = c.retryPolicy(v, vars)
		}
	}
	if v := k.get("do"); v != nil {
		try.Catch = c.taskList(v, s.below(t, "/catch/do", vars))
	}
}

// filter reads the errors that are caught.
func (c *compiler) filter(n *node) *workflow.Filter {
	o := c.object(n, "the property \"errors\"", "with")
	v := o.get("with")
	if v == nil {
		return nil
	}
	// The specification calls the same thing detail in an error and details in a filter.
	w := c.object(v, "a filter of errors", "type", "status", "instance", "title", "detail", "details")
	if !w.ok {
		return nil
	}
	if len(v.keys) == 0 {
		c.atf(v, "the filter is empty: give it a property, or drop \"errors\" to catch all errors")
	}
	text := func(name string) *string {
		p := w.get(name)
		if p == nil || !c.isString(p, name) {
			return nil
		}
		if isExpression(p.text) {
			c.atf(p, "the filter %q compares constants: use \"when\" for expressions", name)
			return nil
		}
		if strings.Contains(p.text, "${") {
			c.warnf(p, "the filter %q compares constants, also what stands in ${ }: use \"when\" for expressions", name)
		}
		return &p.text
	}
	f := &workflow.Filter{
		Type: text("type"), Title: text("title"), Detail: text("detail"), Instance: text("instance"),
	}
	if details := text("details"); details != nil {
		if f.Detail != nil {
			c.atf(w.get("details"), "\"detail\" and \"details\" mean the same: remove one")
		}
		f.Detail = details
	}
	if f.Type != nil {
		c.checkErrorType(w.get("type"))
		canonical := workflow.CanonicalErrorType(*f.Type)
		f.Type = &canonical
	}
	if p := w.get("status"); p != nil {
		status := c.status(p)
		f.Status = &status
	}
	return f
}

var backoffs = map[string]workflow.Backoff{
	"constant": workflow.BackoffConstant, "linear": workflow.BackoffLinear, "exponential": workflow.BackoffExponential,
}

// retryPolicy reads a retry policy as it is used within a catch clause with these variables.
func (c *compiler) retryPolicy(n *node, vars []string) *workflow.Retry {
	o := c.object(n, "a retry policy", "when", "exceptWhen", "delay", "backoff", "limit", "jitter")
	if !o.ok {
		return nil
	}
	r := &workflow.Retry{}
	if v := o.get("when"); v != nil {
		r.When = c.errorCondition(v, "when", vars)
	}
	if v := o.get("exceptWhen"); v != nil {
		r.ExceptWhen = c.errorCondition(v, "exceptWhen", vars)
	}
	if v := o.get("delay"); v != nil {
		r.Delay = c.duration(v, placeCatch, vars)
	}
	if v := o.get("backoff"); v != nil && c.object(v, "the property \"backoff\"", "constant", "linear", "exponential").ok {
		if len(v.keys) != 1 {
			c.atf(v, "\"backoff\" must have exactly one of the properties \"constant\", \"linear\" and \"exponential\", but has %d",
				len(v.keys))
		} else {
			r.Backoff = backoffs[v.keys[0].name]
			// The language gives backoffs no parameters.
			c.object(v.items[0], "the backoff \""+v.keys[0].name+"\"")
		}
	}
	limit := c.object(o.get("limit"), "the property \"limit\"", "attempt", "duration")
	attempt := c.object(limit.get("attempt"), "the property \"attempt\"", "count", "duration")
	if v := attempt.get("count"); v != nil {
		i, _ := c.integer(v, "count", 1, math.MaxInt32)
		r.Attempts = int(i)
	}
	if v := attempt.get("duration"); v != nil {
		r.AttemptDuration = c.duration(v, placeCatch, vars)
	}
	if v := limit.get("duration"); v != nil {
		r.MaxDuration = c.duration(v, placeCatch, vars)
	}
	jitter := c.object(o.get("jitter"), "the property \"jitter\"", "from", "to")
	if from, to := jitter.required("from"), jitter.required("to"); from != nil && to != nil {
		r.JitterFrom, r.JitterTo = c.duration(from, placeCatch, vars), c.duration(to, placeCatch, vars)
		if fixedOver(r.JitterFrom, r.JitterTo) {
			c.atf(jitter.n, "\"jitter\" goes from more to less: exchange \"from\" and \"to\"")
		}
	}
	return r
}
