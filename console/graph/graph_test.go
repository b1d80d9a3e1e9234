package graph

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/definition"
)

// The examples of the language, which need not be there, and the definitions of the project.
const examples = "../../../shared/conformance/examples/*.yaml"

var ours = []string{"testdata/*.yaml", "../../scenarios/*/*.yaml", "../../scenarios/*/definitions/*.yaml"}

// documents are those that the properties are checked with, by their names.
func documents(t *testing.T) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	add := func(pattern string) int {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if content := readTest(t, file); strings.Contains(string(content), "\ndo:") {
				all[file] = content
			}
		}
		return len(files)
	}
	if add(examples) == 0 {
		t.Logf("the examples of the language are left out: they are not at %s", examples)
	}
	for _, pattern := range ours {
		if add(pattern) == 0 {
			t.Errorf("no documents are at %s", pattern)
		}
	}
	return all
}

// TestPictures: whatever the document, nothing lies on anything else, no edge runs through a box, and each task has one node.
func TestPictures(t *testing.T) {
	t.Parallel()
	for name, document := range documents(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			g := graphOf(t, document, Config{})
			checkAll(t, name, g)
			if got, want := references(g), tasksOf(t, document); !slices.Equal(got, want) {
				t.Errorf("the nodes are those of\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			expanded := graphOf(t, document, Config{Expand: true})
			checkAll(t, name, expanded)
			def, _ := definition.Compile(document, definition.Limits{})
			if def == nil {
				return // it refers to something, or has what can't be run yet
			}
			for _, ref := range slices.Sorted(maps.Keys(def.Tasks)) {
				if strings.Contains(ref, "/extensions") || strings.HasSuffix(ref, "/foreach") {
					continue
				}
				if n := expanded.Find(ref); n == nil || n.Reference != ref {
					t.Errorf("the task %s has no node", ref)
				}
			}
		})
	}
}

// references are those of all nodes.
func references(g *Graph) []string {
	var all []string
	for _, n := range g.Nodes {
		if n.Reference != "" {
			all = append(all, n.Reference)
		}
	}
	slices.Sort(all)
	return all
}

// tasksOf finds the tasks of a document by the shape of the language alone: they are what lists of them hold, functions, compensations, and
// what is done for each event.
func tasksOf(t *testing.T, document []byte) []string {
	t.Helper()
	var root map[string]any
	if err := yaml.Unmarshal(document, &root); err != nil {
		t.Fatal(err)
	}
	var all []string
	escape := strings.NewReplacer("~", "~0", "/", "~1").Replace
	var task func(v any, ref string)
	tasks := func(v any, ref string) {
		l, _ := v.([]any)
		for i, item := range l {
			named, _ := item.(map[string]any)
			for name, body := range named {
				task(body, ref+"/"+strconv.Itoa(i)+"/"+escape(name))
			}
		}
	}
	at := func(v any, path string) any {
		for p := range strings.SplitSeq(path, "/") {
			m, _ := v.(map[string]any)
			v = m[p]
		}
		return v
	}
	task = func(v any, ref string) {
		all = append(all, ref)
		for _, path := range []string{"do", "try", "catch/do", "fork/branches"} {
			tasks(at(v, path), ref+"/"+path)
		}
		for _, path := range []string{"foreach", "with/subscription/foreach"} {
			if do := at(v, path+"/do"); do != nil {
				all = append(all, ref+"/"+path)
				tasks(do, ref+"/"+path+"/do")
			}
		}
		if undo, is := at(v, "metadata/holdfast/compensate").(map[string]any); is {
			task(undo, ref+"/metadata/holdfast/compensate")
		}
	}
	tasks(root["do"], "/do")
	functions, _ := at(root, "use/functions").(map[string]any)
	for name, body := range functions {
		task(body, "/use/functions/"+escape(name))
	}
	extensions, _ := at(root, "use/extensions").([]any)
	for i, item := range extensions {
		named, _ := item.(map[string]any)
		for name, body := range named {
			ref := fmt.Sprintf("/use/extensions/%d/%s", i, escape(name))
			tasks(at(body, "before"), ref+"/before")
			tasks(at(body, "after"), ref+"/after")
		}
	}
	slices.Sort(all)
	return all
}

// TestEdges: what may come after what.
func TestEdges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ do, want string }{
		"one after the other": {
			"- a: {set: {x: 1}}\n- b: {set: {x: 1}}",
			"start flow a; a flow b; b flow end",
		},
		"then": {
			"- a: {set: {x: 1}, then: c}\n- b: {set: {x: 1}, then: a}\n- c: {set: {x: 1}, then: end}\n- d: {set: {x: 1}, then: exit}",
			"start flow a; a jump c; b jump a; c jump end; d jump end; unreachable b d",
		},
		"if": {
			"- a: {if: .a, set: {x: 1}}\n- b: {if: .b, set: {x: 1}, then: a}\n- c: {if: .c, raise: {error: e}}",
			"start flow a; a flow b; b jump a; b skip c (if not); c skip end (if not)",
		},
		"switch": {
			"- a: {switch: [{x: {when: .x, then: c}}, {y: {when: '${ .y }', then: exit}}, {z: {then: continue}}]}\n" +
				"- b: {switch: [{x: {when: .x, then: a}}], then: end}\n- c: {raise: {error: e}}",
			"start flow a; a case c (x: .x); a case end (y: .y); a case b (z (default)); b case a (x: .x); b case end (otherwise)",
		},
		"end in a group": {
			"- a: {do: [{b: {set: {x: 1}, then: end}}, {c: {set: {x: 1}, then: exit}}, {d: {set: {x: 1}}}]}",
			"start flow a; a flow b; b jump end; c jump a; d flow a; a flow end; unreachable c d end",
		},
		"try": {
			"- a: {try: [{b: {call: x.y}}], catch: {retry: {delay: PT1S}, do: [{c: {raise: {error: e}}}]}}",
			"start flow a; a flow body; body flow b; b flow body; body flow a; body error catch; catch retry body (retry after PT1S); " +
				"catch flow c (otherwise); a flow end",
		},
		"catch alone": {
			"- a: {try: [{b: {raise: {error: e}}}], catch: {}}",
			"start flow a; a flow body; body flow b; body flow a; body error catch; catch flow a; a flow end",
		},
		"for": {
			"- a: {for: {each: x, in: .x}, do: [{b: {set: {x: 1}}}, {c: {set: {x: 1}}}]}",
			"start flow a; a flow b; b flow c; c flow next $x; next $x loop b; next $x flow a; a flow end",
		},
		"fork": {
			"- a: {fork: {branches: [{b: {set: {x: 1}}}, {c: {set: {x: 1}, then: end}}]}}",
			"start flow a; a flow b; b flow a; a flow c; c jump end; a flow end",
		},
		"compensate": {
			"- a: {call: x.y, metadata: {holdfast: {compensate: {call: x.z}}}}",
			"start flow a; a compensate compensate; a flow end",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := graphOf(t, []byte("do:\n"+tt.do), Config{})
			names := make(map[string]string)
			var got, unreachable []string
			for _, n := range g.Nodes {
				names[n.ID] = orElse(n.Name, string(n.Kind))
				if n.Unreachable {
					unreachable = append(unreachable, names[n.ID])
				}
			}
			for _, e := range g.Edges {
				text := names[e.From] + " " + string(e.Kind) + " " + names[e.To]
				if e.Label != "" {
					text += " (" + e.Label + ")"
				}
				got = append(got, text)
			}
			want := strings.Split(tt.want, "; ")
			slices.Sort(got)
			if len(unreachable) > 0 {
				got = append(got, "unreachable "+strings.Join(unreachable, " "))
			}
			slices.SortStableFunc(want, func(a, b string) int {
				if x, y := strings.HasPrefix(a, "unreachable"), strings.HasPrefix(b, "unreachable"); x != y {
					return map[bool]int{true: 1, false: -1}[x]
				}
				return strings.Compare(a, b)
			})
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestFind: a task that is not drawn is where the nearest one around it is.
func TestFind(t *testing.T) {
	t.Parallel()
	document := readTest(t, "testdata/everything.yaml")
	g, expanded := graphOf(t, document, Config{}), graphOf(t, document, Config{Expand: true})
	for _, tt := range []struct {
		g         *Graph
		ref, want string
	}{
		{g, "/do/0/hello", "/do/0/hello"},
		{g, "/do/0/hello/call/0/greet/do/0/say/call/0/shout", "/do/0/hello"},
		{expanded, "/do/0/hello/call/0/greet/do/0/say/call/0/shout", "/do/0/hello/call/0/greet/do/0/say/call/0/shout"},
		{g, "/do/1/ask/extensions/log/before/0/tell", "/do/1/ask"},
		{g, "/do/99/gone", ""},
		{g, "", ""},
	} {
		n := tt.g.Find(tt.ref)
		if (n == nil) != (tt.want == "") || n != nil && n.Reference != tt.want {
			t.Errorf("%s: %v, want %s", tt.ref, n, tt.want)
		}
	}
}

// TestRefused: what can't be read, or is beyond a bound, is told.
func TestRefused(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\ndo: [*b, *b]\n"
	for name, tt := range map[string]struct {
		document, want string
		config         Config
	}{
		"empty":       {"", "empty", Config{}},
		"comment":     {"# nothing", "empty", Config{}},
		"no workflow": {"a: 1", `lacks "do"`, Config{}},
		"no YAML":     {"a: [", "neither JSON nor YAML", Config{}},
		"no UTF-8":    {"do: \xff", "UTF-8", Config{}},
		"aliases":     {bomb, "anchors and aliases", Config{}},
		"deep":        {"do: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "nest more than 64", Config{}},
		"deep JSON":   {`{"do": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", "nest more than 64", Config{}},
		"long":        {"do: [{a: {set: {x: 1}}}]", "more than the 10 allowed", Config{Document: 10}},
		"tasks":       {"do: [{a: {set: {x: 1}}}, {b: {set: {x: 1}}}]", "more than 1 tasks", Config{Tasks: 1}},
		"edges":       {"do: [{a: {set: {x: 1}}}, {b: {set: {x: 1}}}]", "more than 2 edges", Config{Edges: 2}},
		"name":        {"do: [{" + strings.Repeat("a", 129) + ": {set: {x: 1}}}]", "more than 128 bytes", Config{}},
		"negative":    {"do: [{a: {set: {x: 1}}}]", "Depth is negative", Config{Depth: -1}},
		"too much":    {"do: [{a: {set: {x: 1}}}]", "Depth can't exceed", Config{Depth: 1001}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if g, err := New([]byte(tt.document), tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v, want %q", g, err, tt.want)
			}
		})
	}
}

// within is how long a picture may take, however slow the machine.
const within = 20 * time.Second

// TestLarge: documents as large and as tangled as may be are drawn in time.
func TestLarge(t *testing.T) {
	t.Parallel()
	list := func(n int, task func(i int) string) string {
		var b strings.Builder
		b.WriteString("do:\n")
		for i := range n {
			fmt.Fprintf(&b, "- t%d: {%s}\n", i, task(i))
		}
		return b.String()
	}
	for name, document := range map[string]string{
		"forward":  list(1000, func(i int) string { return fmt.Sprintf("if: .x, set: {x: 1}, then: t%d", min(i+400, 999)) }),
		"mirrored": list(1000, func(i int) string { return fmt.Sprintf("if: .x, set: {x: 1}, then: t%d", 999-i) }),
		"scattered": list(1000, func(i int) string {
			return fmt.Sprintf("switch: [{a: {when: .x, then: t%d}}, {b: {then: t%d}}]", i*7919%1000, i*104729%1000)
		}),
		"cases": list(2, func(int) string { return "switch: [" + strings.Repeat("{c: {when: .x, then: t1}}, ", 4900) + "]" }),
		"targets": list(999, func(i int) string {
			if i > 0 {
				return "set: {x: 1}"
			}
			var b strings.Builder
			for j := range 4000 {
				fmt.Fprintf(&b, "{c%d: {when: .x, then: t%d}}, ", j, j*31%999)
			}
			return "switch: [" + b.String() + "]"
		}),
		"branches": list(1, func(int) string { return "fork: {branches: [" + strings.Repeat("{b: {set: {x: 1}}}, ", 998) + "]}" }),
		"deep":     "do: [" + strings.Repeat("{d: {do: [", 15) + "{x: {set: {x: 1}}}" + strings.Repeat("]}}", 15) + "]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			g := graphOf(t, []byte(document), Config{})
			svg := g.SVG()
			if took := time.Since(start); took > within {
				t.Errorf("took %s", took)
			}
			if found := checkSVG(g, svg); len(found) > 0 {
				t.Error(found[0])
			}
		})
	}
}

// TestAnyDocument: whatever leads where, the picture is right.
func TestAnyDocument(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		document := "do:\n" + anyList(rt, 0)
		for _, expand := range []bool{false, true} {
			g, err := New([]byte(document), Config{Expand: expand})
			if err != nil {
				rt.Fatalf("%v:\n%s", err, document)
			}
			found := slices.Concat(checkPicture(g.boxes()), checkSVG(g, g.SVG()), checkMermaid(g.Mermaid()))
			if len(found) > 0 {
				rt.Fatalf("%s\n%s", strings.Join(found, "\n"), document)
			}
		}
	})
}

// anyList makes a list of tasks, indented.
func anyList(rt *rapid.T, depth int) string {
	indent := strings.Repeat("  ", depth*4)
	n := rapid.IntRange(1, 6).Draw(rt, "tasks")
	then := func() string {
		i := rapid.IntRange(-3, n-1).Draw(rt, "then")
		if i >= 0 {
			return fmt.Sprintf("t%d", i)
		}
		return []string{"continue", "exit", "end"}[-i-1]
	}
	name := strings.Repeat("wide ", rapid.IntRange(0, 9).Draw(rt, "width"))
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s- t%d:\n", indent, i)
		line := func(format string, args ...any) { fmt.Fprintf(&b, "%s    %s\n", indent, fmt.Sprintf(format, args...)) }
		if rapid.Bool().Draw(rt, "if") {
			line("if: .a")
		}
		if rapid.Bool().Draw(rt, "jumps") {
			line("then: %s", then())
		}
		kind := rapid.IntRange(0, 9).Draw(rt, "kind")
		if depth > 2 {
			kind %= 5
		}
		switch kind {
		case 0:
			line("set: {x: %q}", name)
		case 1:
			line("raise: {error: e}")
		case 2:
			line("call: a.%q", name)
			line("metadata: {holdfast: {compensate: {call: a.c}}}")
		case 3, 4:
			var cases []string
			for j := range rapid.IntRange(1, 4).Draw(rt, "cases") {
				cases = append(cases, fmt.Sprintf("{c%d: {when: '.%s', then: %s}}", j, name, then()))
			}
			line("switch: [%s]", strings.Join(cases, ", "))
		case 5:
			line("do:")
			b.WriteString(anyList(rt, depth+1))
		case 6:
			line("try:")
			b.WriteString(anyList(rt, depth+1))
			line("catch:")
			line("  retry: {delay: PT1S}")
			if rapid.Bool().Draw(rt, "caught") {
				line("  do:")
				b.WriteString(anyList(rt, depth+1))
			}
		case 7:
			line("for: {in: .x}")
			line("do:")
			b.WriteString(anyList(rt, depth+1))
		case 8:
			line("fork:")
			line("  branches:")
			b.WriteString(anyList(rt, depth+1))
		case 9:
			line("listen: {to: {any: []}}")
			line("foreach:")
			line("  do:")
			b.WriteString(anyList(rt, depth+1))
		}
	}
	return b.String()
}

// FuzzNew: no document makes New panic or take long, and what it makes is drawn right.
func FuzzNew(f *testing.F) {
	for _, pattern := range ours {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content, false)
			f.Add(content, true)
		}
	}
	f.Add([]byte(`{"do":[{"a":{"do":[{"b":{"try":[{"c":{"raise":1}}],"catch":{"do":[]}}}]}}]}`), true)
	f.Fuzz(func(t *testing.T, document []byte, expand bool) {
		start := time.Now()
		g, err := New(document, Config{Expand: expand, Document: 64 << 10, Tasks: 100, Edges: 1000})
		if err != nil {
			return
		}
		checkAll(t, "this", g)
		if took := time.Since(start); took > within {
			t.Errorf("took %s", took)
		}
	})
}
