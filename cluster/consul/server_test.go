package consul

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// program is where Consul is. It takes minutes to build, so that a test does not.
func program(t *testing.T) string {
	t.Helper()
	found := os.Getenv("HOLDFAST_TEST_CONSUL")
	if found == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		built, err := filepath.Glob(filepath.Join(cache, "holdfast", "consul-*", "consul"))
		if err != nil || len(built) == 0 {
			t.Skip("SKIPPED: membership is not tested with a real Consul: make test-cluster builds one")
		}
		found = built[0]
	}
	if _, err := os.Stat(found); err != nil {
		t.Skipf("SKIPPED: membership is not tested with a real Consul: %v: make test-cluster builds it", err)
	}
	return found
}

// server is a Consul of one's own: one process, agent and server, at free ports of this host.
type server struct {
	program, dir         string
	client, raft, gossip int
	settings             []string
	process              *exec.Cmd
}

func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	s := &server{program: program(t), dir: t.TempDir(), settings: settings}
	for _, port := range []*int{&s.client, &s.raft, &s.gossip} {
		*port = freePort(t)
	}
	s.start(t, "data")
	t.Cleanup(func() {
		s.kill()
		if !t.Failed() {
			return
		}
		if log, err := os.ReadFile(filepath.Join(s.dir, "log")); err == nil {
			t.Logf("Consul says\n%s", log)
		}
	})
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                     //nolint:errcheck // it has served its turn
	return l.Addr().(*net.TCPAddr).Port //nolint:errcheck // it is one
}

// start starts the process with what it has in a directory, and waits until it has a leader.
func (s *server) start(t *testing.T, data string) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the process has its own
	args := []string{
		"agent", "-server", "-bootstrap-expect=1", "-node=agent1", "-disable-host-node-id", "-log-level=warn",
		"-data-dir=" + filepath.Join(s.dir, data), "-bind=127.0.0.1", "-client=127.0.0.1",
		"-hcl=performance { raft_multiplier = 1 }", "-hcl=disable_update_check = true",
		fmt.Sprintf("-hcl=ports { http = %d server = %d serf_lan = %d serf_wan = -1 dns = -1 grpc = -1 grpc_tls = -1 }", s.client, s.raft, s.gossip),
	}
	for _, setting := range s.settings {
		args = append(args, "-hcl="+setting)
	}
	s.process = exec.Command(s.program, args...)
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		resp, err := client.Get(s.address() + "/v1/status/leader")
		if err == nil {
			text := make([]byte, 10)
			n, _ := resp.Body.Read(text)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK && n > len(`""`) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("Consul has no leader: %v", err)
		}
	}
}

func (s *server) address() string { return fmt.Sprintf("http://127.0.0.1:%d", s.client) }

// kill ends the process as a crash would.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// member is a node at a real Consul.
type member struct {
	*Membership

	observed chan Observation
}

func (s *server) join(t *testing.T, i messages.Incarnation, changes ...func(*Config)) *member {
	t.Helper()
	m := &member{observed: make(chan Observation, 1<<12)}
	c := Config{
		Addresses: []string{s.address()}, Self: i, Announcement: announced(), TTL: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Observe: func(o Observation) { m.observed <- o },
	}
	for _, change := range changes {
		change(&c)
	}
	var err error
	if m.Membership, err = Join(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// patience is how long a test waits for what must come, however slow the machine is. It is less than an agent takes to notice by itself
// that it differs from the servers.
const patience = 30 * time.Second

// sees waits until the member observes what a test wants, and returns that.
func (m *member) sees(t *testing.T, what string, want func(Observation) bool) Observation {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var latest Observation
	for {
		select {
		case latest = <-m.observed:
			if want(latest) {
				return latest
			}
		case <-timeout.C:
			t.Fatalf("the node does not see that %s; the latest is %+v", what, latest)
		}
	}
}

// states says of which incarnations an answer of the watch has which states.
func states(o Observation) map[messages.Incarnation]State {
	if o.Source != Watch || o.Failure != nil {
		return nil
	}
	m := map[messages.Incarnation]State{}
	for _, in := range o.Instances {
		m[in.Incarnation] = in.State
	}
	return m
}

// are waits for an answer of the watch that has these and no others.
func (m *member) are(t *testing.T, want map[messages.Incarnation]State) Observation {
	t.Helper()
	return m.sees(t, fmt.Sprint("the nodes are ", want), func(o Observation) bool { return reflect.DeepEqual(states(o), want) })
}

// proven waits for evidence that was asked for after a time.
func (m *member) proven(t *testing.T, after time.Time) {
	t.Helper()
	m.sees(t, "it passes", func(o Observation) bool {
		return o.Source == Evidence && len(o.Instances) == 1 && o.Instances[0].State == Passing && o.Sent.After(after)
	})
}

const a1, a2, b1 = messages.Incarnation("a:1/01"), messages.Incarnation("a:1/02"), messages.Incarnation("b:1/01")

// TestServer takes nodes through their lives, at a Consul that demands a token.
func TestServer(t *testing.T) {
	t.Parallel()
	const token = "5f3c1f5e-0d27-4f0e-8a55-2f6f0c0a0001"
	s := startServer(t, `acl { enabled = true default_policy = "deny" tokens { initial_management = "`+token+`" agent = "`+token+`" } }`)
	withToken := func(c *Config) { c.Token = token }
	stranger := s.join(t, "c:1/01", func(c *Config) { c.Token = "5f3c1f5e-0d27-4f0e-8a55-2f6f0c0a0002" })
	stranger.sees(t, "it is refused", func(o Observation) bool { return o.Failure != nil })
	stranger.Close()

	stops := make(chan struct{})
	a := s.join(t, a1, withToken, func(c *Config) {
		c.Renew = func() bool {
			select {
			case <-stops:
				return false
			default:
				return true
			}
		}
	})
	b := s.join(t, b1, withToken)
	both := map[messages.Incarnation]State{a1: Passing, b1: Passing}
	a.are(t, both)
	o := b.are(t, both)
	if o.Index == 0 || !o.KnownLeader || !reflect.DeepEqual(o.Instances[0].Announcement, announced()) || o.Instances[0].Agent != "agent1" {
		t.Errorf("observed %+v", o)
	}
	a.proven(t, time.Now())
	next := announced()
	next.Shards = []int{2}
	if err := b.Announce(next); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "the other reaches another shard", func(o Observation) bool {
		return len(o.Instances) == 2 && reflect.DeepEqual(o.Instances[1].Announcement, next) && o.Instances[1].State == Passing
	})
	marks, err := NewWatermarks(Config{
		Addresses: []string{s.address()}, Token: token, Announcement: announced(), TTL: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(marks.Close)
	want := map[messages.Incarnation]messages.Watermarks{a1: confirmed([]int64{1, 2}), b1: confirmed([]int64{3})}
	for who, w := range want {
		if err := marks.Publish(t.Context(), who, w); err != nil {
			t.Error(err)
		}
	}
	if got, err := marks.Published(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("published is %v, %v", got, err)
	}

	close(stops)
	o = b.are(t, map[messages.Incarnation]State{a1: Critical, b1: Passing})
	if o.Instances[0].Leaving {
		t.Errorf("after its last refresh the node is %+v", o.Instances[0])
	}
	a.Close()
	again := s.join(t, a2, withToken)
	b.are(t, map[messages.Incarnation]State{a2: Passing, b1: Passing}) // the older one is removed
	if err := marks.Forget(t.Context(), a1); err != nil {
		t.Error(err)
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	leaving := map[messages.Incarnation]State{a2: Passing, b1: Critical}
	again.sees(t, "the other leaves", func(o Observation) bool { return reflect.DeepEqual(states(o), leaving) && o.Instances[1].Leaving })
	again.are(t, map[messages.Incarnation]State{a2: Passing})
	if got, err := marks.Published(t.Context()); err != nil || len(got) != 1 || !reflect.DeepEqual(got[b1], want[b1]) {
		t.Errorf("published is %v, %v: what a node has published stays that leaves", got, err)
	}
}

// TestServerRestarted kills Consul. It comes back with what it had, or without.
func TestServerRestarted(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{"with its data": "data", "wiped": "empty"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			a, b := s.join(t, a1), s.join(t, b1)
			both := map[messages.Incarnation]State{a1: Passing, b1: Passing}
			a.are(t, both)
			b.are(t, both)
			s.kill()
			a.sees(t, "Consul is gone", func(o Observation) bool { return o.Source == Watch && o.Failure != nil })
			b.sees(t, "Consul is gone", func(o Observation) bool { return o.Source == Evidence && o.Failure != nil })
			s.start(t, data)
			begun := time.Now()
			a.proven(t, begun)
			b.are(t, both)
			t.Logf("passing again after %v", time.Since(begun))
		})
	}
}

// TestServerForgets has the servers, but not the agent, lose a node: the agent would not notice for a minute.
func TestServerForgets(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := s.join(t, a1)
	a.proven(t, time.Now())
	client := &http.Client{}
	defer client.CloseIdleConnections()
	put := func(path, body string) time.Time {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.address()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // it is empty
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("PUT %s: %s", path, resp.Status)
		}
		return time.Now()
	}
	for range 2 { // the first time, a new agent may compare all of its own accord
		// The check changes, and is as it was again: so the agent has told all of it, and has nothing more to tell later.
		a.proven(t, put("/v1/agent/check/update/"+url.PathEscape(checkID(a1)), `{"Status": "warning", "Output": "refreshed"}`))
		begun := put("/v1/catalog/deregister", `{"Node": "agent1", "ServiceID": "`+string(a1)+`"}`)
		a.sees(t, "it is lost", func(o Observation) bool { return o.Failure == nil && len(o.Instances) == 0 })
		a.proven(t, begun)
	}
}
