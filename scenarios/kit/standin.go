package kit

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// Hosts are those that the scenarios call.
var Hosts = []string{"petstore.swagger.io", "httpbin.org"}

// pet is an animal of the shop.
type pet struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"`
}

var pets = []pet{{1, "milou", "available"}, {2, "felix", "available"}, {3, "rintintin", "sold"}}

// described is what the shop says of itself.
const described = `{
  "swagger": "2.0",
  "info": {"title": "Swagger Petstore", "version": "1.0.7"},
  "host": "petstore.swagger.io",
  "basePath": "/v2",
  "schemes": ["https", "http"],
  "paths": {
    "/pet/findByStatus": {"get": {
      "operationId": "findPetsByStatus",
      "produces": ["application/json"],
      "parameters": [{
        "name": "status", "in": "query", "required": true, "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"
      }],
      "responses": {"200": {"description": "successful operation"}}
    }},
    "/pet/{petId}": {"get": {
      "operationId": "getPetById",
      "produces": ["application/json"],
      "parameters": [{"name": "petId", "in": "path", "required": true, "type": "integer", "format": "int64"}],
      "responses": {"200": {"description": "successful operation"}}
    }}
  }
}
`

// StandIn answers for all Hosts, as far as the scenarios ask for something.
func StandIn() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET petstore.swagger.io/v2/pet/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		i := slices.IndexFunc(pets, func(p pet) bool { return p.ID == id })
		if err != nil || i < 0 {
			http.Error(w, "Pet not found", http.StatusNotFound)
			return
		}
		answer(w, pets[i])
	})
	m.HandleFunc("GET petstore.swagger.io/v2/pet/findByStatus", func(w http.ResponseWriter, r *http.Request) {
		answer(w, slices.DeleteFunc(slices.Clone(pets), func(p pet) bool { return p.Status != r.FormValue("status") }))
	})
	m.HandleFunc("GET petstore.swagger.io/v2/swagger.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, described) // whoever has gone needs none
	})
	m.HandleFunc("GET httpbin.org/basic-auth/{user}/{password}", func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || user != r.PathValue("user") || password != r.PathValue("password") {
			w.Header().Set("WWW-Authenticate", `Basic realm="Fake Realm"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, map[string]any{"authenticated": true, "user": user})
	})
	return m
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
	}
}
