package workflow_test

import (
	"encoding/json"
	"fmt"
	"strconv"

	"pgregory.net/rapid"
)

// object is a part of a document.
type object = map[string]any

// document draws a definition: any nesting of what the language has, with expressions and durations of which some fail.
func document(t *rapid.T) []byte {
	g := generator{t: t}
	doc := object{
		"document": object{"dsl": "1.0.3", "namespace": "test", "name": "random", "version": "1.0.0"},
		"do":       g.list(3),
	}
	if g.oneIn(6) {
		doc["timeout"] = object{"after": g.duration()}
	}
	if g.oneIn(8) {
		doc["input"] = object{"from": g.pick("input", "${ . }", "${ {n: .n, d: .d} }")}
	}
	if g.oneIn(8) {
		doc["output"] = object{"as": g.expression()}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

type generator struct {
	t *rapid.T
	// undoes: what is drawn undoes something.
	undoes bool
}

func (g generator) oneIn(n int) bool { return rapid.IntRange(0, n-1).Draw(g.t, "one in") == n-1 }

func (g generator) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

func (g generator) expression() string {
	return g.pick("expression", "${ . }", "${ {n: ((.n // 0) + 1), d: .d} }", "${ .n }", "${ $context }", "${ [., 1] }", "${ .a.b.c }")
}

func (g generator) condition() string {
	return g.pick("condition", "${ true }", "${ false }", "${ (.n // 0) % 2 == 0 }", "${ .a.b.c }")
}

func (g generator) duration() any {
	return rapid.SampledFrom([]any{"PT0S", "PT1S", "PT5S", "PT1M", object{"hours": 1}, "${ .d }"}).Draw(g.t, "duration")
}

func (g generator) list(depth int) []any {
	names := make([]string, rapid.IntRange(1, 3).Draw(g.t, "tasks"))
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	var out []any
	for _, name := range names {
		out = append(out, object{name: g.task(depth, names)})
	}
	return out
}

func (g generator) then(names []string) string {
	directives := []string{"continue", "exit", "end"}
	if g.undoes {
		directives = directives[:2]
	}
	return g.pick("then", append(directives, names...)...)
}

func (g generator) task(depth int, names []string) object {
	t := object{}
	kinds := []string{"call", "call", "call", "set", "switch", "raise", "wait", "run", "emit", "listen"}
	if depth > 0 {
		kinds = append(kinds, "listen", "do", "try", "try", "try", "fork", "for", "for")
	}
	switch g.pick("kind", kinds...) {
	case "call":
		t["call"] = g.pick("activity", "a.one", "a.two")
		if g.oneIn(3) {
			t["with"] = object{"x": g.expression()}
		}
		bounds := object{}
		if g.oneIn(6) {
			bounds["startWithin"] = g.duration()
		}
		if g.oneIn(8) {
			bounds["runWithin"] = "PT4S"
		}
		g.pivot(bounds)
		if len(bounds) > 0 {
			t["metadata"] = object{"holdfast": bounds}
		}
		g.undo(t)
	case "run":
		child := object{"namespace": "test", "name": "child", "version": "1.0.0"}
		if g.oneIn(3) {
			child["input"] = g.expression()
		}
		await := !g.oneIn(4)
		if t["run"] = (object{"workflow": child, "await": await}); await {
			if meta := (object{}); g.pivot(meta) {
				t["metadata"] = object{"holdfast": meta}
			}
			g.undo(t)
		}
	case "set":
		t["set"] = object{"n": g.expression(), "d": "PT2S"}
	case "switch":
		cases := []any{object{"c0": object{"when": g.condition(), "then": g.then(names)}}}
		if g.oneIn(2) {
			cases = append(cases, object{"c1": object{"then": g.then(names)}})
		}
		t["switch"] = cases
	case "raise":
		t["raise"] = object{"error": object{"type": g.pick("type", "https://example.com/e", "${ .n }"), "status": 503}}
	case "wait":
		t["wait"] = g.duration()
	case "emit":
		t["emit"] = object{"event": object{"with": object{"source": "/s", "type": "a", "data": g.expression()}}}
	case "listen":
		g.listen(t, depth-1)
	case "do":
		t["do"] = g.list(depth - 1)
	case "fork":
		var inside []any
		for i := range rapid.IntRange(1, 3).Draw(g.t, "branches") {
			inside = append(inside, object{fmt.Sprintf("b%d", i): g.task(depth-1, nil)})
		}
		t["fork"] = object{"branches": inside, "compete": g.oneIn(3)}
	case "for":
		g.loop(t, depth-1)
	case "try":
		t["try"], t["catch"] = g.list(depth-1), g.catch(depth)
		if !g.undoes && g.oneIn(2) {
			t["metadata"] = object{"holdfast": object{"compensate": true}}
			if g.oneIn(3) {
				t["try"] = g.onward(depth - 1)
			}
		}
	}
	if g.oneIn(6) {
		t["if"] = g.condition()
	}
	if g.oneIn(8) {
		t["input"] = object{"from": g.expression()}
	}
	if g.oneIn(6) {
		t["output"] = object{"as": g.expression()}
	}
	if g.oneIn(6) {
		t["export"] = object{"as": g.expression()}
	}
	if g.oneIn(5) {
		t["timeout"] = object{"after": g.duration()}
	}
	if g.oneIn(5) {
		t["then"] = g.then(names)
	}
	return t
}

// listen draws what a task listens for, and what it does with each event.
func (g generator) listen(t object, depth int) {
	filter := func() object {
		f := object{"with": object{"type": "a"}}
		switch g.pick("correlate", "", "", "expect", "first") {
		case "expect":
			f["correlate"] = object{"c": object{"from": "${ .data.c }", "expect": g.pick("expect", "${ 1 }", "${ .n }")}}
		case "first":
			f["correlate"] = object{"c": object{"from": "${ .data.c }"}}
		}
		return f
	}
	to := object{}
	switch g.pick("to", "one", "all", "any", "until", "until") {
	case "one":
		to["one"] = filter()
	case "all":
		to["all"] = []any{filter(), filter()}
	case "any":
		to["any"] = []any{filter(), filter()}
	case "until":
		to["any"] = []any{filter()}
		if to["until"] = "${ length > 1 }"; g.oneIn(2) {
			to["until"] = object{"one": filter()}
		}
	}
	t["listen"] = object{"to": to}
	if depth >= 0 && g.oneIn(2) {
		t["foreach"] = object{"item": "event", "do": g.list(depth)}
	}
}

// loop draws what a task goes through, and how.
func (g generator) loop(t object, depth int) {
	items := `[{n: 1, d: "PT1S"}, {n: 2}, "x", {n: 4, d: "PT4S"}][:` + strconv.Itoa(rapid.IntRange(0, 4).Draw(g.t, "items")) + `]`
	if g.oneIn(8) {
		items = "."
	}
	tasks := g.list(depth)
	if g.oneIn(2) {
		tasks = append([]any{object{"item": object{"set": "${ $item }"}}}, tasks...)
	}
	t["for"], t["do"] = object{"in": items}, tasks
	if g.oneIn(2) {
		t["metadata"] = object{"holdfast": object{"parallel": rapid.IntRange(1, 3).Draw(g.t, "parallel")}}
	} else if g.oneIn(3) {
		t["while"] = g.pick("while", "$index < 2", "$item != \"x\"", g.condition())
	}
}

// onward draws tasks of which the first can be undone, and the second is a point of no return.
func (g generator) onward(depth int) []any {
	names := []string{"t0", "t1", "t2"}
	return []any{
		object{"t0": object{"call": "a.one", "metadata": object{"holdfast": object{"compensate": object{"call": "a.two"}}}}},
		object{"t1": object{"call": "a.two", "metadata": object{"holdfast": object{"pointOfNoReturn": true}}}},
		object{"t2": g.task(depth, names)},
	}
}

// pivot draws whether a task is a point of no return.
func (g generator) pivot(meta object) bool {
	is := !g.undoes && g.oneIn(10)
	if is {
		meta["pointOfNoReturn"] = true
	}
	return is
}

// undo draws what undoes a task, if anything does.
func (g generator) undo(t object) {
	meta, ok := t["metadata"].(object)
	if !ok {
		meta = object{"holdfast": object{}}
	}
	holdfast, _ := meta["holdfast"].(object)
	if g.undoes || holdfast["pointOfNoReturn"] != nil || g.oneIn(2) {
		return
	}
	g.undoes, t["metadata"] = true, meta
	holdfast["compensate"] = g.task(1, nil)
	switch rapid.IntRange(0, 3).Draw(g.t, "policy") {
	case 2:
		holdfast["compensateRetry"] = "none"
	case 3:
		holdfast["compensateRetry"] = object{"delay": "PT1S", "limit": object{"attempt": object{"count": 2}}}
	}
}

func (g generator) catch(depth int) object {
	c := object{}
	if g.oneIn(4) {
		c["errors"] = object{"with": object{"status": rapid.SampledFrom([]int{500, 503, 408, 400}).Draw(g.t, "status")}}
	}
	if g.oneIn(4) {
		c["as"] = "failure"
	}
	if g.oneIn(5) {
		c["when"] = g.condition()
	}
	if g.oneIn(6) {
		c["exceptWhen"] = g.condition()
	}
	if g.oneIn(2) {
		c["do"] = g.list(depth - 1)
	}
	if g.oneIn(2) {
		c["retry"] = g.retry()
	}
	return c
}

func (g generator) retry() object {
	r := object{}
	if g.oneIn(2) {
		r["delay"] = g.duration()
	}
	if g.oneIn(2) {
		r["backoff"] = object{g.pick("backoff", "constant", "linear", "exponential"): object{}}
	}
	if g.oneIn(3) {
		r["jitter"] = object{"from": "PT0S", "to": "PT3S"}
	}
	if g.oneIn(4) {
		r["when"] = g.condition()
	}
	limit := object{}
	if g.oneIn(3) {
		limit["duration"] = g.duration()
	}
	attempt := object{}
	if !g.oneIn(3) {
		attempt["count"] = rapid.IntRange(1, 3).Draw(g.t, "count")
	}
	if g.oneIn(3) {
		attempt["duration"] = g.duration()
	}
	if len(attempt) > 0 {
		limit["attempt"] = attempt
	}
	if len(limit) > 0 {
		r["limit"] = limit
	}
	return r
}
