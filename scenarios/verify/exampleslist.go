package main

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/constructs"
)

// What several examples do, and get.
const (
	getsPet      = "GET https://petstore.swagger.io/v2/pet/1"
	petOne       = `{"petId": 1}`
	buysPet      = `PUT https://petstore.swagger.io/v2/pet/1 {"id":1,"name":"milou","petId":1,"status":"sold"}`
	petSold      = `{"id":1,"name":"milou","petId":1,"status":"sold"}`
	withToken    = `{"petId": 1, "token": "t0ken"}` //nolint:gosec // nobody knows it
	searchesLuke = "GET https://swapi.dev/api/people/?search=luke"
	ofCustomer   = "https://superbet-casinos.com/customer/access-forbidden"
	temperature  = "com.fake-hospital.vitals.measurements.temperature"
	bpm          = "com.fake-hospital.vitals.measurements.bpm"
	hotAndFast   = `[{"temperature":39},{"bpm":120}]`
	noBroker     = `"subscription" is not supported: over HTTP there is nothing to subscribe to`
)

type (
	one  = []constructs.Case
	want = constructs.Want
	did  = []string
)

// anEvent is an event with data.
func anEvent(eventType, data string) constructs.Event {
	return constructs.Event{Type: eventType, Data: data}
}

// reading is an event of a sensor in a room.
func reading(kind, value string) constructs.Event {
	return constructs.Event{
		Type: "my.home.sensors." + kind, Source: "https://my.home.com/sensor", Extensions: map[string]string{"roomid": "kitchen"}, Data: value,
	}
}

// simply is an example that leaves an output, and does something.
func simply(input, output, path string, does ...string) one {
	return one{{Input: input, Want: want{Output: output, Path: path, Did: does}}}
}

// listens is an example that leaves the events that it consumes.
func listens(output string, events ...constructs.Event) one {
	return one{{Events: events, Want: want{Output: output, Path: "callDoctor"}}}
}

// refuses is an example that is refused.
func refuses(why string) one { return one{{Want: want{Refused: why}}} }

// halfMinute is an example that waits for half a minute.
func halfMinute() one {
	return one{{Waits: 30 * time.Second, Want: want{Output: "{}", Path: "wait30Seconds"}}}
}

// contains is an example that runs a container.
func contains(output string) one { return simply("", output, "runContainer") }

// unimplemented is the error of the examples that raise one.
var unimplemented = one{{Want: want{Path: "notImplemented", Fault: &constructs.Fault{
	Type: "https://serverlessworkflow.io/errors/not-implemented", Status: 500, Title: "Not Implemented",
	Detail: "The workflow 'raise-not-implemented:0.1.0' is a work in progress and cannot be run yet",
}}}}

// inexpressible is the error of an expression that fails.
var inexpressible = &constructs.Fault{Type: "/errors/expression", Status: 400}

// twiceGets is an example whose first request is answered with 503.
var twiceGets = one{{Input: `{"petId": 503}`, Want: want{
	Output: examplePet, Path: "tryGetPet>getPet>getPet",
	Did: did{"GET https://petstore.swagger.io/v2/pet/503", "GET https://petstore.swagger.io/v2/pet/503"},
}}}

// examplesList says of each example what has to come of it, by its name.
var examplesList = map[string][]constructs.Case{
	// What is consumed is a list, which has no property "data": the text of the example fails there.
	"accumulate-room-readings": {{
		Events: []constructs.Event{reading("temperature", `{"reading":21}`), reading("humidity", `{"reading":40}`)},
		Want:   want{Fault: inexpressible, Path: "consumeReading"},
	}},
	"authentication-bearer":            simply(withToken, examplePet, "getPet", getsPet+" Bearer t0ken"),
	"authentication-bearer-uri-format": simply(withToken, examplePet, "getPet", getsPet+" Bearer t0ken"),
	"authentication-reusable":          simply(withToken, examplePet, "getPet", getsPet+" Bearer t0ken"),
	"authentication-oauth2":            simply(petOne, examplePet, "getPet", getsPet+" Bearer auth:workflow-runtime-id"),
	"authentication-oauth2-secret":     simply(petOne, examplePet, "getPet", getsPet+" Bearer oauth2:secret-client"),
	"authentication-oidc":              simply(petOne, examplePet, "getPet", getsPet+" Bearer oidc:workflow-runtime-id"),
	"authentication-oidc-secret":       simply(petOne, examplePet, "getPet", getsPet+" Bearer oidc:secret-client"),
	"call-asyncapi-publish": simply(`{"pet": {"id": 1}, "token": "t0ken"}`, `{"taken":true}`, "findPet",
		`POST https://staging.fake.com/v1/pets Bearer t0ken {"petId":1}`),
	"call-asyncapi-subscribe-consume-amount":          refuses(noBroker),
	"call-asyncapi-subscribe-consume-forever-foreach": refuses(noBroker),
	"call-asyncapi-subscribe-consume-until":           refuses(noBroker),
	"call-asyncapi-subscribe-consume-while":           refuses(noBroker),
	"call-custom-function-cataloged":                  one{{Want: want{Output: `"[information] Hello, world!"`}}},
	"call-custom-function-inline": {{Want: want{
		Output: examplePet, Did: did{"GET https://petstore.swagger.io/v2/pet/69"},
	}}},
	"call-grpc": simply(`{"user": {"preferredDisplayName": "Ada"}}`, `{"message":"Hello Ada"}`, "greet",
		"grpc /GreeterApi.Greeter/SayHello Ada"),
	"call-http-endpoint-interpolation-shorthand": simply(petOne, examplePet, "getPet", getsPet),
	"call-http-endpoint-interpolation":           simply(petOne, examplePet, "getPet", getsPet+" (application/json)"),
	"call-http-query-headers-expressions": simply(`{"searchQuery": "luke"}`, `{"count":1}`, "setQueryAndHeaders>searchStarWarsCharacters",
		searchesLuke+" Accept: application/json"),
	"call-http-query-parameters": {
		{Input: `{"searchQuery": "luke"}`, Want: want{Output: `{"count":1}`, Did: did{searchesLuke}}},
		{Input: `{"searchQuery": 7}`, Want: want{Unfit: "searchQuery"}},
	},
	"call-http-redirect": simply(`{"searchQuery": "moved"}`, `{"count":1}`, "searchStarWarsCharacters",
		"GET https://swapi.dev/api/people/?search=moved", searchesLuke),
	"call-mcp": refuses(`the call "mcp" is not supported yet`),
	"call-openapi": simply("", "["+examplePet+"]", "findPet",
		"GET https://petstore.swagger.io/v2/pet/findByStatus?status=available"),
	"call-openapi-redirect": simply("", "["+examplePet+"]", "findPet",
		"GET https://petstore.swagger.io/v2/pet/findByStatus?status=available"),
	"conditional-task": {
		{Input: `{"customer": {"age": 17}}`, Want: want{
			Path: "raiseErrorIfUnderage", Fault: &constructs.Fault{Type: ofCustomer, Status: 400, Title: "Access Forbidden"},
		}},
		{Input: `{"customer": {"age": 18}, "bet": 5}`, Want: want{Path: "placeBet", Output: `{"placed":true}`, Did: did{
			`POST https://superbet-casinos.com/api/bet/on/football {"bet":".bet","customer":".customer"}`,
		}}},
	},
	"do-multiple": simply(petOne, petSold, "getPet>buyPet", getsPet, buysPet),
	"do-single":   simply(petOne, examplePet, "getPet", getsPet),
	"emit": {{Want: want{Path: "emitEvent", Part: true, Output: `{"source": "https://petstore.com", "type": "com.petstore.order.placed.v1",
		"data": {"client": {"firstName": "Cruella", "lastName": "de Vil"}, "items": [{"breed": "dalmatian", "quantity": 101}]}}`}}},
	"for": {
		// What is consumed is a list, which has no property "pets": the text of the example fails there.
		{
			Input:  `{"pets": [{"id": 1}], "vet": "Ada"}`,
			Events: []constructs.Event{anEvent("com.fake.petclinic.pets.checkup.completed.v2", "{}")},
			Want:   want{Path: "checkup>waitForCheckup", Fault: inexpressible},
		},
		{Input: `{"pets": [{"id": 1}]}`, Want: want{Path: "checkup", Output: `{"pets": [{"id": 1}]}`}},
	},
	"fork": {{Input: `{"patient": {"fullName": "Ada"}, "room": {"number": 7}}`, Want: want{
		Output: `{"comes":"nurse"}`, Beside: true, Path: "raiseAlarm>callNurse>callDoctor",
		Did:     did{`PUT https://fake-hospital.com/api/v3/alert/nurses {"patientId":"Ada","room":7}`},
		Perhaps: `PUT https://fake-hospital.com/api/v3/alert/doctor {"patientId":"Ada","room":7}`,
	}}},
	"listen-to-all": listens(hotAndFast, anEvent(temperature, `{"temperature":39}`), anEvent(bpm, `{"bpm":120}`)),
	"listen-to-all read-envelope": {{
		Events: []constructs.Event{anEvent(temperature, `{"temperature":39}`), anEvent(bpm, `{"bpm":120}`)},
		Want: want{Part: true, Output: `[{"type": "` + temperature + `", "data": {"temperature":39}}, {"type": "` + bpm + `",
			"data": {"bpm":120}}]`},
	}},
	"listen-to-any": listens(`[{"n":1}]`, anEvent("any.thing", `{"n":1}`)),
	"listen-to-any-filter": listens(`[{"bpm":40}]`, constructs.Event{Type: temperature, Data: `{"temperature":37}`, Passed: true},
		anEvent(bpm, `{"bpm":40}`)),
	"listen-to-any-forever-foreach": {{
		Input:  `{"roomId": "lobby"}`,
		Events: []constructs.Event{anEvent("any.thing", `{"n":1}`), anEvent("any.other", `{"n":2}`), anEvent("any.thing", `{"n":3}`)},
		Meanwhile: func(ctx context.Context, r *constructs.Running) error {
			if err := r.Done(ctx, 3); err != nil {
				return err
			}
			return r.Cancel(ctx, false)
		},
		Want: want{Status: orderv1.Status_STATUS_CANCELLED, Did: did{
			`POST https://fake-chat-api.com/room/lobby {"event":{"n":1}}`, `POST https://fake-chat-api.com/room/lobby {"event":{"n":2}}`,
			`POST https://fake-chat-api.com/room/lobby {"event":{"n":3}}`,
		}},
	}},
	"listen-to-any-until-condition": listens(`[{"n":1},{"n":2},{"n":3},{"n":4}]`, anEvent("any.thing", `{"n":1}`),
		anEvent("any.other", `{"n":2}`), anEvent("any.thing", `{"n":3}`), anEvent("any.other", `{"n":4}`)),
	"listen-to-any-until-consumed": listens(hotAndFast, anEvent(temperature, `{"temperature":39}`),
		constructs.Event{Type: bpm, Data: `{"bpm":80}`, Passed: true}, anEvent(bpm, `{"bpm":120}`),
		anEvent("com.fake-hospital.patient.checked-out", "{}")),
	"listen-to-one": {{
		// The input of the call is what was consumed, a list: it has no carId, and what is not there is empty in an address.
		Events: []constructs.Event{anEvent("com.virtual-wf-powered-race.events.race.started.v1", "{}")},
		Want: want{
			Path: "waitForStartup>startup", Output: `{"started":true}`,
			Did: did{"POST https://virtual-wf-powered-race.com/api/v4/cars//start"},
		},
	}},
	"mock-service-extension":              simply("", `{"foo":"sample"}`, "", "GET https://fake.com/sample"),
	"raise-inline":                        unimplemented,
	"raise-reusable":                      unimplemented,
	"run-container":                       contains(`"hello --pull missing\n"`),
	"run-return-none":                     contains(`null`),
	"run-return-code":                     contains(`0`),
	"run-return-stderr":                   contains(`"seen\n"`),
	"run-return-all":                      contains(`{"code":0,"stderr":"seen\n","stdout":"hello --pull missing\n"}`),
	"run-container-with-name":             contains(`"hello --pull missing --name hello-null-null-null\n"`),
	"run-container-with-pull-policy":      contains(`"hello --pull always\n"`),
	"run-container-cleanup-always":        contains(`"hello --pull missing --rm\n"`),
	"run-container-cleanup-eventually":    contains(`"hello --pull missing\n"`),
	"run-container-stdin-and-arguments":   simply("", `"STDIN was: Hello World\nARGS are Foo Bar\n"`, "setInput>runContainer"),
	"run-shell-stdin-and-arguments":       simply("", `"STDIN was: Hello World\nARGS are Foo Bar\n"`, "setInput>runShell"),
	"run-script-with-stdin-and-arguments": simply("", `"stdin >  Hello Workflow\narg >  hello\nenv >  bar\n"`, "runScript"),
	"run-subflow": {{
		Needs: []string{"document: {dsl: '1.0.3', namespace: NAMESPACE, name: register-customer, version: '0.1.0'}\n" +
			"do: [{register: {set: {registered: '${ .customer }'}}}]\n"},
		Want: want{Path: "registerCustomer", Output: `{"registered":".user"}`},
	}},
	"schedule-cron": {{Comes: constructs.Triggered, Want: want{
		Path: "backup", Output: `{"started":true}`, Did: did{"POST https://example.com/api/v1/backup/start"},
	}}},
	"schedule-event-driven": {{
		Comes: constructs.ByItself,
		Events: []constructs.Event{anEvent("com.example.hospital.events.patients.heartbeat.low", `{"patient": {"id": "p1", "name": "Ada",
			"room": {"number": 7}, "vitals": {"bpm": 38}}, "timestamp": "2026-01-31T12:00:00Z"}`)},
		Want: want{Path: "callNurse", Output: `{"comes":"nurse"}`, Did: did{`POST https://hospital.example.com/api/v1/notify ` +
			`{"message":"Alert: Patient's heartbeat is critically low. Immediate attention required.","patientId":"p1","patientName":"Ada",` +
			`"roomNumber":7,"vitals":{"heartRate":38,"timestamp":"2026-01-31T12:00:00Z"}}`}},
	}},
	"set-expression": {{
		Comes: constructs.ByItself, Events: []constructs.Event{anEvent("io.serverlessworkflow.samples.events.trigger.v1", `{"n":1}`)},
		Want: want{Path: "initialize", Part: true, Output: `{"type": "io.serverlessworkflow.samples.events.trigger.v1", "data": {"n":1}}`},
	}},
	"set": {{
		Comes: constructs.ByItself, Events: []constructs.Event{anEvent("io.serverlessworkflow.samples.events.trigger.v1", `{"n":1}`)},
		Want: want{Path: "initialize", Part: true, Output: `{"startEvent": {"type": "io.serverlessworkflow.samples.events.trigger.v1",
			"data": {"n":1}}}`},
	}},
	"star-wars-homeworld": {
		{Input: `{"id": 1}`, Want: want{Path: "getStarWarsCharacter>getStarWarsHomeworld", Output: `{"name":"Tatooine"}`, Did: did{
			"GET https://swapi.dev/api/people/1", "GET https://swapi.dev/api/planets/1/",
		}}},
		{Input: `{"id": 0}`, Want: want{Unfit: "id"}},
	},
	"switch-then-string": {
		{Input: `{"orderType": "electronic"}`, Want: want{
			Path: "processOrder>processElectronicOrder", Output: `{"validate":true,"status":"fulfilled"}`,
		}},
		{Input: `{"orderType": "physical"}`, Want: want{
			Path: "processOrder>processPhysicalOrder", Output: `{"inventory":"clear","items":1,"address":"Elmer St"}`,
		}},
		{Want: want{Path: "processOrder>handleUnknownOrderType", Output: `{"log":"warn","message":"something's wrong"}`}},
	},
	"try-catch-retry-inline":   twiceGets,
	"try-catch-retry-reusable": twiceGets,
	"try-catch": {{Input: `{"petId": 404}`, Want: want{
		Path: "tryGetPet>getPet", Output: `{"petId":404}`, Did: did{"GET https://petstore.swagger.io/v2/pet/404"},
	}}},
	"try-catch-then": {
		{Input: `{"petId": 404}`, Want: want{
			Path: "tryGetPet>getPet>notifySupport>setError", Output: `{"error":"$error"}`,
			Did: did{"GET https://petstore.swagger.io/v2/pet/404"},
		}},
		{Input: petOne, Want: want{Path: "tryGetPet>getPet>buyPet", Output: petSold, Did: did{getsPet, buysPet}}},
	},
	"wait-duration-inline":  halfMinute(),
	"wait-duration-iso8601": halfMinute(),
}
