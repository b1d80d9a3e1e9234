package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/console/graph"
)

// TestDefinitionGraph: a definition that can be deployed is drawn, without a node, and another one is not, but told what is wrong with it.
func TestDefinitionGraph(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	const head = "document: {dsl: '1.0.3', namespace: telecom, name: activate, version: '1.0.0'}\ndo:\n"
	good := f.file("good.yaml", head+"- a: {set: {x: 1}}\n- b: {call: hss.create}\n")
	svg := f.run("definition", "graph", good)
	if svg.status != 0 || svg.stderr != "" || !strings.Contains(svg.stdout, `class="task call" data-node="n4" data-reference="/do/1/b"`) {
		t.Errorf("%+v", svg)
	}
	for d := xml.NewDecoder(strings.NewReader(svg.stdout)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	flowchart := f.run("definition", "graph", good, "--format", "mermaid")
	if flowchart.status != 0 || !strings.Contains(flowchart.stdout, "flowchart TB\n  n1([\"start\"])\n") {
		t.Errorf("%+v", flowchart)
	}
	f.stdin = head + "- a: {set: {x: 1}}\n- b: {call: hss.create}\n"
	to := filepath.Join(t.TempDir(), "picture")
	f.run("definition", "graph", "-", "--to", to).want(t, 0, "", "")
	if content, err := os.ReadFile(to); err != nil || string(content) != svg.stdout {
		t.Errorf("the file is another picture: %v", err)
	}
	var g graph.Graph
	if err := json.Unmarshal([]byte(f.run("definition", "graph", good, "-o", "json").stdout), &g); err != nil || len(g.Nodes) != 4 ||
		g.Definition != "telecom/activate:1.0.0" || g.Find("/do/1/b") == nil {
		t.Errorf("%+v, %v", g, err)
	}

	doubtful := f.file("doubtful.yaml", head+"- a: {set: {x: .id}}\n")
	warning := `:3:16: warning: /do/0/a/set/x: "x" is the text ".id": if the expression is meant, write ${ .id }` + "\n"
	if o := f.run("definition", "graph", doubtful); o.status != 0 || o.stderr != doubtful+warning || !strings.HasPrefix(o.stdout, "<svg ") {
		t.Errorf("%+v", o)
	}
	bad := f.file("bad.yaml", head+"- a: {set: {x: .id}, then: b}\n")
	mistake := `:3:28: error: /do/0/a/then: there is no task "b" in this list, and only tasks of the same list can be next: ` +
		`expected "continue", "exit", "end" or "a"` + "\n"
	f.run("definition", "graph", bad).want(t, 1, "", bad+warning+bad+mistake+"holdfast: "+bad+" has mistakes: 1\n")
	f.stdin = head + "- b: {set: {x: $input}, then: c}\n"
	if o := f.run("definition", "graph", "-", "-o", "json"); o.status != 1 || o.stderr != "holdfast: - has mistakes: 1\n" ||
		o.stdout != f.run("definition", "validate", "-", "-o", "json").stdout {
		t.Errorf("%+v", o)
	}
}

// TestDefinitionGraphUsage: what is missing, or makes no sense, is told.
func TestDefinitionGraphUsage(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	good := f.file("good.yaml", "document: {dsl: '1.0.3', namespace: telecom, name: activate, version: '1.0.0'}\ndo:\n- a: {set: {x: 1}}\n")
	for want, args := range map[string][]string{
		"name one file":      {"definition", "graph"},
		"name one file of a": {"definition", "graph", good, good},
		"must be one of svg": {"definition", "graph", good, "--format", "png"},
		"remove one of them": {"definition", "graph", good, "-o", "json", "--to", "x"},
		"ADDRESS=FILE":       {"definition", "graph", good, "--resource", "x"},
	} {
		if o := f.run(args...); o.status != exitUsage || o.stdout != "" || !strings.Contains(o.stderr, want) {
			t.Errorf("%v: %+v", args, o)
		}
	}
	if o := f.run("definition", "graph", good, "--to", filepath.Join(t.TempDir(), "none", "x.svg")); o.status != 1 ||
		!strings.Contains(o.stderr, "write the picture") {
		t.Errorf("%+v", o)
	}
	if o := f.run("definition", "graph", filepath.Join(t.TempDir(), "none.yaml")); o.status != 1 || !strings.Contains(o.stderr, "read file") {
		t.Errorf("%+v", o)
	}
}

// TestGraphOfFunctions: functions are drawn once, or where they are called.
func TestGraphOfFunctions(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	file := f.file("d.yaml", "document: {dsl: '1.0.3', namespace: telecom, name: activate, version: '1.0.0'}\n"+
		"use: {functions: {f: {call: hss.create}}}\ndo:\n- a: {call: f}\n- b: {call: f}\n")
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"/use/functions/f"}},
		{[]string{"--expand"}, []string{"/do/0/a/call/0/f", "/do/1/b/call/0/f"}},
	} {
		o := f.run(append([]string{"definition", "graph", file}, tt.args...)...)
		for _, ref := range tt.want {
			if o.status != 0 || strings.Count(o.stdout, `data-reference="`+ref+`"`) != 1 {
				t.Errorf("%v: %s is not there once: %+v", tt.args, ref, o)
			}
		}
	}
}
