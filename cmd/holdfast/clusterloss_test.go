package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/client/shown"
)

// A batch that nobody can bring back was confirmed to a node that is gone. The node that is left is started anew, and can't start: all the same
// it shows what is lacking, and goes on once that is accepted.
func TestLossIsAcceptedBeforeTheNodeHasStarted(t *testing.T) { //nolint:paralleltest // it sets the environment
	c := startCluster(t, 1)
	n, f := c.Nodes[0], &fake{t: t, environ: []string{"HOLDFAST_ADMIN=" + c.Nodes[0].Admin}}
	if o := f.run("cluster", "accept-loss"); o.status != exitOK || !strings.Contains(o.stdout, "no server that takes writes lacks anything") {
		t.Errorf("nothing lacks: %+v", o)
	}
	publish := func(who, value string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			"http://"+c.Consul.Address+"/v1/kv/holdfast/watermarks/"+who, strings.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("Consul answers %s, %v", answer.Status, err)
		}
	}
	publish("gone/0", `{"shards":[{"generation":0,"batches":[0,4711]}]}`)
	if err := n.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		why := n.Unready(t.Context())
		if why != nil && strings.Contains(why.Error(), "the node is starting") && strings.Contains(why.Error(), "lane 0 of gone/0 has made batch 4711") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the node is not kept from starting: %v", why)
		}
	}
	if o := f.run("cluster", "shards"); o.status != exitError || !strings.Contains(o.stderr, "503") {
		t.Errorf("what else is asked of a node that starts: %+v", o)
	}
	lacking := func() (servers []shown.JournalServer) {
		t.Helper()
		if o := f.run("cluster", "accept-loss", "-o", "json"); o.status != exitOK || json.Unmarshal([]byte(o.stdout), &servers) != nil {
			t.Fatalf("what is lacking: %+v", o)
		}
		return servers
	}
	servers := lacking()
	if len(servers) != 1 || len(servers[0].Unreadable) != 0 || len(servers[0].Lost) != 1 || servers[0].Confirm == "" ||
		servers[0].Lost[0] != (shown.LostBatches{Incarnation: "gone/0", Confirmed: 4711}) {
		t.Fatalf("the servers are %+v", servers)
	}
	publish("damaged/0", "garbage") // what the word does not stand for
	for _, other := range []string{"other", servers[0].Confirm} {
		o := f.run("cluster", "accept-loss", "--confirm", other)
		if o.status != exitError || !strings.Contains(o.stderr, "no server lacks just what was shown") {
			t.Errorf("another word: %+v", o)
		}
	}
	if servers = lacking(); len(servers) != 1 || !slices.Equal(servers[0].Unreadable, []string{"holdfast/watermarks/damaged/0"}) {
		t.Fatalf("with damage in Consul the servers are %+v", servers)
	}
	for range 2 { // as whoever has heard no answer
		if o := f.run("cluster", "accept-loss", "--confirm", servers[0].Confirm); o.status != exitOK || !strings.Contains(o.stdout, "generation 2 has begun") { // what is damaged may tell of one
			t.Fatalf("accepted: %+v", o)
		}
	}
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}
