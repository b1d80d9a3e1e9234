package constructs

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Hosts are those that cases call by HTTPS, Greeter is that of gRPC, host:port.
var Hosts = []string{"shop.example.com", "greeter.example.com"}

// GreeterHost is where the greeter is called.
const GreeterHost = "greeter.example.com:443"

// shopDocuments are what is elsewhere.
var shopDocuments = map[string]string{
	"/openapi.json": `{"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"}, "servers": [{"url": "` + shop + `"}],
		"paths": {"/orders/{id}": {"post": {"operationId": "placeOrder", "parameters": [
		{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}},
		{"name": "dry", "in": "query", "schema": {"type": "boolean"}}],
		"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}, "responses": {"200": {"description": "placed"}}}}}}`,
	"/asyncapi.json": `{"asyncapi": "3.0.0", "info": {"title": "Shop", "version": "1"},
		"servers": {"here": {"host": "shop.example.com", "protocol": "https"}},
		"channels": {"orders": {"address": "/orders", "messages": {"order": {"payload": {"type": "object", "required": ["n"]}}}}},
		"operations": {"placeOrder": {"action": "receive", "channel": {"$ref": "#/channels/orders"}}}}`,
	"/schema.json": `{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}`,
	"/script":      `printf "from elsewhere"`,
	"/greet.proto": GreeterProto,
	"/catalog/functions/greet/1.0.0/function.yaml": "call: stub.apply\nwith: {name: '${ \"hello \" + .who }'}\n",
	"/realm/.well-known/openid-configuration":      `{"token_endpoint": "` + shop + `/realm/oidc/token"}`,
}

// Shop answers for the Hosts, and writes down what it was asked for.
func Shop(log *Log) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := shopDocuments[r.URL.Path]; text != "" {
			_, _ = io.WriteString(w, text) // whoever has gone needs none
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.URL.Path, "/realm/") { // the token says where it was given, and to whom
			by := path.Base(path.Dir(r.URL.Path)) + ":" + r.PostFormValue("client_id")
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600}`, by) //nolint:gosec // as above; no browser reads it
			return
		}
		log.Request(r)
		order, _, _ := strings.Cut(r.Header.Get("Idempotency-Key"), ":")
		item, isItem := strings.CutPrefix(r.URL.Path, "/items/")
		switch {
		case isItem && item == "404":
			w.WriteHeader(http.StatusNotFound)
		case isItem:
			_, _ = fmt.Fprintf(w, `{"item":%q}`, item) //nolint:gosec // as above
		case strings.HasPrefix(r.URL.Path, "/orders"):
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"accepted":true}`) // as above
		case r.URL.Path == "/flaky" && len(log.Of(order)) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/flaky":
			_, _ = io.WriteString(w, `{"at":"last"}`) // as above
		case r.URL.Path == "/moved":
			w.Header().Set("Location", "/items/1")
			w.WriteHeader(http.StatusFound)
		case r.URL.Path == "/digest" && r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/digest":
			_, _ = io.WriteString(w, `{"item":"7"}`) // as above
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// Secrets writes the secrets of cases into a folder, for adapters.
func Secrets(folder string, cases []Case) error {
	for _, c := range cases {
		if !strings.Contains(c.Document, "secrets: [key]") {
			continue
		}
		err := os.MkdirAll(filepath.Join(folder, c.Name), 0o700)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, c.Name, "key.json"), []byte(`{"name": "ada", "token": "t0ken"}`), 0o600)
		}
		if err != nil {
			return fmt.Errorf("write secrets: %w", err)
		}
	}
	return nil
}
