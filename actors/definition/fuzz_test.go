package definition

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// Each input must be dealt with in this time, however slow the machine.
const fuzzTime = 10 * time.Second

// FuzzCompile: no document makes Compile panic, or take long; either there is a definition or there are mistakes, with
// places within the document.
func FuzzCompile(f *testing.F) {
	golden, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(golden) == 0 {
		f.Fatal("no documents to begin with")
	}
	for _, file := range golden {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for c := range strings.SplitSeq(string(content), "\n\n") {
			verb, document, _ := strings.Cut(c, "\n")
			document, _, _ = strings.Cut(document, "\n----")
			if strings.HasPrefix(verb, "do") {
				document = head + "do:\n" + document
			}
			f.Add([]byte(document))
		}
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		start := time.Now()
		def, mistakes := Compile(document, Limits{Document: 64 << 10, Tasks: 100})
		if took := time.Since(start); took > fuzzTime {
			t.Errorf("took %s", took)
		}
		if (def == nil) == (len(mistakes) == 0) {
			t.Errorf("a definition: %t, and %d mistakes", def != nil, len(mistakes))
		}
		lines := len(newSource(document).lines)
		for _, m := range mistakes {
			if int(m.GetLine()) > lines || m.GetLine() < 0 || m.GetColumn() < 0 || m.GetMessage() == "" {
				t.Errorf("mistake %v in %d lines", m, lines)
			}
		}
		if def == nil {
			return
		}
		for ref, task := range def.Tasks {
			if task.Ref != ref || task.In == nil || task.In.Tasks[task.Index] != task {
				t.Errorf("task %s is not where it says", ref)
			}
			if l := task.Compensate; l != nil && (len(l.Tasks) != 1 || def.Tasks[l.Tasks[0].Ref] != l.Tasks[0]) {
				t.Errorf("task %s has no compensation that is a task", ref)
			}
		}
	})
}

// FuzzExpression: no expression and no input make an evaluation panic, or take long; what it gives is JSON within the
// limits.
func FuzzExpression(f *testing.F) {
	for _, list := range [][]string{strings.Split(samePrograms, "\n"), bombs} {
		for _, program := range list {
			f.Add(program, `{"a":{"b":[1,{"c":"x"}]},"s":"text","list":[3,1,2],"n":1.50}`)
		}
	}
	limits := Limits{Steps: 50_000, Memory: 4 << 20, Result: 64 << 10}.WithDefaults()
	f.Fuzz(func(t *testing.T, text, input string) {
		if len(text) > limits.Expression || len(input) > 64<<10 || !json.Valid([]byte(input)) {
			return
		}
		start := time.Now()
		defer func() {
			if took := time.Since(start); took > fuzzTime {
				t.Errorf("took %s", took)
			}
		}()
		e, err := newPrograms(limits).compile(text, placeTaskExport, []string{"error"})
		if err != nil {
			return
		}
		in := workflow.NewValue([]byte(input))
		args := &workflow.Args{
			Context: in, Input: in, Output: in, Vars: []workflow.Var{{Name: "error", Value: in}},
			Task: &workflow.TaskArg{Task: &workflow.Task{Name: "t", Ref: "/do/0/t"}, Input: in},
		}
		v, err := e.Eval(in, args)
		if err != nil {
			if len(err.Error()) > 10_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		if !json.Valid(v.JSON()) {
			t.Errorf("the result is not JSON: %s", shorten(string(v.JSON()), 200))
		}
		if len(v.JSON()) > limits.Result && v != in && len(v.JSON()) > len(input) {
			t.Errorf("the result has %d bytes", len(v.JSON()))
		}
		if _, err := e.Bool(in, args); err != nil {
			t.Errorf("a value but no truth: %v", err)
		}
	})
}

// FuzzPath: whatever the bytes, picking a part of them ends, within them, and of JSON it picks what decoding it gives.
func FuzzPath(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"c":"x\"}"}]}}`, "a", 1)
	f.Add(`[[1,2],{"a":null}]`, "a", -1)
	f.Add(`{"a"`, "a", 0)
	f.Fuzz(func(t *testing.T, input, name string, index int) {
		for _, steps := range [][]step{{{key: name}}, {{index: index, isIndex: true}}, {{key: name}, {index: index, isIndex: true}}} {
			got, err := pick([]byte(input), steps)
			var decoded any
			if err != nil || json.Unmarshal([]byte(input), &decoded) != nil {
				continue
			}
			for _, s := range steps {
				switch v := decoded.(type) {
				case map[string]any:
					decoded = v[s.key]
				case []any:
					i := s.index
					if i < 0 {
						i += len(v)
					}
					decoded = nil
					if i >= 0 && i < len(v) {
						decoded = v[i]
					}
				}
			}
			want, err := json.Marshal(decoded)
			if err != nil {
				t.Fatal(err)
			}
			if got == nil {
				got = []byte("null")
			}
			var again any
			if err := json.Unmarshal(got, &again); err != nil {
				t.Fatalf("picked %q", got)
			}
			if is, err := json.Marshal(again); err != nil || string(is) != string(want) {
				t.Errorf("picked %s, want %s", is, want)
			}
		}
	})
}

// FuzzOpenAPI: no document of OpenAPI makes the compiling of a call panic, or take long; what can be called makes a request.
func FuzzOpenAPI(f *testing.F) {
	f.Add([]byte("swagger: '2.0'\npaths: {/a: {$ref: '#/paths/~1b'}, /b: {$ref: '#/paths/~1a'}}\n"))
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nswagger: '2.0'\npaths: *c\n"))
	fuzzResources(f, "testdata/golden/openapi",
		"do:\n- a: {call: openapi, with: {document: {endpoint: 'https://example.com/x'}, operationId: change, parameters: {id: 1, body: 2}}}\n")
}

// FuzzAsyncAPI: no document of AsyncAPI makes the compiling of a call panic, or take long; what can be called makes a request.
func FuzzAsyncAPI(f *testing.F) {
	f.Add([]byte("asyncapi: 3.0.0\nservers: {production: {host: x, protocol: http}}\noperations: {create: {action: receive, channel: {$ref: " +
		"'#/channels/c'}}}\nchannels: {c: {address: a, messages: {m: {payload: {$ref: '#'}}}}}\n"))
	const with = "server: {name: production}, message: {payload: {id: 1, user: {id: x}}, headers: {a: b}}}}\n"
	fuzzResources(f, "testdata/golden/asyncapi",
		"do:\n- a: {call: asyncapi, with: {document: {endpoint: 'https://example.com/x'}, operation: create, "+with,
		"do:\n- a: {call: asyncapi, with: {document: {endpoint: 'https://example.com/x'}, channel: /orders, "+with)
}

// fuzzResources compiles each of several tasks that call what is described by resources, of which a golden file has some.
func fuzzResources(f *testing.F, golden string, tasks ...string) {
	f.Helper()
	content, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	for c := range strings.SplitSeq(string(content), "\n\n") {
		if document, is := strings.CutPrefix(c, "resource\n"); is {
			document, _, _ = strings.Cut(document, "\n----")
			f.Add([]byte(document))
		}
	}
	f.Fuzz(func(t *testing.T, resource []byte) {
		for _, calling := range tasks {
			whole, err := messages.WithResources([]byte(head+calling), map[string][]byte{"https://example.com/x": resource})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			def, mistakes := Compile(whole, Limits{Document: 64 << 10})
			if took := time.Since(start); took > fuzzTime {
				t.Errorf("took %s", took)
			}
			if (def == nil) == (len(mistakes) == 0) {
				t.Errorf("a definition: %t, and %d mistakes", def != nil, len(mistakes))
			}
			if def == nil {
				continue
			}
			call, _ := def.Tasks["/do/0/a"].Kind.(*workflow.Call)
			if v, err := call.With.Eval(workflow.NewValue([]byte("{}")), &workflow.Args{}); err != nil || !json.Valid(v.JSON()) {
				t.Errorf("the request %s: %v", v.JSON(), err)
			}
		}
	})
}
