package graph

import (
	"fmt"
	"slices"
	"strings"
)

// kinds are the properties that tell the kind of a task. Of two that fit, as "for" with its "do", the first counts.
var kinds = []Kind{For, Fork, Listen, Emit, Run, Call, Set, Switch, Try, Raise, Wait, Do}

func kindOf(body *value) Kind {
	for _, k := range kinds {
		if body.get(string(k)) != nil {
			return k
		}
	}
	return Unknown
}

// lines say what a task does, the most telling first.
func (b *builder) lines(kind Kind, body *value, s scope) []string {
	lines := b.does(kind, body)
	line := func(format string, v *value) {
		if v != nil {
			lines = append(lines, oneLine(fmt.Sprintf(format, bare(v))))
		}
	}
	line("if %s", body.get("if"))
	lines = append(lines, b.timeout(body.get("timeout"))...)
	ours := body.get("metadata", "holdfast")
	line("starts within %s", ours.get("startWithin"))
	line("runs within %s", ours.get("runWithin"))
	line("order key %s", ours.get("orderKey"))
	line("kept for %s", ours.get("keepFor"))
	if kind == Try && ours.get("compensate").word() == "true" {
		lines = append(lines, "an error undoes what was done")
	}
	if !s.plain {
		for _, e := range b.use.get("extensions").named() {
			if extends(e.body.get("extend").word(), kind) {
				lines = append(lines, oneLine("extended by "+e.name))
			}
		}
	}
	return lines
}

// does says what a task of a kind does.
func (b *builder) does(kind Kind, body *value) []string {
	v := body.get(string(kind))
	switch kind {
	case Call:
		return b.calls(v.word(), body.get("with"))
	case Run:
		return runs(v)
	case Set:
		if v.is(object) {
			return []string{oneLine("set " + first(v.keys))}
		}
		return []string{oneLine("set " + bare(v))}
	case Wait:
		return []string{oneLine("wait " + duration(v))}
	case Raise:
		return []string{oneLine("raise " + b.problem(v.get("error")))}
	case Emit:
		return []string{oneLine("emit " + event(v.get("event")))}
	case Listen:
		return listens(v.get("to"), "listen for ")
	case For:
		return loops(v, body)
	case Fork:
		if v.get("compete").word() == "true" {
			return []string{"fork: the first branch that completes wins"}
		}
		return []string{"fork: all branches"}
	case Unknown:
		return nil
	default:
		return []string{string(kind)}
	}
}

// extends tells whether an extension of that name extends tasks of the kind.
func extends(extend string, kind Kind) bool {
	switch extend {
	case "all":
		return kind != Unknown
	case "composite":
		return kind == Do || kind == Fork
	default:
		return extend == string(kind)
	}
}

// calls says what is called, and where.
func (b *builder) calls(name string, with *value) []string {
	lines := []string{oneLine("call " + name)}
	if b.use.get("functions").get(name) != nil {
		return []string{oneLine("call function " + name)}
	}
	endpoint := func(v *value) string {
		if uri := v.get("uri"); uri != nil {
			return uri.show()
		}
		return v.show()
	}
	switch name {
	case "http":
		return []string{oneLine("call http " + with.get("method").word()), oneLine(endpoint(with.get("endpoint")))}
	case "openapi":
		return append(lines, oneLine(with.get("operationId").show()))
	case "grpc":
		return append(lines, oneLine(with.get("service", "name").show()+"."+with.get("method").show()))
	case "asyncapi":
		if channel := with.get("channel"); channel != nil { // of AsyncAPI 2
			return append(lines, oneLine(channel.show()))
		}
		return append(lines, oneLine(with.get("operation").show()))
	}
	return lines
}

// runs says what is run.
func runs(v *value) []string {
	switch {
	case v.get("workflow") != nil:
		w := v.get("workflow")
		line := fmt.Sprintf("run %s/%s:%s", w.get("namespace").word(), w.get("name").word(), w.get("version").word())
		if v.get("await").word() == "false" {
			return []string{oneLine(line), "not awaited"}
		}
		return []string{oneLine(line)}
	case v.get("shell") != nil:
		return []string{"run shell", oneLine(v.get("shell", "command").show())}
	case v.get("script") != nil:
		s := v.get("script")
		if source := s.get("source", "endpoint"); source != nil {
			return []string{oneLine("run script " + s.get("language").word()), oneLine(source.show())}
		}
		return []string{oneLine("run script " + s.get("language").word()), oneLine(s.get("code").show())}
	case v.get("container") != nil:
		return []string{"run container", oneLine(v.get("container", "image").show())}
	}
	return []string{"run"}
}

// loops says what a loop goes through.
func loops(v, body *value) []string {
	lines := []string{oneLine("for each $" + orElse(v.get("each").word(), "item") + " in " + bare(v.get("in")))}
	if while := body.get("while"); while != nil {
		lines = append(lines, oneLine("while "+bare(while)))
	}
	if parallel := body.get("metadata", "holdfast", "parallel"); parallel != nil {
		lines = append(lines, oneLine(parallel.show()+" at a time"))
	}
	return lines
}

// mostFilters is how many filters of events are told.
const mostFilters = 6

// listens says which events are awaited.
func listens(to *value, verb string) []string {
	var lines []string
	for _, how := range []string{"one", "all", "any"} {
		v := to.get(how)
		switch {
		case v == nil:
			continue
		case how == "one":
			lines = append(lines, oneLine(verb+event(v)))
		case v.is(list) && len(v.items) == 0:
			lines = append(lines, verb+"any event")
		case v.is(list):
			lines = append(lines, verb+how+" of")
			for i, filter := range v.items {
				if i == mostFilters-1 && len(v.items) > mostFilters {
					lines = append(lines, fmt.Sprintf("and %d others", len(v.items)-i))
					break
				}
				lines = append(lines, oneLine(event(filter)))
			}
		}
		break
	}
	switch until := to.get("until"); {
	case until.is(object):
		lines = append(lines, listens(until, "until ")...)
	case until.word() == "false":
		lines = append(lines, "for ever")
	case until != nil:
		lines = append(lines, oneLine("until "+bare(until)))
	}
	return lines
}

// event names an event, or what it must be like, by its type if that is told.
func event(v *value) string {
	with := v.get("with")
	if t := with.get("type"); t != nil {
		return bare(t)
	}
	if with == nil {
		return "any event"
	}
	return with.show()
}

// schedule says when the workflow starts.
func schedule(v *value) []string {
	var lines []string
	for _, p := range []struct{ name, format string }{{"every", "every %s"}, {"cron", "cron %s"}, {"after", "again %s after the end"}} {
		if at := v.get(p.name); at != nil {
			lines = append(lines, oneLine(fmt.Sprintf(p.format, duration(at))))
		}
	}
	return append(lines, listens(v.get("on"), "on ")...)
}

// timeout says how long something may take.
func (b *builder) timeout(v *value) []string {
	switch named := b.use.get("timeouts").get(v.word()); {
	case v == nil:
		return nil
	case named != nil:
		v = named
	}
	return []string{oneLine("timeout " + duration(orValue(v.get("after"), v)))}
}

// orValue is a value, or another one if it is not there.
func orValue(v, otherwise *value) *value {
	if v == nil {
		return otherwise
	}
	return v
}

// duration is a duration in words.
func duration(v *value) string {
	if !v.is(object) {
		return bare(v)
	}
	var parts []string
	for i, unit := range v.keys[:min(len(v.keys), 8)] {
		amount := v.items[i].show()
		if amount == "1" {
			unit = strings.TrimSuffix(unit, "s")
		}
		parts = append(parts, amount+" "+unit)
	}
	return strings.Join(parts, " ")
}

// problem names an error that is raised, or caught.
func (b *builder) problem(v *value) string {
	if named := b.use.get("errors").get(v.word()); named != nil {
		v = named
	}
	if !v.is(object) {
		return bare(v)
	}
	return strings.TrimSpace(bare(v.get("status")) + " " + orElse(bare(v.get("title")), bare(v.get("type"))))
}

// catchLines say which errors are caught.
func catchLines(v *value) []string {
	var lines []string
	with := v.get("errors", "with")
	if with.is(object) {
		for i, name := range with.keys[:min(len(with.keys), 5)] {
			lines = append(lines, oneLine(name+" "+with.items[i].show()))
		}
	} else {
		lines = append(lines, "any error")
	}
	if when := v.get("when"); when != nil {
		lines = append(lines, oneLine("when "+bare(when)))
	}
	if except := v.get("exceptWhen"); except != nil {
		lines = append(lines, oneLine("except when "+bare(except)))
	}
	return lines
}

// retry says when something is tried again, and how often.
func (b *builder) retry(v *value) string {
	if named := b.use.get("retries").get(v.word()); named != nil {
		v = named
	}
	if !v.is(object) {
		return strings.TrimSpace("retry " + bare(v))
	}
	parts := []string{"retry"}
	add := func(format string, v *value) {
		if v != nil {
			parts = append(parts, fmt.Sprintf(format, duration(v)))
		}
	}
	if v.get("limit", "attempt", "count").word() == "1" {
		parts = append(parts, "once")
	} else {
		add("%s times", v.get("limit", "attempt", "count"))
	}
	add("for %s", v.get("limit", "duration"))
	add("after %s", v.get("delay"))
	if backoff := v.get("backoff"); backoff.is(object) && len(backoff.keys) == 1 {
		parts = append(parts, backoff.keys[0])
	}
	add("when %s", v.get("when"))
	add("except when %s", v.get("exceptWhen"))
	return strings.Join(parts, " ")
}

// first names some of many.
func first(names []string) string {
	const few = 8
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return strings.Join(slices.Concat(names[:few], []string{fmt.Sprintf("and %d others", len(names)-few)}), ", ")
}
