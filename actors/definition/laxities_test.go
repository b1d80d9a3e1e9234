package definition

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
)

// laxity is where the compiler takes more than the schema of the specification does.
type laxity struct {
	// at is the JSON pointer of what the schema says there, and to what it would say.
	at, to string
	// or: it may also be what it was.
	or bool
	// reason is why more is taken.
	reason string
	// examples are compiled, and not taken by the schema.
	examples []string
}

const (
	withOf = "/$defs/callTask/oneOf/%/allOf/1/properties/with/properties"
	runOf  = "/$defs/runTask/allOf/1/properties/run/oneOf/%/properties"
	stock  = "proto: {endpoint: 'https://stock.example.com/stock.proto'}, service: {name: stock.v1.Stock, host: stock.example.com}"
	scalar = "{type: [string, number, boolean, 'null']}"
)

// withIn and runIn are the pointers of properties of calls and of processes.
func withIn(call, name string) string { return strings.Replace(withOf, "%", call, 1) + "/" + name }
func runIn(what, name string) string  { return strings.Replace(runOf, "%", what, 1) + "/" + name }

// laxities are all that there are.
var laxities = append(processLaxities(), []laxity{
	{
		at: withIn("2", "headers/oneOf/0/additionalProperties"), to: scalar,
		reason: "A number is sent as it is written, and what is null is left out.",
		examples: []string{
			"- a: {call: http, with: {method: get, endpoint: 'https://a.example', headers: {X-Count: 1, X-Test: true, X-None: null}}}",
		},
	},
	{
		at: withIn("2", "query/oneOf/0/additionalProperties"), to: "{type: [string, number, boolean, 'null', array]}",
		reason:   "As for headers; a list is sent as that many parameters.",
		examples: []string{"- a: {call: http, with: {method: get, endpoint: 'https://a.example', query: {ids: [1, 2], page: 3}}}"},
	},
	{
		at: withIn("1", "service/properties/host/pattern"), to: "'^.*$'",
		reason: "Names of hosts can be longer than 63 characters; no part of one is.",
		examples: []string{"- a: {call: grpc, with: {proto: {endpoint: 'https://stock.example.com/stock.proto'}, method: Reserve, " +
			"service: {name: stock.v1.Stock, host: " + strings.Repeat("a.", 40) + "example}}}"},
	},
	{
		at: strings.TrimSuffix(withIn("1", ""), "properties/") + "required", to: "[service, method]",
		reason:   "Without a description the adapter asks the server.",
		examples: []string{"- a: {call: grpc, with: {service: {name: a.B, host: a.example}, method: C}}"},
	},
	{
		at: withIn("1", "arguments"), to: "{type: [object, string]}",
		reason:   "An expression can make the arguments.",
		examples: []string{"- a: {call: grpc, with: {" + stock + ", method: Reserve, arguments: '${ .order }'}}"},
	},
	{
		at: "/$defs/authenticationPolicy", to: "{type: object, required: [certificate], properties: {certificate: {type: object, required: [use]}}}", or: true,
		reason:   "The specification describes certificates, and its schema lacks them.",
		examples: []string{"use: {secrets: [s], authentications: {a: {certificate: {use: s}}}}"},
	},
	{
		at: withIn("0", "message"), to: "{type: object, properties: {payload: {type: [object, string]}}}",
		reason: "An expression can make a payload.",
		examples: []string{"- a: {call: asyncapi, with: {document: {endpoint: 'https://shop.example.com/asyncapi.json'}, operation: placeOrder, " +
			"message: {payload: '${ .order }'}}}"},
	},
	{
		at: "/$defs/referenceableAuthenticationPolicy", to: "{oneOf: [{type: string}, {type: object, required: [use]}, " +
			"{$ref: '#/$defs/authenticationPolicy'}]}",
		reason: "The name of a policy alone, as the specification's dsl.md writes it.",
		examples: []string{"use: {secrets: [s], authentications: {a: {basic: {use: s}}}}\ndo: [{a: {call: http, with: {method: get, endpoint: " +
			"{uri: 'https://a.example', authentication: a}}}}]"},
	},
	{
		at: "/$defs/uriTemplate", to: "{type: string, not: {$ref: '#/$defs/runtimeExpression'}}",
		reason: "Any absolute URI may be the type of an error, the source of an event is a reference to a URI, as in CloudEvents, or what is " +
			"matched with it, and an address may begin with a property of the input. One without a host is warned of.",
		examples: []string{
			"- a: {raise: {error: {type: 'urn:example:no-credit', status: 402}}}",
			"- a: {emit: {event: {with: {source: /shop, type: t}}}}",
			"- a: {listen: {to: {one: {with: {source: '.*/shop', dataschema: '[a-z]+'}}}}}",
			"- a: {call: http, with: {method: get, endpoint: '{base}/pets'}}",
		},
	},
	{
		at: "/$defs/eventFilter/properties/correlate/additionalProperties/properties/expect", to: "true",
		reason:   "Values are compared as text, whatever they are.",
		examples: []string{"- a: {listen: {to: {one: {with: {type: t}, correlate: {n: {from: .data.n, expect: 7}}}}}}"},
	},
	{
		at: runIn("3", "workflow/properties/input"), to: "{type: [object, string]}",
		reason:   "An expression can make the input.",
		examples: []string{"- a: {run: {workflow: {namespace: a, name: b, version: latest, input: '${ .order }'}}}"},
	},
}...)

// processLaxities are those of processes.
func processLaxities() (all []laxity) {
	for _, process := range []struct{ index, name, example string }{
		{"0", "container", "image: alpine"}, {"1", "script", "language: python, code: print(1)"}, {"2", "shell", "command: ls"},
	} {
		of := runIn(process.index, process.name) + "/properties/"
		run := func(with string) string {
			return "- a: {run: {" + process.name + ": {" + process.example + ", " + with + "}}}"
		}
		all = append(all, laxity{
			at: of + "stdin", to: "true",
			reason:   "What is no text is given as JSON.",
			examples: []string{run("stdin: {a: 1}")},
		}, laxity{
			at: of + "arguments", to: "{type: [array, string], items: " + scalar + "}",
			reason:   "What is no text is given as JSON, and an expression can make the arguments.",
			examples: []string{run("arguments: [1, true]"), run("arguments: '${ .list }'")},
		}, laxity{
			at: of + "environment", to: "{type: [object, string]}",
			reason:   "An expression can make the environment.",
			examples: []string{run("environment: '${ .all }'")},
		})
	}
	for _, name := range []string{"ports", "volumes"} {
		all = append(all, laxity{
			at: runIn("0", "container/properties/"+name), to: "{type: [object, string]}",
			reason:   "An expression can make them.",
			examples: []string{"- a: {run: {container: {image: alpine, " + name + ": '${ .all }'}}}"},
		})
	}
	return all
}

// apply changes the schema.
func (x laxity) apply(tb testing.TB, schema any) {
	tb.Helper()
	steps := strings.Split(strings.TrimPrefix(x.at, "/"), "/")
	last := len(steps) - 1
	in := lookUp(schema, "#/"+strings.Join(steps[:last], "/"))
	object, is := in.value.(map[string]any)
	if name := messages.UnescapePointer(steps[last]); is && object[name] != nil {
		if to := parsed(tb, x.to).value(); x.or {
			object[name] = map[string]any{"anyOf": []any{object[name], to}}
		} else {
			object[name] = to
		}
		return
	}
	tb.Fatalf("the schema says nothing at %s", x.at)
}
