package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/scenarios/attack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadReports(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "reports")
	var text bytes.Buffer
	for _, r := range []attack.Report{
		{Attack: "a", Did: 2, Refused: map[string]int64{"x": 1, "y": 2}}, {Attack: "b", Did: 1}, {Attack: "a", Did: 3, Refused: map[string]int64{"x": 4}},
	} {
		if err := json.NewEncoder(&text).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(name, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := attack.ReadReports(name)
	if err != nil || got["a"].Did != 5 || got["a"].Refusals("x") != 5 || got["a"].Refusals("x", "y", "z") != 7 || got["b"].Refusals("x") != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRunIsToldWhat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   []string
		exit   int
		is     bool
		stderr string
	}{
		{nil, 0, false, ""},
		{[]string{"sleeper"}, 0, false, ""},
		{[]string{attack.Attacker, "-attack", "nothing"}, 2, true, `no attack "nothing"`},
		{[]string{attack.Attacker, "-nothing"}, 2, true, "not defined"},
		{[]string{attack.Attacker, "-attack", attack.Burn, "-report", t.TempDir()}, 1, true, "directory"},
	} {
		var stderr bytes.Buffer
		exit, is := attack.Run(context.Background(), tt.args, &stderr)
		if exit != tt.exit || is != tt.is || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%q: %d, %v, %s", tt.args, exit, is, &stderr)
		}
	}
}

// A node that closes every connection ends no attack; what it did is counted.
func TestAttacksGoOn(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			if n == 20 {
				stop()
			}
		}
	}()
	report := filepath.Join(t.TempDir(), "reports")
	var stderr bytes.Buffer
	exit, _ := attack.Run(ctx, []string{
		attack.Attacker, "-attack", attack.Streams + "," + attack.Resets + "," + attack.HalfOpen, "-server", l.Addr().String(),
		"-admin", l.Addr().String(), "-report", report,
	}, &stderr)
	_ = l.Close()
	<-closed
	got, err := attack.ReadReports(report)
	if exit != 0 || err != nil || len(got) != 3 {
		t.Fatalf("%d: %v, %v: %s", exit, got, err, &stderr)
	}
	refused := int64(0)
	for _, r := range got {
		refused += r.Refusals("closed")
	}
	if refused == 0 {
		t.Errorf("nothing counts as refused: %v", got)
	}
}
