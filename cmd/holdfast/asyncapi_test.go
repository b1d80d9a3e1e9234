package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The same application, as AsyncAPI 2 and 3 describe it.
const (
	shopTwo = `asyncapi: 2.6.0
servers: {kafka: {url: 'localhost:9092', protocol: kafka}, here: {url: '/{version}', protocol: http, variables: {version: {default: v1}}}}
channels:
  orders/{id}:
    parameters: {id: {schema: {type: string}, location: '$message.payload#/id'}}
    publish:
      bindings: {http: {type: request, method: PUT, query: {type: object, required: [dry], properties: {dry: {type: boolean}}}}}
      message: {payload: {$ref: '#/components/schemas/order'}, headers: {type: object, required: [X-Key]}}
components: {schemas: {order: {type: object, required: [id, lines], properties: {id: {type: string}, lines: {type: array}}}}}
`
	shopThree = `{"asyncapi": "3.0.0", "defaultContentType": "application/vnd.shop+json",
"servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka"}, "here": {"host": "HOST", "pathname": "/v1", "protocol": "http"}},
"channels": {"orders": {"address": "/orders", "messages": {"order": {"payload": {"type": "object", "required": ["id"]}}}}},
"operations": {"createOrder": {"action": "receive", "channel": {"$ref": "#/channels/orders"}}}}
`
	shopDefinition = `document: {dsl: '1.0.3', namespace: shop, name: publish, version: VERSION}
use:
  secrets: [key]
  functions:
    publish:
      call: asyncapi
      with:
        document: {endpoint: 'ADDRESS'}
        CALLED
        message: {payload: PAYLOAD, headers: {X-Key: '${ $secrets.key }'}}
do:
- told: {call: publish, with: {id: '${ .id }', lines: [1]}, output: {as: '${ {first: .} }'}}
- again:
    input: {from: '${ . + {id: "refused", lines: []} }'}
    try: [{told: {call: publish, with: {id: '${ .id }', lines: '${ .lines }'}}}]
    catch:
      errors: {with: {type: https://serverlessworkflow.io/spec/1.0.0/errors/communication, status: 422}}
      do: [{caught: {set: {first: '${ .first }', then: '${ $error.status }'}}}]
`
)

// received is a request that the application got.
type received struct{ line, kind, key, body string }

// application takes orders, but for one that it refuses, and serves what describes it.
type application struct {
	mutex sync.Mutex
	got   []received
	keys  map[string]bool
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/two.yaml":
		fmt.Fprint(w, shopTwo)
		return
	case "/three.json":
		fmt.Fprint(w, strings.ReplaceAll(shopThree, "HOST", r.Host))
		return
	}
	text, err := io.ReadAll(r.Body)
	var order struct {
		ID string `json:"id"`
	}
	if err != nil || json.Unmarshal(text, &order) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.got = append(a.got, received{r.Method + " " + r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("X-Key"), string(text)})
	a.keys[r.Header.Get("Idempotency-Key")] = true
	if order.ID == "refused" {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"accepted":%q}`, order.ID)
}

// TestMessagesOfAsyncAPI runs orders that send messages to an application, through a real node and a real adapter: what describes it is
// fetched when the definition is deployed.
func TestMessagesOfAsyncAPI(t *testing.T) {
	t.Parallel()
	a := &application{keys: make(map[string]bool)}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	secrets := t.TempDir()
	if err := os.Mkdir(filepath.Join(secrets, "shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(secrets, "shop", "key"), []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, admin := freeAddress(t), freeAddress(t)
	_, out := startProcess(t, []string{childVariable + "=real"}, "dev", "--data", t.TempDir(), "--listen", listen, "--admin-listen", admin,
		"--adapter", "http="+os.Args[0]+" adapter http --allow 127.0.0.1 --secrets "+secrets)
	out.await(t, "ready: ", 1)
	f := &fake{t: t, environ: []string{"HOLDFAST_SERVER=" + listen, "HOLDFAST_ADMIN=" + admin}}
	for _, test := range []struct {
		version, document, called, payload string
		want                               []received
	}{
		{
			"2.0.0", "/two.yaml", "channel: 'orders/{id}'", "{id: '${ .id }', lines: '${ .lines }', dry: true}", []received{
				{"PUT /v1/orders/a%2Fb?dry=true", "application/json", "s3cret", `{"id":"a/b","lines":[1]}`},
				{"PUT /v1/orders/refused?dry=true", "application/json", "s3cret", `{"id":"refused","lines":[]}`},
			},
		},
		{
			"3.0.0", "/three.json", "operation: createOrder", "'${ . }'", []received{
				{"POST /v1/orders", "application/vnd.shop+json", "s3cret", `{"id":"a/b","lines":[1]}`},
				{"POST /v1/orders", "application/vnd.shop+json", "s3cret", `{"id":"refused","lines":[]}`},
			},
		},
	} {
		a.mutex.Lock()
		a.got = nil
		a.mutex.Unlock()
		text := strings.NewReplacer("VERSION", test.version, "ADDRESS", s.URL+test.document, "CALLED", test.called, "PAYLOAD", test.payload).
			Replace(shopDefinition)
		file := f.file("shop.yaml", text)
		if o := f.run("definition", "deploy", file); o.status != exitOK || o.stdout != "shop/publish:"+test.version+"\n" {
			t.Fatalf("%s: %+v", test.version, o) // that the adapter is not there yet is no more than a warning
		}
		f.stdin = `{"id": "a/b"}`
		o := f.run("order", "submit", "--definition", "shop/publish:"+test.version, "--id", "o-"+test.version, "--input", "-", "--wait")
		const want = `"first":{"accepted":"a/b"},"then":422`
		if o.status != exitOK || !strings.Contains(strings.Join(strings.Fields(o.stdout), ""), want) {
			t.Errorf("%s: %+v\n%s", test.version, o, out)
		}
		a.mutex.Lock()
		if got := fmt.Sprint(a.got); got != fmt.Sprint(test.want) {
			t.Errorf("%s: got %s\nwant %v", test.version, got, test.want)
		}
		a.mutex.Unlock()
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if len(a.keys) != 4 || a.keys[""] {
		t.Errorf("the idempotency keys are %v", a.keys)
	}
}
