package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asTelecom makes the test binary behave as the telecom command, so that tests run real processes.
const asTelecom = "HOLDFAST_TEST_AS_TELECOM"

func TestMain(m *testing.M) {
	if os.Getenv(asTelecom) != "" {
		os.Exit(run(os.Args[1:]))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

func telecom(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), asTelecom+"=1")
	return c
}

// running is a downstream process.
type running struct {
	url, log string
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	exited   chan struct{}
}

// startDownstream starts a downstream process and waits until it listens.
func startDownstream(t *testing.T, name, log string, flags ...string) *running {
	t.Helper()
	r := &running{log: log, exited: make(chan struct{})}
	r.cmd = telecom(t.Context(), t, append([]string{"downstream", name, "--log", log}, flags...)...)
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		defer close(r.exited)
		_ = r.cmd.Wait()
	}()
	if err != nil {
		<-r.exited
		t.Fatalf("downstream did not start: %v: %s", err, r.stderr.String())
	}
	r.url = strings.TrimSpace(line)
	return r
}

func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	<-r.exited
}

// terminate ends the process as an operator would.
func (r *running) terminate(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM: %s", code, r.stderr.String())
	}
}

var caller = &http.Client{Timeout: 30 * time.Second}

// send makes one request, and returns the status and body of the answer; status 0 if none came.
func (r *running) send(t *testing.T, operation, key, args string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/"+operation, strings.NewReader(args))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set(headerKey, key)
	q.Header.Set(headerOrder, "order-"+key)
	return answer(caller.Do(q)) //nolint:bodyclose // answer closes it
}

func (r *running) control(t *testing.T, change string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.url+"/control", strings.NewReader(change))
	if err != nil {
		t.Fatal(err)
	}
	return answer(caller.Do(q)) //nolint:bodyclose // answer closes it
}

func answer(resp *http.Response, err error) (int, string) {
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// entries reads the log.
func (r *running) entries(t *testing.T) (found []entry) {
	t.Helper()
	b, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		found = append(found, e)
	}
	return found
}

// outcomes tells how each key fared, in runs of the same outcome.
func (r *running) outcomes(t *testing.T) map[string]string {
	t.Helper()
	byKey := map[string][]string{}
	for _, e := range r.entries(t) {
		byKey[e.Key] = append(byKey[e.Key], e.Outcome)
	}
	found := map[string]string{}
	for key, outcomes := range byKey {
		var runs []string
		for i, n := 0, 0; i < len(outcomes); i++ {
			if n++; i == len(outcomes)-1 || outcomes[i+1] != outcomes[i] {
				runs = append(runs, fmt.Sprint(n, " ", outcomes[i]))
				n = 0
			}
		}
		found[key] = strings.Join(runs, ", ")
	}
	return found
}

func logFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "downstream.jsonl")
}

func subscriberArgs(msisdn string) string {
	return fmt.Sprintf(`{"imsi":"262011234567890","msisdn":%q}`, msisdn)
}
