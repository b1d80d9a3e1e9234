package consul

import (
	"context"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	aRefresh  = "PUT /v1/agent/check/update/"
	aRegister = "PUT /v1/agent/service/register"
	aRead     = "GET /v1/health/service/holdfast"
	anyKey    = "PUT /v1/kv/"
)

func TestKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		n := f.join(t, func(c *Config) { c.Meta, c.Tags = map[string]string{"rack": "7"}, []string{"blue"} })
		pass(30 * time.Second)
		for _, source := range []Source{Watch, Evidence} {
			o := last(t, n.took(source))
			if o.Failure != nil || len(o.Instances) != 1 || o.Index == 0 || !o.KnownLeader || o.LastContact != 7*time.Millisecond ||
				o.Received.Before(o.Sent) || time.Since(o.Received) > ttl || o.Fell {
				t.Fatalf("%v observed %+v", source, o)
			}
			want := Instance{
				Incarnation: self, Agent: "agent1", State: Passing, Announcement: announced(), Checks: []Check{
					{ID: "serfHealth", Status: "passing"}, {ID: checkID(self), Status: "passing", Output: "refreshed"},
				},
			}
			if got := o.Instances[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("%v has\n%+v, want\n%+v", source, got, want)
			}
		}
		asked := f.requests("")
		count := map[string]int{}
		for _, r := range asked {
			count[r.what]++
			if q := r.URL.Query(); r.what == aRead && !q.Has("consistent") {
				t.Errorf("%v is not consistent", r.URL)
			} else if wait, _ := time.ParseDuration(q.Get("wait")); wait+wait/16 > ttl {
				t.Errorf("a query waits %v, longer than the TTL", wait)
			}
		}
		if got := count[aRefresh+checkID(self)]; got < 30 || got > 32 {
			t.Errorf("%d refreshes in 30 s, want one a second", got)
		}
		if count[aRegister] != 1 {
			t.Errorf("%d registrations, want 1", count[aRegister])
		}
		// 40 for evidence, 10 or 11 of the watch, and a few at the start
		if got := count[aRead]; got < 50 || got > 56 {
			t.Errorf("%d reads in 30 s, want about 52", got)
		}
		d := f.agent[string(self)]
		if d.Meta["rack"] != "7" || !slices.Equal(d.Tags, []string{"blue"}) || d.Address != "n1" || d.Port != 7070 || d.Check.TTL != "3s" {
			t.Errorf("the service is %+v with the check %+v", d, d.Check)
		}
	})
}

func TestRegisteredAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]func(f *fake){
		"the agent has forgotten": func(f *fake) { clear(f.agent); clear(f.servers); f.index = 3 },
		"the servers have":        func(f *fake) { clear(f.servers); f.index = 3 },
		"the agent does not know the check, in other words": func(f *fake) {
			clear(f.servers)
			var once sync.Once
			f.misbehaves = only(aRefresh, func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "CheckID does not have associated TTL", http.StatusInternalServerError)
				once.Do(func() {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.index = 5
				})
			})
		},
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				n := f.join(t)
				pass(10 * time.Second)
				n.took(Watch)
				f.requests("")
				f.change(func() { lose(f) })
				pass(ttl)
				if got := len(f.requests(aRegister)); got == 0 || got > 4 {
					t.Errorf("registered %d times, want once or twice", got)
				}
				f.set(nil)
				pass(ttl)
				if o := last(t, n.took(Watch)); len(o.Instances) != 1 || o.Instances[0].State != Passing {
					t.Errorf("observed %+v", o)
				}
			})
		})
	}
}

func TestAnnounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		n := f.join(t)
		pass(10 * time.Second)
		next := announced()
		next.Shards, next.Weight = []int{1}, 0
		if err := n.Announce(next); err != nil {
			t.Fatal(err)
		}
		pass(leastGap)
		if o := last(t, n.took(Watch)); !reflect.DeepEqual(o.Instances[0].Announcement, next) {
			t.Errorf("observed %+v", o.Instances[0].Announcement)
		}
		if err := n.Announce(Announcement{}); err == nil {
			t.Error("what has no addresses is announced")
		}
	})
}

func TestNextAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var mu sync.Mutex
		gone := ""
		n := f.join(t, func(c *Config) {
			c.Addresses = []string{"a1:8500", "http://a2:8500"}
			c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				if address == gone {
					return nil, errRefused
				}
				return f.dial(ctx, network, address)
			}
		})
		pass(10 * time.Second)
		f.requests("")
		mu.Lock()
		gone = "a1:8500"
		mu.Unlock()
		f.http.SetKeepAlivesEnabled(false) // the connections there are end with the next request
		pass(5 * time.Second)
		asked := f.requests(aRegister)
		if len(asked) != 1 || asked[0].Host != "a2:8500" {
			t.Errorf("registered by %+v", asked)
		}
		for _, source := range []Source{Watch, Evidence} {
			if o := last(t, n.took(source)); o.Failure != nil || len(o.Instances) != 1 {
				t.Errorf("%v observed %+v", source, o)
			}
		}
	})
}

func TestRenewRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var mu sync.Mutex
		may := true
		f.join(t, func(c *Config) {
			c.Renew = func() bool {
				mu.Lock()
				defer mu.Unlock()
				return may
			}
		})
		pass(10 * time.Second)
		mu.Lock()
		may = false
		mu.Unlock()
		f.requests("")
		f.change(func() { clear(f.servers) })
		pass(10 * time.Second)
		if asked := f.requests("PUT"); len(asked) > 0 {
			t.Errorf("a node that may not go on asked %v", asked[0].what)
		}
	})
}

// What is confirmed is told, by when it was sent; and what is due at once is not waited for.
func TestHurry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		renewed := make(chan time.Time, 100)
		n := f.join(t, func(c *Config) { c.Renewed = func(sent time.Time) { renewed <- sent } })
		pass(10*time.Second + 100*time.Millisecond)
		if told := len(renewed); told < 10 || told > 12 { // it may be registered twice at first
			t.Errorf("%d refreshes were told of in 10 s, want one a second", told)
		}
		for len(renewed) > 0 {
			<-renewed
		}
		f.requests("")
		f.set(func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(50 * time.Millisecond) // it takes its time
			return false
		})
		began := time.Now()
		n.Hurry()
		n.Hurry()
		pass(150 * time.Millisecond)
		if sent := <-renewed; !sent.Equal(began) {
			t.Errorf("what is due was refreshed after %v", sent.Sub(began))
		}
		reads := f.requests(aRead)
		if i := slices.IndexFunc(reads, func(r request) bool { return !r.URL.Query().Has("index") }); i < 0 ||
			reads[i].at.Sub(began) != 50*time.Millisecond {
			t.Errorf("after the refresh there were %d reads, none of them evidence, or at another time", len(reads))
		}
	})
}

// All nodes are asked for at once where that is wanted, though the watch awaits a change; that is no failure.
func TestLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		failures := 0
		n := f.join(t, func(c *Config) {
			before := c.Observe
			c.Observe = func(o Observation) {
				if o.Failure != nil {
					failures++
				}
				before(o)
			}
		})
		pass(4 * time.Second)
		f.requests("")
		n.Look()
		pass(100 * time.Millisecond)
		looks := slices.DeleteFunc(f.requests(aRead), func(r request) bool { return r.URL.Query().Has("filter") })
		if len(looks) == 0 || looks[0].URL.Query().Get("index") != "" {
			t.Errorf("there were %d queries, want one that awaits nothing", len(looks))
		}
		if failures > 0 {
			t.Errorf("%d failures were told", failures)
		}
	})
}

func TestLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		other := f.join(t, func(c *Config) { c.Self = "n2/1" })
		n := f.join(t)
		pass(10 * time.Second)
		other.took(Watch)
		if err := n.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		states := []string{}
		for _, o := range other.took(Watch) {
			state := "gone"
			for _, in := range o.Instances {
				if in.Incarnation == self {
					if state = in.State.String(); in.Leaving {
						state += ", leaving"
					}
				}
			}
			states = append(states, state)
		}
		if got := strings.Join(slices.Compact(states), "; "); got != "critical, leaving; gone" {
			t.Errorf("another node saw: %s", got)
		}
		f.requests("")
		pass(10 * time.Second)
		for _, r := range f.requests("PUT") {
			if strings.Contains(r.URL.Path, string(self)) || r.what == aRegister {
				t.Errorf("after it left, the node asked %s", r.what)
			}
		}
		if o := last(t, n.took(Evidence)); o.Failure != nil || len(o.Instances) != 0 {
			t.Errorf("after it left, the node observed %+v", o)
		}
		if err := n.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		f.change(func() { clear(f.agent); clear(f.servers) })
		pass(ttl) // the other one is registered again
		if err := other.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLeaveUnregistered leaves when Consul does not know the node any more: that is no failure.
func TestLeaveUnregistered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		n := f.join(t)
		pass(time.Second)
		f.set(only(aRefresh, refuse(http.StatusNotFound, "Unknown check")))
		f.change(func() { clear(f.agent) })
		if err := n.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOlderIncarnations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		add := func(id, status string, known bool) {
			d := &api.AgentServiceRegistration{ID: id, Check: &api.AgentServiceCheck{CheckID: "ttl:" + id}}
			f.servers[id] = &service{definition: d, status: status}
			if known {
				f.agent[id] = d
			}
		}
		older := strings.Replace(string(self), "0199", "0198", 1)
		elsewhere := strings.Replace(string(self), "0199", "0197", 1)
		passing := strings.Replace(string(self), "0199", "0196", 1)
		newer := strings.Replace(string(self), "0199", "019a", 1)
		f.change(func() {
			add(older, "critical", true)
			add(elsewhere, "critical", false)
			add(passing, "passing", true)
			add(newer, "critical", true)
			add("n2:7071/01980000", "critical", true)
			add("no incarnation", "critical", true)
		})
		n := f.join(t)
		pass(removeGap + 2*ttl)
		have := []string{}
		f.mu.Lock()
		defer f.mu.Unlock()
		for id := range f.servers {
			have = append(have, id)
		}
		slices.Sort(have)
		want := []string{passing, string(self), newer, "n2:7071/01980000", "no incarnation"}
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("Consul has\n%q, want\n%q", have, want)
		}
		if o := last(t, n.took(Watch)); len(o.Instances) != 4 {
			t.Errorf("observed %+v", o.Instances)
		}
	})
}

// TestMoved has the node registered with an agent that it has left for another. Only what is there may be removed.
func TestMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set(watched(func(w http.ResponseWriter, _ *http.Request) {
			at := func(agent, status string) api.ServiceEntry {
				return api.ServiceEntry{
					Node: &api.Node{Node: agent}, Service: &api.AgentService{ID: string(self)},
					Checks: api.HealthChecks{{CheckID: checkID(self), Status: status}},
				}
			}
			answer(w, 7, []any{at("agent1", "passing"), at("agent2", "critical")})
		}))
		f.join(t)
		pass(ttl)
		var asked []string
		for _, r := range f.requests("PUT") {
			if strings.Contains(r.what, "/deregister") {
				asked = append(asked, r.what)
			}
		}
		if !slices.Equal(asked, []string{"PUT /v1/catalog/deregister"}) {
			t.Errorf("asked %q", asked)
		}
	})
}

func TestToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		file := writeFile(t, "secret-1\n")
		n := f.join(t, func(c *Config) { c.TokenFile = file })
		pass(10 * time.Second)
		for _, r := range f.requests("") {
			if got := r.Header.Get("X-Consul-Token"); got != "secret-1" {
				t.Fatalf("%s has the token %q", r.what, got)
			}
		}
		// The token is replaced, and what answers repeats it.
		write(t, file, []byte("secret-2"))
		f.set(func(w http.ResponseWriter, r *http.Request) bool {
			token := r.Header.Get("X-Consul-Token")
			if token != "secret-2" {
				http.Error(w, "what is "+token, http.StatusForbidden)
			}
			return token != "secret-2"
		})
		pass(2 * ttl)
		for _, source := range []Source{Watch, Evidence} {
			observed := n.took(source)
			for _, o := range observed {
				if o.Failure != nil && strings.Contains(o.Failure.Error(), "secret") {
					t.Errorf("failed with %v", o.Failure)
				}
			}
			if o := last(t, observed); o.Failure != nil {
				t.Errorf("%v observed %+v", source, o)
			}
		}
		if log := n.logged(); strings.Contains(log, "secret") || !strings.Contains(log, "what is ***") {
			t.Errorf("logged\n%s", log)
		}
	})
}
