package main

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/constructs"
)

// exampleHosts are those that examples call by HTTPS.
var exampleHosts = []string{
	"petstore.swagger.io", "swapi.dev", "fake.com", "staging.fake.com", "superbet-casinos.com", "fake-hospital.com", "hospital.example.com",
	"fake-chat-api.com", "virtual-wf-powered-race.com", "example.com", "raw.githubusercontent.com",
}

// documents are what describes the applications that examples call, and the function that one of them calls.
var documents = map[string]string{
	"petstore.swagger.io/v2/swagger.json": `{"swagger": "2.0", "info": {"title": "Pets", "version": "1"}, "host": "petstore.swagger.io",
		"basePath": "/v2", "schemes": ["https"], "paths": {"/pet/findByStatus": {"get": {"operationId": "findPetsByStatus",
		"produces": ["application/json"], "parameters": [{"name": "status", "in": "query", "required": true, "type": "array",
		"items": {"type": "string"}, "collectionFormat": "multi"}], "responses": {"200": {"description": "pets"}}}}}}`,
	"myorg.io/ordersservices.json": `{"swagger": "2.0", "info": {"title": "Readings", "version": "1"}, "host": "myorg.io", "schemes": ["http"],
		"paths": {"/readings": {"post": {"operationId": "logreading", "responses": {"200": {"description": "logged"}}}},
		"/report": {"post": {"operationId": "produceReport", "responses": {"200": {"description": "a report"}}}}}}`,
	"fake.com/docs/asyncapi.json": `{"asyncapi": "3.0.0", "info": {"title": "Pets", "version": "1"},
		"servers": {"production": {"host": "fake.com", "protocol": "https"},
		"staging": {"host": "staging.fake.com", "pathname": "/v1", "protocol": "https"}},
		"channels": {"pets": {"address": "/pets", "messages": {"find": {"payload": {"type": "object", "required": ["petId"]}}}},
		"notifications": {"address": "/notifications", "messages": {"told": {"payload": {"type": "object"}}}}},
		"operations": {"findPetsByStatus": {"action": "receive", "channel": {"$ref": "#/channels/pets"}},
		"getNotifications": {"action": "send", "channel": {"$ref": "#/channels/notifications"}}}}`,
	"raw.githubusercontent.com/serverlessworkflow/catalog/main/functions/log/1.0.0/function.yaml": `
input:
  schema: {document: {type: object, properties: {message: {type: string}, level: {type: string}}, required: [message]}}
run:
  shell: {command: 'printf "[%s] %s" "$1" "$2"', arguments: ['${ .level }', '${ .message }']}
`,
	"keycloak/realms/fake-authority/.well-known/openid-configuration": `
		{"token_endpoint": "http://keycloak/realms/fake-authority/oidc/token"}`,
}

// answers are what hosts answer that always say the same.
var answers = map[string]string{
	"GET petstore.swagger.io/v2/pet/findByStatus":         "[" + examplePet + "]",
	"GET swapi.dev/api/people/":                           `{"count":1}`,
	"GET swapi.dev/api/people/1":                          `{"name":"Luke","homeworld":"https://swapi.dev/api/planets/1/"}`,
	"GET swapi.dev/api/planets/1/":                        `{"name":"Tatooine"}`,
	"GET fake.com/sample":                                 `{"foo":"sample"}`,
	"POST staging.fake.com/v1/pets":                       `{"taken":true}`,
	"POST superbet-casinos.com/api/bet/on/football":       `{"placed":true}`,
	"PUT fake-hospital.com/api/v3/alert/nurses":           `{"comes":"nurse"}`,
	"PUT fake-hospital.com/api/v3/alert/doctor":           `{"comes":"doctor"}`,
	"POST hospital.example.com/api/v1/notify":             `{"comes":"nurse"}`,
	"POST fake-chat-api.com/room/lobby":                   `{"roomId":"lobby"}`,
	"POST virtual-wf-powered-race.com/api/v4/cars//start": `{"started":true}`,
	"POST example.com/api/v1/backup/start":                `{"started":true}`,
}

// examplePet is the pet that all examples are about.
const examplePet = `{"id":1,"name":"milou","petId":1,"status":"available"}`

// examplePets is where pets are.
var examplePets = regexp.MustCompile(`^(GET|PUT) petstore\.swagger\.io/v2/pet/(\d+)$`)

// doctorTakes is how long the doctor takes who is called beside the nurse, if nobody calls it off.
const doctorTakes = 3 * time.Second

// exampleHost answers for all hosts that examples call, and writes down what it was asked for.
type exampleHost struct{ log *constructs.Log }

func (h exampleHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := r.Host + r.URL.Path
	if text := documents[at]; text != "" {
		_, _ = io.WriteString(w, text) // whoever has gone needs none
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Host == "keycloak" { // the token says where it was given, and to whom
		by := path.Base(path.Dir(r.URL.Path)) + ":" + r.PostFormValue("client_id")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600}`, by) //nolint:gosec // as above; no browser reads it
		return
	}
	content := h.log.Request(r)
	answer := answers[r.Method+" "+at]
	pet := examplePets.FindStringSubmatch(r.Method + " " + at)
	order, _, _ := strings.Cut(r.Header.Get("Idempotency-Key"), ":")
	switch {
	case r.FormValue("search") == "moved":
		w.Header().Set("Location", "/api/people/?search=luke")
		w.WriteHeader(http.StatusFound)
	case strings.HasSuffix(at, "/alert/doctor"):
		over := time.NewTimer(doctorTakes)
		defer over.Stop()
		select {
		case <-over.C:
		case <-r.Context().Done():
		}
	case pet != nil && pet[1] == http.MethodPut:
		answer = string(content)
	case pet != nil && pet[2] == "404":
		w.WriteHeader(http.StatusNotFound)
	case pet != nil && pet[2] == "503" && len(h.log.Of(order)) == 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	case pet != nil:
		answer = examplePet
	case answer == "":
		w.WriteHeader(http.StatusNotFound)
	}
	_, _ = io.WriteString(w, answer) //nolint:gosec // as above
}
