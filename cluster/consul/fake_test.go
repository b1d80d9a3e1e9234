package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Consul that does what a test wants: it is agent and servers in one, within the bubble of a test.
type fake struct {
	conns chan net.Conn
	http  http.Server

	mu      sync.Mutex
	changed chan struct{} // closed at each change
	index   uint64
	agent   map[string]*api.AgentServiceRegistration // what the agent knows
	servers map[string]*service                      // what the servers know
	kv      map[string][]byte
	asked   []request // all requests, as they came
	// misbehaves may answer in place of the fake; true: it has.
	misbehaves func(w http.ResponseWriter, r *http.Request) bool
}

type service struct {
	definition    *api.AgentServiceRegistration
	status, notes string
	refreshed     time.Time
}

type request struct {
	*http.Request

	at   time.Time
	what string // method and path
}

// newFake starts one. It must be called within a bubble.
func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{
		conns: make(chan net.Conn), changed: make(chan struct{}), index: 10,
		agent: map[string]*api.AgentServiceRegistration{}, servers: map[string]*service{}, kv: map[string][]byte{},
	}
	f.http.Handler = http.HandlerFunc(f.serve)
	var serving sync.WaitGroup
	serving.Go(func() { _ = f.http.Serve(f) })
	t.Cleanup(func() {
		_ = f.http.Close()
		serving.Wait()
	})
	return f
}

// Accept, Addr and Close are those of a listener.
func (f *fake) Accept() (net.Conn, error) {
	c, ok := <-f.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (*fake) Addr() net.Addr { return &net.TCPAddr{} }

func (f *fake) Close() error {
	close(f.conns)
	return nil
}

func (f *fake) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case f.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// set changes how the fake behaves; nil: as it should.
func (f *fake) set(misbehaves func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.misbehaves = misbehaves
}

// change changes what the fake has.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.bump()
}

func (f *fake) bump() {
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

// requests returns those whose method and path begin with something, and forgets all.
func (f *fake) requests(prefix string) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return slices.DeleteFunc(asked, func(r request) bool { return !strings.HasPrefix(r.what, prefix) })
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	what := r.Method + " " + r.URL.Path
	f.mu.Lock()
	f.asked = append(f.asked, request{at: time.Now(), what: what, Request: r})
	misbehaves := f.misbehaves
	f.mu.Unlock()
	if misbehaves != nil && misbehaves(w, r) {
		return
	}
	after := func(prefix string) string { return strings.TrimPrefix(what, prefix) }
	switch {
	case what == "PUT /v1/agent/service/register":
		f.register(r)
	case strings.HasPrefix(what, "PUT /v1/agent/check/update/ttl:"):
		f.update(w, r, after("PUT /v1/agent/check/update/ttl:"))
	case strings.HasPrefix(what, "PUT /v1/agent/service/deregister/"):
		f.deregister(w, after("PUT /v1/agent/service/deregister/"))
	case what == "PUT /v1/catalog/deregister":
		var d api.CatalogDeregistration
		_ = json.NewDecoder(r.Body).Decode(&d)
		f.change(func() { delete(f.servers, d.ServiceID) })
	case strings.HasPrefix(what, "GET /v1/health/service/"):
		f.health(w, r)
	case strings.Contains(what, " /v1/kv/"):
		f.keyValue(w, r)
	default:
		http.Error(w, "what is "+what, http.StatusBadRequest)
	}
}

func (f *fake) register(r *http.Request) {
	var d api.AgentServiceRegistration
	_ = json.NewDecoder(r.Body).Decode(&d)
	f.change(func() {
		f.agent[d.ID] = &d
		f.servers[d.ID] = &service{definition: &d, status: d.Check.Status, refreshed: time.Now()}
	})
}

func (f *fake) update(w http.ResponseWriter, r *http.Request, id string) {
	var u struct{ Status, Output string }
	_ = json.NewDecoder(r.Body).Decode(&u) //nolint:musttag // the names are Consul's
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.agent[id] == nil {
		http.Error(w, "Unknown check", http.StatusNotFound)
		return
	}
	s := f.servers[id]
	if s == nil { // the agent thinks that the servers have it
		return
	}
	s.refreshed = time.Now()
	if s.status != u.Status || s.notes != u.Output {
		s.status, s.notes = u.Status, u.Output
		f.bump()
	}
}

func (f *fake) deregister(w http.ResponseWriter, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.agent[id] == nil {
		http.Error(w, "Unknown service ID", http.StatusNotFound)
		return
	}
	delete(f.agent, id)
	delete(f.servers, id)
	f.bump()
}

func (f *fake) health(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	longest, _ := time.ParseDuration(q.Get("wait"))
	timer := time.NewTimer(longest)
	defer timer.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for waiting := after > 0; waiting && f.index <= after; {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			waiting = false
		case <-r.Context().Done():
			waiting = false
		}
		f.mu.Lock()
	}
	entries := []api.ServiceEntry{}
	for id, s := range f.servers {
		if filter := q.Get("filter"); filter == "" || filter == `Service.ID == "`+id+`"` {
			entries = append(entries, api.ServiceEntry{
				Node:    &api.Node{Node: "agent1"},
				Service: &api.AgentService{ID: id, Meta: s.definition.Meta},
				Checks: api.HealthChecks{
					{CheckID: "serfHealth", Status: api.HealthPassing},
					{CheckID: s.definition.Check.CheckID, Status: s.status, Output: s.notes, ServiceID: id},
				},
			})
		}
	}
	answer(w, f.index, entries)
}

func answer(w http.ResponseWriter, index uint64, value any) {
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Consul-Knownleader", "true")
	w.Header().Set("X-Consul-Lastcontact", "7")
	_ = json.NewEncoder(w).Encode(value)
}

func (f *fake) keyValue(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/v1/kv/")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		f.kv[key] = b.Bytes()
	case http.MethodDelete:
		delete(f.kv, key)
	default:
		pairs := api.KVPairs{}
		for k, v := range f.kv {
			if strings.HasPrefix(k, key) {
				pairs = append(pairs, &api.KVPair{Key: k, Value: v})
			}
		}
		answer(w, f.index, pairs)
		return
	}
	_, _ = w.Write([]byte("true"))
}

// node is a member under test, and what it observed.
type node struct {
	*Membership

	mu       sync.Mutex
	observed map[Source][]Observation
	log      bytes.Buffer
}

const (
	self = messages.Incarnation("n1:7071/01990000-0000-7000-8000-000000000002")
	ttl  = 3 * time.Second
)

func announced() Announcement {
	return Announcement{
		Remoting: "n1:7071", Public: "n1:7070", Adapters: "n1:7072", Level: 3, Weight: 100, Version: "v1.2.3",
		Shards: []int{0, 1, 255},
	}
}

// join makes a member of the fake's cluster, which ends with the test.
func (f *fake) join(t *testing.T, changes ...func(*Config)) *node {
	t.Helper()
	n := &node{observed: map[Source][]Observation{}}
	c := Config{
		Self: self, Announcement: announced(), TTL: ttl, Random: func() float64 { return 0 }, dial: f.dial,
		Logger: slog.New(slog.NewTextHandler(n, nil)), Observe: n.observe,
	}
	for _, change := range changes {
		change(&c)
	}
	var err error
	if n.Membership, err = Join(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func (n *node) observe(o Observation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.observed[o.Source] = append(n.observed[o.Source], o)
}

func (n *node) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(line)
}

// took returns what was observed of a source since it was last asked for.
func (n *node) took(s Source) []Observation {
	n.mu.Lock()
	defer n.mu.Unlock()
	observed := n.observed[s]
	n.observed[s] = nil
	return observed
}

func (n *node) logged() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.String()
}

func last(t *testing.T, os []Observation) Observation {
	t.Helper()
	if len(os) == 0 {
		t.Fatal("nothing was observed")
	}
	return os[len(os)-1]
}

// pass lets time go by, and waits until nothing more happens at its end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// only has the fake misbehave for requests whose method and path begin with something.
func only(prefix string, do http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.Method+" "+r.URL.Path, prefix) {
			return false
		}
		do(w, r)
		return true
	}
}

func refuse(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
}

// hang answers when the client is gone, which a server notices once it has read the request.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	write(t, name, []byte(text))
	return name
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

var errRefused = errors.New("connection refused")
