package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// broken are documents that can't be deployed.
var broken = map[string]string{
	"empty":          "",
	"only a comment": "# nothing",
	"no YAML":        "document: {dsl: 1.0.3\ndo: [",
	"tabs":           "document:\n\tdsl: 1.0.3\n",
	"binary":         "\x00\x01\x02\xff",
	"bad UTF-8":      head + "do: [ { a: { set: { b: \"\xc3\x28\" } } } ]",
	"a list":         "- a\n- b\n",
	"a number":       "42",
	"no tasks":       head,
	"other dsl":      "document: { dsl: 9.0.0, namespace: a, name: b, version: 1.0.0 }\n" + tasks,
	"wrong types":    "document: { dsl: 1.0.3, namespace: [a], name: { b: c }, version: 1.0.0 }\ndo: maybe",
	"bad version":    "document: { dsl: 1.0.3, namespace: a, name: b, version: one }\n" + tasks,
	"bad name":       "document: { dsl: 1.0.3, namespace: a/b, name: 'c d', version: 1.0.0 }\n" + tasks,
	"a key twice":    "document: { dsl: 1.0.3, dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\n" + tasks,

	"unknown construct":  head + "do: [ { a: { dance: {} } } ]",
	"not yet supported":  head + "do: [ { a: { call: mcp, with: { method: tools/call } } } ]",
	"no message":         head + "do: [ { a: { call: asyncapi, with: { document: { endpoint: 'http://a' }, channel: a } } } ]",
	"incomplete service": head + "do: [ { a: { call: grpc, with: { method: get, service: { host: localhost } } } } ]",
	"missing proto":      head + "do: [ { a: { call: grpc, with: { proto: { endpoint: 'http://a' }, method: Get, service: { host: a, name: A } } } } ]",
	"bad address":        head + "do: [ { a: { call: http, with: { method: get, endpoint: 'ftp://localhost' } } } ]",
	"unknown secret":     head + "do: [ { a: { call: http, with: { method: get, endpoint: 'http://a', headers: { b: '${ $secrets.c }' } } } } ]",
	"missing resource":   head + "do: [ { a: { call: openapi, with: { document: { endpoint: 'http://a' }, operationId: b } } } ]",
	"broken resources":   head + tasks + "\n--- # resources\n{",
	"bad expression":     head + "do: [ { a: { set: { b: '${ .[ }' } } } ]",
	"unknown function":   head + "do: [ { a: { set: { b: '${ input_line_number | nothing }' } } } ]",
	"bad duration":       head + "do: [ { a: { wait: soon } } ]",
	"then into nothing":  head + "do: [ { a: { set: { b: 1 }, then: nowhere } } ]",
	"recursive function": head + "use: { functions: { f: { do: [ { a: { call: f } } ] } } }\ndo: [ { a: { call: f } } ]",
	"many tasks":         head + "do:\n" + strings.Repeat("  - a: { set: { b: 1 } }\n", 20_000),

	"bad child":        head + "do: [ { a: { run: { workflow: { namespace: a, name: b/c, version: newest } } } } ]",
	"a detached shell": head + "do: [ { a: { run: { shell: { command: ls }, await: false } } } ]",
	"bad compensation": head + "do: [ { a: " + undoneBy("true") + " } ]",
	"undone undoing":   head + "do: [ { a: " + undoneBy(undoneBy("{ call: a.c }")) + " } ]",
	"endless undoing":  head + "use: { functions: { f: " + undoneBy("{ call: f }") + " } }\ndo: [ { a: { call: f } } ]",

	"endless aliases": aliases(), "alias to itself": "document: &a { dsl: 1.0.3, namespace: *a }\n",
	"deep lists":   strings.Repeat("[", 100_000),
	"deep objects": strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
	"too long":     "# " + strings.Repeat("x", 1<<20) + "\n" + head + tasks,
}

// What the documents above begin and end with.
const (
	head  = "document: { dsl: 1.0.3, namespace: a, name: b, version: 1.0.0 }\n"
	tasks = "do: [ { a: { set: { b: 1 } } } ]"
)

// undoneBy is a task with a compensation.
func undoneBy(compensation string) string {
	return "{ call: a.b, metadata: { holdfast: { compensate: " + compensation + " } } }"
}

// aliases is a small document that would be a large one with its aliases replaced.
func aliases() string {
	var text strings.Builder
	text.WriteString("a: &a [x,x,x,x,x,x,x,x,x]\n")
	for name := 'b'; name <= 'i'; name++ {
		fmt.Fprintf(&text, "%c: &%c [%s]\n", name, name, strings.Repeat(fmt.Sprintf("*%c,", name-1), 9))
	}
	return text.String()
}

// badDefinitions are documents that can't be deployed, and calls about definitions that there are not.
func badDefinitions() []badCase {
	var all []badCase
	for name, document := range broken {
		all = append(all, badCase{"definition: " + name, func(ctx context.Context, t *target) error {
			_, err := t.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(document)})
			if err := refused(err, codes.InvalidArgument, "document"); err != nil {
				return err
			}
			r, err := t.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: []byte(document)})
			if err == nil && len(r.GetMistakes()) == 0 {
				err = errors.New("it is found valid, and yet can't be deployed")
			}
			return err
		}})
	}
	return append(all,
		badCase{"definition: another one under its version", func(ctx context.Context, t *target) error {
			document, err := definitions.ReadFile("definitions/good.yaml")
			if err != nil {
				return fmt.Errorf("read definition: %w", err)
			}
			_, err = t.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: append(document, "# changed\n"...)})
			return refused(err, codes.AlreadyExists)
		}},
		badCase{"definition: get an odd one", func(ctx context.Context, t *target) error {
			_, err := t.definitions.Get(ctx, &definitionv1.GetRequest{Definition: "odd"})
			return refused(err, codes.InvalidArgument, "definition")
		}},
		badCase{"definition: get an unknown one", func(ctx context.Context, t *target) error {
			_, err := t.definitions.Get(ctx, &definitionv1.GetRequest{Definition: "verify/none:1.0.0"})
			return refused(err, codes.NotFound)
		}},
		badCase{"definition: list with an odd token", func(ctx context.Context, t *target) error {
			_, err := t.definitions.List(ctx, &definitionv1.ListRequest{PageToken: "minus one"})
			return refused(err, codes.InvalidArgument, "page_token")
		}},
	)
}
