package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// startNode runs a node until the test ends, and has the commands use it.
func (f *fake) startNode(settings ...string) (listen, admin string) {
	f.t.Helper()
	listen, admin = freeAddress(f.t), freeAddress(f.t)
	f.environ = []string{"HOLDFAST_SERVER=" + listen, "HOLDFAST_ADMIN=" + admin}
	ctx, stop := context.WithCancel(f.t.Context())
	ended := make(chan outcome, 1)
	data := f.t.TempDir()
	args := append([]string{"node", "--data", data, "--listen", listen, "--admin-listen", admin}, settings...)
	go func() { ended <- f.runUntil(ctx, args...) }()
	f.t.Cleanup(func() {
		stop()
		if o := <-ended; o.status != exitOK {
			f.t.Errorf("the node ended with %d: %s", o.status, o.stderr)
		}
	})
	for ready := false; !ready; {
		answer, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			ready = answer.StatusCode == http.StatusOK
			_ = answer.Body.Close()
		}
		select {
		case o := <-ended:
			f.t.Fatalf("the node ended with %d: %s", o.status, o.stderr)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return listen, admin
}

// Whoever takes all connections of the public address does not lock the operators out.
func TestAdministrationIsNeverLockedOut(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	listen, admin := f.startNode("--max-connections", "3")
	for range 3 {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		// The node's first bytes tell that the connection was taken.
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if o := f.run("order", "list", "--timeout", "2s"); o.status == exitOK {
		t.Errorf("a fourth connection is open: %+v", o)
	}
	file := f.file("d.yaml", "document: {dsl: '1.0.3', namespace: t, name: d, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n")
	for _, args := range []string{"definition deploy " + file, "definition list", "order list", "key show k"} {
		if !strings.HasPrefix(args, "key") {
			args += " --server " + admin
		}
		if o := f.run(strings.Fields(args)...); o.status != exitOK {
			t.Errorf("%s: %+v", args, o)
		}
	}
	o := f.run("order", "submit", "--definition", "t/d:1.0.0", "--server", admin)
	if o.status != exitError || !strings.Contains(o.stderr, "orders are not submitted to the administration") {
		t.Errorf("submit: %+v", o)
	}
	metrics, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = metrics.Body.Close() }()
	text, err := io.ReadAll(metrics.Body)
	if err != nil || !strings.Contains(string(text), "holdfast_connections_refused_total ") ||
		strings.Contains(string(text), "holdfast_connections_refused_total 0\n") {
		t.Errorf("no connection was refused, by the metrics: %v", err)
	}
}

// What injects faults is not in a binary that was built without the tag for it.
func TestNoFaultsCanBeInjected(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	_, admin := f.startNode()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		request, err := http.NewRequest(method, "http://"+admin+"/faults?point=journal&do=panic&times=1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s /faults: %s", method, answer.Status)
		}
	}
}

func TestDescriptors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ limit, wanted, files, connections int }{
		{1 << 20, 10_000, 1000, 10_000},
		{4096, 10_000, 1000, 2896},
		{1024, 10_000, 512, 312},
		{1024, 100, 512, 100},
		{200, 100, 100, 1},
	} {
		if files, connections := descriptors(c.limit, c.wanted); files != c.files || connections != c.connections {
			t.Errorf("of %d descriptors the journal gets %d and connections %d of %d, want %d and %d",
				c.limit, files, connections, c.wanted, c.files, c.connections)
		}
	}
}
