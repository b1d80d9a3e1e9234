package definition

import (
	"regexp"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// refusal is why the compiler refuses what the schema of the specification takes.
type refusal struct {
	// message matches where the mistake is and what it says. Because is what docs/language.md says.
	message *regexp.Regexp
	because string
	// example is refused so, and taken by the schema.
	example string
}

// of tells whether a mistake is such a refusal.
func (r refusal) of(m *definitionv1.Mistake) bool {
	return r.message.MatchString(m.GetPath() + ": " + m.GetMessage())
}

// refusals are all that there are. Of several that fit, the first one counts.
var refusals = []refusal{
	{
		message: regexp.MustCompile(`/metadata/holdfast`), because: "Whatever is wrong in `metadata.holdfast`",
		example: "- a: {set: {b: 1}, metadata: {holdfast: {x: 1}}}",
	},
	{
		message: regexp.MustCompile(` has no property |an authentication must have one of`), because: "properties that the language doesn't have",
		example: "do: [{a: {set: {b: 1}}}]\nx: 1",
	},
	{
		message: regexp.MustCompile(`"dsl" must be a version`), because: "Other versions of the language",
		example: "document: {dsl: '2.0.0'}",
	},
	{
		message: regexp.MustCompile(`the language .* is not supported|"evaluate" must be`), because: "other languages of expressions",
		example: "evaluate: {language: javascript}",
	},
	{
		message: regexp.MustCompile(`the mode .* is not supported`), because: "other modes",
		example: "evaluate: {mode: relaxed}",
	},
	{
		message: regexp.MustCompile(`is not supported yet|"subscription" is not supported`), because: "What the table calls refused",
		example: "- a: {call: mcp, with: {method: tools/list, transport: {http: {endpoint: 'https://a.example'}}}}",
	},
	{
		message: regexp.MustCompile(`has to be deployed with the definition|fetched when it is deployed, without secrets|the address of a resource must be a URI`),
		because: "what is elsewhere, and is not deployed with the definition",
		example: "- a: {call: openapi, with: {document: {endpoint: 'https://a.example/openapi.json'}, operationId: b}}",
	},
	{
		message: regexp.MustCompile(`the list of tasks is empty`), because: "empty lists of tasks",
		example: "- a: {do: []}",
	},
	{
		message: regexp.MustCompile(`no task can be called|another task of this list is called|the name of the task`),
		because: "names of tasks that are empty, longer than 128 bytes, appear twice in a list or mean something else",
		example: "- exit: {set: {b: 1}}",
	},
	{
		message: regexp.MustCompile(`another case of this switch|both lack "when"`), because: "cases of a `switch` with the same name, and more than one default",
		example: "- a: {switch: [{b: {then: end}}, {c: {then: end}}]}",
	},
	{
		message: regexp.MustCompile(`there is no task .* in this list|"then" must be the name of a task`), because: "`then` with a name that is not in the same list",
		example: "- a: {set: {b: 1}, then: nowhere}",
	},
	{
		message: regexp.MustCompile(`can't end the workflow`), because: "in a compensation, `then: end`",
		example: "use: {functions: {f: {do: [{a: {set: {b: 1}, then: end}}]}}}\ndo: [{a: {call: b.c, metadata: {holdfast: {compensate: {call: f}}}}}]",
	},
	{
		message: regexp.MustCompile(`there is no .* in "use\.|must be the name of a component of "use\.`), because: "names that are not in `use`",
		example: "- a: {set: {b: 1}, timeout: nowhere}",
	},
	{
		message: regexp.MustCompile(`the expression .* is wrong: |the expression of .* is empty|secrets can't stand here`),
		because: "expressions that are no jq, or refer to what is not there",
		example: "- a: {if: .a +, set: {b: 1}}",
	},
	{
		message: regexp.MustCompile(`"set" must be an object`), because: "a text in `set` that is no expression",
		example: "- a: {set: text}",
	},
	{
		message: regexp.MustCompile(`the duration |"(days|hours|minutes|seconds|milliseconds)" must be a whole number|a fixed duration`),
		because: "durations that are negative, longer than a hundred years, or have fractions of months",
		example: "- a: {wait: {seconds: -1}}",
	},
	{
		message: regexp.MustCompile(`must be a whole number from`), because: "a status, a count or a port beyond its bounds",
		example: "- a: {raise: {error: {type: 'https://a.example', status: 1000}}}",
	},
	{
		message: regexp.MustCompile(`"schedule" must have one|"cron" |"(every|after)" must be |comes into being by itself`),
		because: "schedules that say none or several of `every`, `cron`, `after` and `on`, are no cron expressions, or come more often than once a second",
		example: "schedule: {every: PT1H, cron: '0 0 * * *'}",
	},
	{
		message: regexp.MustCompile(`attribute ".*" must have a name|attribute .* must have a name|of an event must be|"event" lacks the property "with"`),
		because: "events whose attributes CloudEvents does not allow",
		example: "- a: {emit: {event: {with: {source: 'https://a.example', type: t, Order: 7}}}}",
	},
	{
		message: regexp.MustCompile(`must be a list of filters|: the regular expression is too large`), because: "`all` of no filters",
		example: "- a: {listen: {to: {all: []}}}",
	},
	{
		message: regexp.MustCompile(`must be a name of letters, digits and _|means something else: choose another name|item and index can't both`),
		because: "variables that jq can't have, or whose names mean something else",
		example: "- a: {for: {in: .a, each: 7up}, do: [{b: {set: {c: 1}}}]}",
	},
	{
		message: regexp.MustCompile(`the format .* is not supported|the schema is wrong|a JSON schema must be an object`),
		because: "schemas that are no JSON Schema, or refer out of themselves",
		example: "input: {schema: {document: {type: text}}}",
	},
	{
		message: regexp.MustCompile(`the filter ".*" compares constants|"type" must be a URI|"instance" must be a JSON pointer`),
		because: "errors whose `type` is no URI, and filters with expressions",
		example: "- a: {try: [{b: {set: {c: 1}}}], catch: {errors: {with: {title: '${ .a }'}}}}",
	},
	{
		message: regexp.MustCompile(`"return" of a workflow|a process is always awaited|an argument must be`),
		because: "`await: false` of a process, and a `return` of a workflow other than `stdout` and `none`",
		example: "- a: {run: {await: false, shell: {command: ls}}}",
	},
	{
		message: regexp.MustCompile(`must be a string, a number, true or false`), because: "objects and lists in the environment of a process, in headers, and where else texts are needed",
		example: "- a: {run: {shell: {command: ls, environment: {a: {b: 1}}}}}",
	},
	{
		message: regexp.MustCompile(`is no activity such as|there is no catalog|of a catalog (needs|must)|can't be called by their names|"call" must name what`),
		because: "calls of what is neither a function nor an activity",
		example: "- a: {call: nowhere}",
	},
	{
		message: regexp.MustCompile(`calls itself|call each other more than|no function can be called`), because: "functions that call themselves, or are called as a protocol is",
		example: "use: {functions: {f: {call: f}}}",
	},
	{
		message: regexp.MustCompile(`must be a method of HTTP|must be the address of an endpoint|must be the (full )?name of a (service|method)|must be the name or address of a host`),
		because: "methods, addresses and services that can't be called",
		example: "- a: {call: http, with: {method: connect, endpoint: 'https://a.example'}}",
	},
	{
		message: regexp.MustCompile(`there is no operation|has no parameter|needs the parameter|there is no service|has no method|has no field|does not fit|takes a stream|can't be used|is no document of|can be sent as JSON|must be a name in the document|, as the field |must be a value of the type`),
		because: "calls that do not fit the document of OpenAPI, AsyncAPI or gRPC that describes them",
		example: "- a: {call: openapi, with: {document: {endpoint: 'https://petstore.example.com/v2/swagger.json'}, operationId: b}}",
	},
	{
		message: regexp.MustCompile(`the property "(oauth2|oidc)" of an authentication lacks|the grant .* is not supported|a certificate and its key|"authority" must be|lacks the property "assertion"`),
		because: "ways to authenticate that lack what they need, or need a person",
		example: "use: {authentications: {a: {oauth2: {authority: 'https://a.example'}}}}",
	},
	{
		message: regexp.MustCompile(`a secret must have a name`), because: "names of secrets that are no names of files",
		example: "use: {secrets: [a/b]}",
	},
	{
		message: regexp.MustCompile(`the extension does nothing`), because: "extensions without `before` and `after`",
		example: "use: {extensions: [{a: {extend: all}}]}",
	},
	{
		message: regexp.MustCompile(`/run/workflow/(namespace|name|version)`), because: "names and versions of child orders that no definition can have",
		example: "- a: {run: {workflow: {namespace: a, name: b, version: newest}}}",
	},
}
