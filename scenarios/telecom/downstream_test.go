package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
)

func TestDownstreamAppliesAKeyOnce(t *testing.T) {
	t.Parallel()
	d := startDownstream(t, "hss", logFile(t))
	status, first := d.send(t, "createSubscriber", "k1", subscriberArgs("+4915112345678"))
	if status != http.StatusOK || !strings.Contains(first, `"subscriberId":"SUB-`) {
		t.Fatalf("%d %s", status, first)
	}
	if status, second := d.send(t, "createSubscriber", "k1", subscriberArgs("+4915112345678")); status != http.StatusOK || second != first {
		t.Errorf("a repeated key is answered %d %s, the first time %s", status, second, first)
	}
	if _, other := d.send(t, "createSubscriber", "k2", subscriberArgs("+4915112345678")); other == first {
		t.Errorf("another key has the same answer %s", other)
	}
	if got := d.outcomes(t); got["k1"] != "1 applied, 1 repeated" || got["k2"] != "1 applied" {
		t.Errorf("log has %v", got)
	}
	for _, e := range d.entries(t) {
		if e.Order != "order-"+e.Key || e.Activity != "hss.createSubscriber" || e.At.IsZero() {
			t.Errorf("log has %+v", e)
		}
	}
	d.terminate(t)
}

func TestDownstreamRefuses(t *testing.T) {
	t.Parallel()
	d := startDownstream(t, "hss", logFile(t), "--refuse", "+1666", "--unavailable", "+1503=2")
	for _, tt := range []struct {
		operation, key, args string
		status               int
		mention              string
	}{
		{"createSubscriber", "blacklisted", subscriberArgs("+1666"), 422, "hss refuses +1666"},
		{"createSubscriber", "flaky", subscriberArgs("+1503"), 503, "nothing changed"},
		{"createSubscriber", "flaky", subscriberArgs("+1503"), 503, "nothing changed"},
		{"createSubscriber", "flaky", subscriberArgs("+1503"), 200, "SUB-"},
		{"createSubscriber", "empty", `{"imsi":"1"}`, 422, "must not be empty: msisdn"},
		{"createSubscriber", "foreign", `{"colour":"red"}`, 422, "colour"},
		{"createSubscriber", "text", `no json`, 422, "do not fit"},
		{"createSubscriber", "", subscriberArgs("+1"), 400, "Idempotency-Key"},
		{"bake", "k", subscriberArgs("+1"), 404, "hss does not offer bake"},
		{"createSubscriber", "huge", `{"imsi":"` + strings.Repeat("1", maxBody) + `"}`, 400, "too large"},
	} {
		if status, body := d.send(t, tt.operation, tt.key, tt.args); status != tt.status || !strings.Contains(body, tt.mention) {
			t.Errorf("%s %q: got %d %s, want %d and a mention of %q", tt.operation, tt.key, status, body, tt.status, tt.mention)
		}
	}
	got := d.outcomes(t)
	if got["blacklisted"] != "1 refused" || got["flaky"] != "2 refused, 1 applied" || got["empty"] != "1 refused" {
		t.Errorf("log has %v", got)
	}
}

func TestDownstreamLosesAnswers(t *testing.T) {
	t.Parallel()
	d := startDownstream(t, "hss", logFile(t), "--lose", "+1=1")
	if status, body := d.send(t, "createSubscriber", "k", subscriberArgs("+1")); status != 0 {
		t.Fatalf("answered %d %s", status, body)
	}
	if status, body := d.send(t, "createSubscriber", "k", subscriberArgs("+1")); status != http.StatusOK {
		t.Fatalf("answered %d %s", status, body)
	}
	if got := d.outcomes(t)["k"]; got != "1 applied, 1 repeated" {
		t.Errorf("log has %q", got)
	}
}

func TestDownstreamControl(t *testing.T) {
	t.Parallel()
	d := startDownstream(t, "sms", logFile(t), "--latency", "7ms", "--refuse", "+1666", "--outage", "1h")
	text := `{"to":"+1","text":"hello"}`
	if status, _ := d.send(t, "send", "k", text); status != http.StatusServiceUnavailable {
		t.Errorf("status %d during an outage", status)
	}
	if status, body := d.control(t, `{"outage_until":"2000-01-01T00:00:00Z","error_rate":1}`); status != http.StatusOK ||
		!strings.Contains(body, `"latency_ms":7`) || !strings.Contains(body, `"refuse":["+1666"]`) {
		t.Errorf("what is not named must stay: %d %s", status, body)
	}
	if status, _ := d.send(t, "send", "k", text); status != http.StatusServiceUnavailable {
		t.Errorf("status %d with an error rate of 1", status)
	}
	for change, mention := range map[string]string{
		`{"error_rate":2}`: "expected 0 to 1", `{"latency_ms":-1}`: "expected milliseconds", `{"latency":1}`: "latency",
		`{"error_rate":0,"slow":{"+1":-5}}`: "slow", `nonsense`: "invalid",
	} {
		if status, body := d.control(t, change); status != http.StatusBadRequest || !strings.Contains(body, mention) {
			t.Errorf("%s: got %d %s, want a mention of %q", change, status, body, mention)
		}
	}
	d.control(t, `{"error_rate":0,"refuse":[],"lose_rate":1}`)
	if status, _ := d.send(t, "send", "k", text); status != 0 {
		t.Errorf("status %d with every answer lost", status)
	}
	d.control(t, `{"lose_rate":0}`)
	if status, body := d.send(t, "send", "k2", `{"to":"+1666","text":"hello"}`); status != http.StatusOK {
		t.Errorf("got %d %s", status, body)
	}
	if got := d.outcomes(t)["k"]; got != "2 refused, 1 applied, 1 repeated" {
		t.Errorf("log has %q", got)
	}
}

// TestDownstreamKilled kills the process again and again while requests are under way. What was answered must be in the
// log, and nothing may be applied twice.
func TestDownstreamKilled(t *testing.T) {
	t.Parallel()
	const rounds, workers = 3, 8
	log := logFile(t)
	answered := map[string]bool{}
	for round := range rounds {
		d := startDownstream(t, "hss", log, "--jitter", "2ms")
		var mu sync.Mutex
		var all sync.WaitGroup
		enough := make(chan struct{})
		for w := range workers {
			all.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprintf("%d-%d-%d", round, w, i)
					if status, _ := d.send(t, "createSubscriber", key, subscriberArgs("+1")); status != http.StatusOK {
						return
					}
					mu.Lock()
					if answered[key] = true; i == 20 && w == 0 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		d.kill()
		all.Wait()
	}
	d := startDownstream(t, "hss", log)
	outcomes := d.outcomes(t)
	for key := range answered {
		if outcomes[key] != "1 applied" {
			t.Errorf("%s was answered, and its log is %q", key, outcomes[key])
		}
	}
	for key, outcome := range outcomes {
		if outcome != "1 applied" {
			t.Errorf("%s: %s", key, outcome)
		}
		d.send(t, "createSubscriber", key, subscriberArgs("+1"))
	}
	for key, outcome := range d.outcomes(t) {
		if outcome != "1 applied, 1 repeated" {
			t.Errorf("%s after the last restart: %s", key, outcome)
		}
	}
}

func TestDownstreamLog(t *testing.T) {
	t.Parallel()
	log := logFile(t)
	whole := `{"at":"2026-01-01T00:00:00Z","key":"k","order":"o","activity":"hss.createSubscriber","outcome":"applied"}` + "\n"
	if err := os.WriteFile(log, []byte(whole+whole[:40]), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDownstream(t, "hss", log)
	d.send(t, "createSubscriber", "k", subscriberArgs("+1"))
	if got := d.outcomes(t)["k"]; got != "1 applied, 1 repeated" {
		t.Errorf("after a torn line the log has %q", got)
	}
	out, err := telecom(t.Context(), t, "downstream", "hss", "--log", log).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another process writes it") {
		t.Errorf("a second process on the same log: %v: %s", err, out)
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, []byte("nonsense\n"+whole), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = telecom(t.Context(), t, "downstream", "hss", "--log", damaged).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "line 1") {
		t.Errorf("a damaged log: %v: %s", err, out)
	}
}

func TestDownstreamFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flags   []string
		mention string
	}{
		{[]string{"downstream", "fax", "--log", logFile(t)}, `"fax"`},
		{[]string{"downstream", "hss"}, `"log"`},
		{[]string{"downstream", "hss", "--log", logFile(t), "--error-rate", "2"}, "expected 0 to 1"},
		{[]string{"downstream", "hss", "--log", logFile(t), "--slow", "a=b"}, "--slow a=b"},
		{[]string{"downstream", "hss", "--log", logFile(t), "--listen", "0.0.0.0:0"}, "loopback"},
	} {
		out, err := telecom(t.Context(), t, tt.flags...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), tt.mention) {
			t.Errorf("%v: %v: %s", tt.flags, err, out)
		}
	}
}

// TestCheckNoticesDuplicates runs the same requests, with lost answers and so repetitions, against a downstream that
// deduplicates and one that does not: the checker must tell them apart.
func TestCheckNoticesDuplicates(t *testing.T) {
	t.Parallel()
	for _, dedup := range []bool{true, false} {
		t.Run(fmt.Sprintf("dedup=%t", dedup), func(t *testing.T) {
			t.Parallel()
			flags := []string{"--lose-rate", "0.5"}
			if !dedup {
				flags = append(flags, "--no-dedup")
			}
			d := startDownstream(t, "hss", logFile(t), flags...)
			var histories bytes.Buffer
			for i := range 30 {
				key := fmt.Sprint("k", i)
				version := 0
				event := func(kind orderv1.EventType) {
					version++
					fmt.Fprintf(&histories, `{"order":"order-%s","version":%d,"type":%q,"key":%q}`+"\n", key, version, eventtype.Name(kind), key)
				}
				event(eventtype.AttemptScheduled)
				for {
					status, _ := d.send(t, "createSubscriber", key, subscriberArgs("+1"))
					if status == http.StatusOK {
						break
					}
					event(eventtype.AttemptFailed)
					event(eventtype.AttemptScheduled)
				}
				event(eventtype.AttemptSucceeded)
			}
			file := filepath.Join(t.TempDir(), "histories.jsonl")
			if err := os.WriteFile(file, histories.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := telecom(t.Context(), t, "check", "--downstream-log", d.log, "--histories", file, "-o", "json").Output()
			var r checker.Report
			if jsonErr := json.Unmarshal(out, &r); jsonErr != nil {
				t.Fatalf("%v: %s", jsonErr, out)
			}
			if dedup && (err != nil || !r.Pass || r.Repeated == 0 || r.Applied != 30) {
				t.Errorf("with deduplication: %v: %+v", err, r)
			}
			if !dedup && (err == nil || r.Pass || r.Duplicated == 0 || r.Duplicated != r.Applied-30) {
				t.Errorf("without deduplication: %v: %+v", err, r)
			}
		})
	}
}
