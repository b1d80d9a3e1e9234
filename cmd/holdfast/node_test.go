package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
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
		// Whoever has not begun to speak, or has no call, would make room.
		frames, err := attack.NewFrames(c)
		if err == nil {
			_, err = frames.Call(orderv1.OrderService_SubmitStream_FullMethodName, http2.FlagHeadersEndHeaders)
		}
		for taken := false; err == nil && !taken; { // the node has answered the call
			var frame http2.Frame
			frame, err = frames.ReadFrame()
			_, taken = frame.(*http2.MetaHeadersFrame)
		}
		if err != nil {
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
		{431, 10_000, 215, 16},
		{401, 1, 200, 1},
	} {
		if files, connections, err := descriptors(c.limit, c.wanted); files != c.files || connections != c.connections || err != nil {
			t.Errorf("of %d descriptors the journal gets %d and connections %d of %d, want %d and %d: %v",
				c.limit, files, connections, c.wanted, c.files, c.connections, err)
		}
	}
	for _, c := range []struct{ limit, wanted, least int }{{430, 10_000, 431}, {256, 10_000, 431}, {400, 1, 401}} {
		want := fmt.Sprintf("too few: raise the limit (ulimit -n, LimitNOFILE) to %d at least, or to %d for", c.least, 1200+c.wanted)
		if _, _, err := descriptors(c.limit, c.wanted); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %d descriptors for %d connections: %v, want %q", c.limit, c.wanted, err, want)
		}
	}
}

// A node that gets fewer file descriptors than it needs says so, with the figure; with too few it does not start.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]string{
		"256":  "holdfast: node: the process may open 256 files, which is too few",
		"1024": "max_connections=312 wanted=10000 file_descriptors=1024 needed=11200",
	} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			out := newScreen()
			cmd := exec.Command("sh", "-c", "ulimit -n "+limit+` && exec "$0" "$@"`, os.Args[0],
				"node", "--data", t.TempDir(), "--listen", freeAddress(t), "--admin-listen", freeAddress(t), "--max-connections", "10000")
			cmd.Env = append(os.Environ(), childVariable+"=real")
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			out.await(t, want, 1)
		})
	}
}

// A page in a browser whose name leads to this machine does not get to see what the administration shows; and nobody gets
// profiles, unless they were asked for.
func TestAdministrationPages(t *testing.T) {
	t.Parallel()
	f, profiled := &fake{t: t}, &fake{t: t}
	_, admin := f.startNode()
	_, profiles := profiled.startNode("--profiles")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		at, host, path string
		status         int
	}{
		{admin, "", "/livez", 200},
		{admin, "localhost:1", "/metrics", 200},
		{admin, "evil.example", "/livez", 421},
		{admin, "evil.example", "/readyz", 421},
		{admin, "evil.example", "/metrics", 421},
		{admin, "", "/debug/pprof/", 404},
		{admin, "", "/debug/pprof/cmdline", 404},
		{profiles, "", "/debug/pprof/cmdline", 200},
		{profiles, "evil.example", "/debug/pprof/cmdline", 421},
	} {
		request, err := http.NewRequest(http.MethodGet, "http://"+c.at+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = c.host
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != c.status {
			t.Errorf("%s for %q: %s, want %d", c.path, c.host, answer.Status, c.status)
		}
	}
}
