package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// evil is a definition, perhaps with an order of it, that wants more than there is for one.
type evil struct {
	name string
	// document is the definition's, behind the line that names it.
	document string
	// elsewhere are documents that it refers to, by their addresses.
	elsewhere map[string]string
	// input is that of an order; nil: it is to be refused when it is deployed.
	input []byte
	// says are words, one of which the refusal or the error has to say, so that the limit is known.
	says []string
	// allowed tells that it may as well be done.
	allowed bool
}

// text is the whole document, under a name.
func (e *evil) text(name string) ([]byte, error) {
	text := fmt.Sprintf("document: {dsl: 1.0.3, namespace: evil, name: %s, version: 1.0.0}\n%s\n", name, e.document)
	if len(e.elsewhere) == 0 {
		return []byte(text), nil
	}
	type resource struct {
		Content string `json:"content"`
		SHA256  string `json:"sha256"`
	}
	all := map[string]resource{}
	for address, content := range e.elsewhere {
		sum := sha256.Sum256([]byte(content))
		all[address] = resource{content, hex.EncodeToString(sum[:])}
	}
	resources, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode resources: %w", err)
	}
	return append([]byte(text+"--- # resources\n"), resources...), nil
}

// refusedFor is a document that is to be refused when it is deployed.
func refusedFor(name, document string, says ...string) *evil {
	return &evil{name: name, document: document, says: says}
}

// oneTask is a list of one task, which sets what an expression makes.
func oneTask(expression string) string {
	return "do:\n- a: {set: {b: '${ " + strings.ReplaceAll(expression, "'", "''") + " }'}}"
}

// lines are texts that are made of numbers, one in a line.
func lines(n int, format string) string {
	var text strings.Builder
	for i := range n {
		_, _ = fmt.Fprintf(&text, format+"\n", i) // it can't fail
	}
	return text.String()
}

// nested is something with itself inside, so many times.
func nested(n int, before, inner, after string) string {
	return strings.Repeat(before, n) + inner + strings.Repeat(after, n)
}

// twofold are functions each of which calls the next one twice.
func twofold(n int) string {
	var text strings.Builder
	text.WriteString("use:\n  functions:\n")
	for i := range n {
		fmt.Fprintf(&text, "    f%d: {do: [{a: {call: f%d}}, {b: {call: f%d}}]}\n", i, i+1, i+1)
	}
	fmt.Fprintf(&text, "    f%d: {set: {a: 1}}\ndo: [{a: {call: f0}}]", n)
	return text.String()
}

// evilDocuments are refused when they are deployed, for what they are.
func evilDocuments() []*evil {
	deep := []string{"nest more than", "depth"}
	var indented strings.Builder
	indented.WriteString("do:\n")
	for i := range 1200 {
		indented.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return []*evil{
		refusedFor("a document of 3 MiB", "# "+strings.Repeat("x", 3<<20)+"\n"+tasks, "more than the 1048576"),
		refusedFor("a document of 64 MiB", "# "+strings.Repeat("x", 64<<20)+"\n"+tasks, "larger than", "more than"),
		refusedFor("lists that nest", "input: "+strings.Repeat("[", 500_000), deep...),
		refusedFor("lists that nest and end", "input: "+nested(200_000, "[", "", "]"), deep...),
		refusedFor("objects that nest", "input: "+nested(150_000, `{"a":`, "1", "}"), deep...),
		refusedFor("lines that nest", indented.String(), deep...),
		refusedFor("tasks that nest", "do: "+nested(100, "[{a: {do: ", "[{b: {set: {c: 1}}}]", "}}]"), deep...),
		refusedFor("aliases", "input: &a [x, x]\n"+lines(100, "x%d: [*a, *a, *a]")+tasks, "aliases are refused"),
		refusedFor("aliases that multiply", aliases()+tasks, "aliases are refused"),
		refusedFor("an alias to itself", "input: &a {b: *a}\n"+tasks, "aliases are refused"),
		refusedFor("merged objects", "input: &a {b: 1}\noutput: {<<: *a}\n"+tasks, "aliases are refused"),
		refusedFor("an object with a name twice", "input: {schema: {document: {a: 1, a: 2}}}\n"+tasks, "twice"),
		refusedFor("an object with a name very often", "input: {schema: {document: {"+strings.Repeat("a: 1, ", 100_000)+"}}}\n"+tasks, "twice"),
		refusedFor("tags", "input: !!python/object:os.system {a: 1}\n"+tasks, "tag"),
		refusedFor("many documents", strings.Repeat("---\n", 200_000)+tasks),
		refusedFor("very many mistakes", "do:\n"+lines(40_000, "- a%d: {b: 1}"), "more than 1000 tasks", "more mistakes", "mistakes"),
		refusedFor("a number of 100,000 digits", "input: {schema: {document: {const: "+strings.Repeat("9", 100_000)+"}}}\n"+tasks,
			"digits", "too large"),
		refusedFor("a number that is too large", "input: {schema: {document: {const: 1e999999999}}}\n"+tasks, "too large"),
		refusedFor("a name of 1000 bytes", "do:\n- "+strings.Repeat("a", 1000)+": {set: {b: 1}}", "more than 128 bytes"),
		refusedFor("a name of 500 KiB", "do:\n- "+strings.Repeat("a", 500<<10)+": {set: {b: 1}}"),
		{name: "a title of 900 KiB", document: "# " + strings.Repeat("t", 900<<10) + "\n" + tasks, input: []byte("{}"), allowed: true},
		{name: "30,000 properties", document: "do:\n- a:\n    set:\n" + lines(30_000, "      p%d: 1"), input: []byte("{}"), allowed: true},
	}
}

// evilTasks are refused when they are deployed, for what they would do.
func evilTasks() []*evil {
	const tooMany = "more than 1000 tasks"
	function := "https://evil.example.com/f.yaml"
	catalog := "https://evil.example.com/functions/f/1.0.0/function.yaml"
	return []*evil{
		refusedFor("20,000 tasks", "do:\n"+lines(20_000, "- a%d: {set: {b: 1}}"), tooMany),
		refusedFor("20,000 branches", "do:\n- a:\n    fork:\n      branches:\n"+lines(20_000, "      - a%d: {set: {b: 1}}"), tooMany),
		refusedFor("a million tasks by functions", twofold(14), tooMany),
		refusedFor("functions that are deep", twofold(40), tooMany, "more than 16 deep"),
		refusedFor("a function that calls itself", "use: {functions: {f: {call: f}}}\ndo: [{a: {call: f}}]", "can't be recursive"),
		refusedFor("functions that call each other", "use: {functions: {f: {call: g}, g: {do: [{a: {call: f}}]}}}\ndo: [{a: {call: f}}]",
			"can't be recursive"),
		{
			name: "a function elsewhere that calls itself", document: "do: [{a: {call: '" + function + "'}}]",
			elsewhere: map[string]string{function: "call: " + function}, says: []string{"can't be recursive"},
		},
		{
			name:     "a catalog that includes itself",
			document: "use: {catalogs: {c: {endpoint: 'https://evil.example.com/'}}}\ndo: [{a: {call: 'f:1.0.0@c'}}]",
			elsewhere: map[string]string{
				catalog: "do: [{a: {call: 'f:1.0.0@c'}}, {b: {call: 'f:1.0.0@c'}}]",
			}, says: []string{"can't be recursive"},
		},
		{
			name: "a function elsewhere that nests", document: "do: [{a: {call: '" + function + "'}}]",
			elsewhere: map[string]string{function: "do: " + strings.Repeat("[", 100_000)}, says: []string{"nest more than", "depth"},
		},
		{
			name: "a resource of 2 MiB", document: "do: [{a: {call: '" + function + "'}}]",
			elsewhere: map[string]string{function: "# " + strings.Repeat("x", 2<<20) + "\nset: {a: 1}"}, says: []string{"more than the 1048576"},
		},
		{
			name:      "a document of OpenAPI that refers to itself",
			document:  "do: [{a: {call: openapi, with: {document: {endpoint: '" + function + "'}, operationId: o}}}]",
			elsewhere: map[string]string{function: selfReferring}, says: []string{""},
		},
		refusedFor("6,000 expressions", "do:\n- a:\n    set:\n"+lines(6000, "      p%d: '${ . + %[1]d }'"), "more than 5000 expressions"),
	}
}

// selfReferring is a document of OpenAPI whose only parameter is itself.
const selfReferring = `{"openapi": "3.0.0", "info": {"title": "a", "version": "1"}, "servers": [{"url": "https://evil.example.com"}],
"paths": {"/a": {"get": {"operationId": "o", "parameters": [{"$ref": "#/components/parameters/p"}],
"responses": {"200": {"description": "b"}}}}},
"components": {"parameters": {"p": {"$ref": "#/components/parameters/p"}}}}`

// evilSchemas are refused when they are deployed, or refuse orders.
func evilSchemas() []*evil {
	schema := func(text string) string { return "input: {schema: {document: " + text + "}}\n" + tasks }
	var twofold strings.Builder
	for i := range 30 {
		fmt.Fprintf(&twofold, "d%d: {allOf: [{$ref: '#/$defs/d%d'}, {$ref: '#/$defs/d%d'}]}, ", i, i+1, i+1)
	}
	tooDear := []string{"too large or too deep to be checked"}
	wide := []byte(`{"a":[` + strings.Repeat("[[[1]]],", 20_000) + `1]}`)
	return []*evil{
		refusedFor("a schema of 30,000 parts",
			"input:\n  schema:\n    document:\n      properties:\n"+lines(30_000, "        p%d: {type: string}")+tasks, "more than 10000 parts"),
		refusedFor("an enum of 100,000 values", schema("{enum: ["+strings.Repeat("1, ", 100_000)+"]}"), "more than 10000 parts"),
		refusedFor("a schema elsewhere", schema("{$ref: 'https://evil.example.com/schema.json'}"), "refer", "$ref", "https://evil.example.com"),
		refusedFor("a pattern that is too large", schema("{pattern: '((x{100}){100}){100}'}"), "too large", "repeat", "pattern"),
		refusedFor("a pattern that is too long", schema("{pattern: '"+strings.Repeat("x", 20_000)+"'}"), "more than 10000 bytes", "too large"),
		{name: "a schema that is itself", document: schema("{$ref: '#'}"), input: []byte("{}"), says: []string{""}},
		{
			name: "a schema that doubles thirty times", input: []byte("{}"), says: tooDear,
			document: schema("{$ref: '#/$defs/d0', $defs: {" + twofold.String() + "d30: {type: object}}}"),
		},
		{
			name: "a schema that is deep in itself", input: wide, says: tooDear,
			document: schema("{anyOf: [{type: string}, " +
				"{additionalProperties: {$ref: '#'}, items: {anyOf: [{$ref: '#'}, {$ref: '#'}, {$ref: '#'}]}}]}"),
		},
		{
			name: "a pattern that others would not end with", document: schema("{properties: {a: {pattern: '^(a+)+$'}}}"),
			input: []byte(`{"a":"` + strings.Repeat("a", 500_000) + `!"}`), says: []string{"pattern", "too large"},
		},
	}
}
