package adapters

import (
	"errors"
	"flag"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// servers is an environment that names nodes.
func servers(said string) func(string) string {
	return func(name string) string { return map[string]string{ServerEnv: said}[name] }
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	for _, c := range []struct {
		name, args string
		env        func(string) string
		want       func(*Adapter, Config) bool
	}{
		{"defaults", "", none, func(a *Adapter, c Config) bool {
			return a.name == "hss" && len(c.Servers) == 0 && c.TLS == nil && c.DrainTimeout == 30*time.Second
		}},
		{"servers", "-server a:1,b:2 --server c:3", servers("d:4"), func(_ *Adapter, c Config) bool {
			return slices.Equal(c.Servers, []string{"a:1", "b:2", "c:3"})
		}},
		{
			"environment", "", servers("d:4, e:5"),
			func(_ *Adapter, c Config) bool { return slices.Equal(c.Servers, []string{"d:4", "e:5"}) },
		},
		{"name", "-name hlr", none, func(a *Adapter, _ Config) bool { return a.name == "hlr" }},
		{"TLS", "-tls", none, func(_ *Adapter, c Config) bool { return c.TLS != nil && *c.TLS == TLS{} }},
		{"files", "-ca a -cert b -key c", none, func(_ *Adapter, c Config) bool { return *c.TLS == TLS{CA: "a", Cert: "b", Key: "c"} }},
		{"name of all", "-server-name n", none, func(_ *Adapter, c Config) bool { return *c.TLS == TLS{ServerName: "n"} }},
		{
			"files of the environment", "-cert x", func(name string) string {
				return map[string]string{CAEnv: "a", CertEnv: "b", KeyEnv: "c", ServerNameEnv: "d"}[name]
			},
			func(_ *Adapter, c Config) bool { return *c.TLS == TLS{CA: "a", Cert: "x", Key: "c", ServerName: "d"} },
		},
		{
			"TLS of the environment", "", func(name string) string { return map[string]string{TLSEnv: "true"}[name] },
			func(_ *Adapter, c Config) bool { return c.TLS != nil && *c.TLS == TLS{} },
		},
		{
			"no TLS of the environment", "", func(name string) string { return map[string]string{TLSEnv: "false"}[name] },
			func(_ *Adapter, c Config) bool { return c.TLS == nil },
		},
		{"log", "-log-level debug -log-format json", none, func(_ *Adapter, c Config) bool {
			return c.Log.Enabled(t.Context(), slog.LevelDebug)
		}},
		{"drain", "-drain-timeout 5s", none, func(_ *Adapter, c Config) bool { return c.DrainTimeout == 5*time.Second }},
	} {
		var stderr strings.Builder
		a := New("hss")
		config, err := a.configure(strings.Fields(c.args), c.env, &stderr)
		if err != nil || !c.want(a, config) {
			t.Errorf("%s: %+v, %v, %s", c.name, config, err, stderr.String())
		}
	}
}

func TestWrongUsageIsExplained(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-server here":    "host:port is expected",
		"-server a:1,":    "host:port is expected",
		"-no-such":        "not defined",
		"more":            `unexpected argument "more"`,
		"-log-format xml": `log format "xml"`,
		"-log-level loud": "loud",
		"-drain-timeout":  "needs an argument",
	} {
		var stderr strings.Builder
		if code := New("hss").main(t.Context(), strings.Fields(args), func(string) string { return "" }, &stderr); code != exitUsage ||
			!strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s", args, code, stderr.String())
		}
	}
	var stderr strings.Builder
	if _, err := New("hss").configure(nil, servers("here"), &stderr); err == nil ||
		!strings.Contains(stderr.String(), ServerEnv) {
		t.Errorf("a wrong environment: %v, %s", err, stderr.String())
	}
	if _, err := New("hss").configure([]string{"-help"}, func(string) string { return "" }, &stderr); !errors.Is(err, flag.ErrHelp) ||
		!strings.Contains(stderr.String(), "drain-timeout") {
		t.Errorf("help: %v, %s", err, stderr.String())
	}
}

func TestWrongEnvironmentIsExplained(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	_, err := New("hss").configure(nil, func(name string) string { return map[string]string{TLSEnv: "maybe"}[name] }, &stderr)
	if err == nil || !strings.Contains(stderr.String(), `HOLDFAST_TLS: "maybe" is neither`) {
		t.Errorf("%v, %s", err, stderr.String())
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	r := newRateLimit(10, 3)
	for i, c := range []struct{ now, wait int64 }{{0, 0}, {0, 0}, {0, 0}, {0, 1e8}, {5e7, 5e7}, {1e8, 0}, {1e8, 1e8}, {1e10, 0}} {
		if wait := r.wait(c.now); wait != c.wait {
			t.Fatalf("step %d: wait %d, want %d", i, wait, c.wait)
		}
		if c.wait == 0 {
			r.take(c.now)
		}
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	b := &breaker{failures: 2, cooldown: 10}
	expect := func(now, wait int64) {
		t.Helper()
		if got := b.wait(now); got != wait {
			t.Fatalf("at %d: wait %d, want %d", now, got, wait)
		}
	}
	b.done(true, b.take(), 0)
	b.done(false, b.take(), 0) // in a row
	b.done(true, b.take(), 0)
	expect(1, 0)
	early, late := b.take(), b.take()
	b.done(true, early, 2)
	expect(2, 10)
	b.done(false, late, 3) // begun before it opened
	expect(3, 9)
	expect(12, 0)
	if !b.take() {
		t.Fatal("no trial")
	}
	expect(12, never)
	b.done(true, true, 13)
	expect(13, 10)
	b.done(false, b.take(), 23)
	expect(23, 0)
	if b.take() {
		t.Fatal("still a trial")
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	var q queue
	pushed, popped := 0, 0
	jobs := map[*job]int{}
	for _, n := range []int{3, -2, 20, -15, 100, -106} {
		for ; n > 0; n-- {
			j := &job{}
			jobs[j] = pushed
			q.push(j)
			pushed++
		}
		next := popped
		for j := range q.all() {
			if jobs[j] != next {
				t.Fatalf("job %d where %d is expected", jobs[j], next)
			}
			next++
		}
		for ; n < 0; n++ {
			if j := q.pop(); jobs[j] != popped {
				t.Fatalf("job %d popped in place of %d", jobs[j], popped)
			}
			popped++
		}
	}
	if q.len != 0 {
		t.Errorf("%d are left", q.len)
	}
}
