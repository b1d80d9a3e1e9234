package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := stage.FreeAddresses(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return free[0]
}

// devRun is a dev under test.
type devRun struct {
	listen, admin  string
	stdout, stderr *screen
	stop           context.CancelFunc
	status         chan int
}

func startDev(t *testing.T, environ []string, args ...string) *devRun {
	t.Helper()
	d := &devRun{
		listen: freeAddress(t), admin: freeAddress(t), stdout: newScreen(), stderr: newScreen(), status: make(chan int, 1),
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.stop = cancel
	args = append([]string{
		"dev", "--data", t.TempDir(), "--listen", d.listen, "--admin-listen", d.admin,
		"--live-every", "5ms", "--live-timeout", "500ms", "--live-failures", "1",
	}, args...)
	go func() {
		d.status <- run(ctx, &app{stdout: d.stdout, stderr: d.stderr, environ: func() []string { return environ }, terminal: noTerminal}, args)
	}()
	t.Cleanup(cancel)
	return d
}

// child sets what makes the test binary a child. Such tests can't run beside others.
func child(t *testing.T, mode string) string {
	t.Helper()
	t.Setenv(childVariable, mode)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return executable
}

func TestDevRunsNodeAndAdapters(t *testing.T) { //nolint:paralleltest // it sets the environment
	executable := child(t, "yes")
	f := &fake{t: t}
	config := f.file("config.yaml", "log_level: warn\nadapters:\n  sms:\n    command: "+executable+" adapter --slow\n    env: {PLACE: there}\n")
	d := startDev(t, []string{"HOLDFAST_CONFIG=" + config}, "--adapter", "billing="+executable+` adapter "a b"`)
	d.stdout.await(t, "dev     | ready: orders at "+d.listen+", administration at http://"+d.admin+", data in /", 1)
	d.stdout.await(t, "adapters: billing sms http\n", 1)
	d.stdout.await(t, "http    | adapter [http --allow *,127.0.0.0/8,::1] of "+d.listen, 1)
	d.stdout.await(t, "sms     | adapter [--slow] of "+d.listen+" in there\n", 1)
	d.stdout.await(t, "billing | adapter [a b] of "+d.listen+" in \n", 1)
	d.stdout.await(t, "node    | node [--data ", 1)
	d.stdout.await(t, "--log-level warn --log-format text --config "+config+"]\n", 1)
	d.stderr.await(t, "billing | a log line\n", 1)

	// A node whose liveness hangs is started again, and tells so when it is ready.
	answer, err := http.Get("http://" + d.admin + "/stuck")
	if err == nil {
		err = answer.Body.Close()
	}
	if err != nil {
		t.Log(err) // it may be killed before it answers
	}
	d.stderr.await(t, "process makes no progress and is killed", 1)
	d.stdout.await(t, "ready: ", 2)

	d.stop()
	if status := <-d.status; status != 0 {
		t.Errorf("exit status %d", status)
	}
	lines := strings.Split(d.stdout.String(), "\n")
	node := slices.Index(lines, "node    | node stops")
	if sms, billing := slices.Index(lines, "sms     | adapter stops"), slices.Index(lines, "billing | adapter stops"); node < 0 ||
		sms < 0 || billing < 0 || node < sms || node < billing {
		t.Errorf("not stopped in order:\n%s", d.stdout)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestDevGivesUpOnANodeThatCantStart(t *testing.T) { //nolint:paralleltest // it sets the environment
	child(t, "broken")
	d := startDev(t, nil)
	if status := <-d.status; status != 1 {
		t.Errorf("exit status %d", status)
	}
	if got := strings.Count(d.stdout.String(), "node | broken: the disk is gone\n"); got != devStarts {
		t.Errorf("started %d times:\n%s", got, d.stdout)
	}
	d.stderr.await(t, "holdfast: the node has ended again and again without ever being ready", 1)
}

func TestDevUsage(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	f := &fake{t: t}
	for i, c := range []struct {
		config, args string
		status       int
		want         string
	}{
		{"", "--adapter x", 2, `--adapter "x" is not of the form NAME=COMMAND`},
		{"", "--adapter x=true --adapter x=true", 2, "--adapter x is given twice"},
		{"", "--adapter node=true", 2, "is neither dev nor node"},
		{"", "--adapter a.b=true", 2, "a name has 1 to 63"},
		{"", "--adapter x=", 2, "the command is missing"},
		{"", "--adapter x='", 2, "the quote ' is not closed"},
		{"", "--adapter x=/nonexistent/adapter", 2, `adapter "x": command: `},
		{"", "--listen 127.0.0.1", 2, `--listen "127.0.0.1" is not of the form host:port`},
		{"", "--live-failures 0", 2, "--live-failures 0 is less than 1"},
		{"", "--child-grace 0s", 2, "--child-grace 0s is not longer than 0"},
		{"", "--listen " + taken.Addr().String(), 1, "address already in use\nDoes another node run already?"},
		{"adapters: [a]", "", 2, "adapters is no section"},
		{"adapters: {x: {command: 'true', wrong: 1}}", "", 2, "adapters.x"},
		{"adapters: {x: 'true'}", "", 2, "adapters.x"},
	} {
		args := append([]string{"dev", "--listen", freeAddress(t), "--admin-listen", freeAddress(t)}, strings.Fields(c.args)...)
		if c.config != "" {
			args = append(args, "--config", f.file(fmt.Sprintf("%d.yaml", i), c.config))
		}
		if got := f.run(args...); got.status != c.status || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s %s: %+v\nwant %q", c.config, c.args, got, c.want)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"0.0.0.0:1": "127.0.0.1:1", ":1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "[::1]:1": "[::1]:1", "host:1": "host:1",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestSplitCommand(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"":                    nil,
		"  a  b\tc\n":         {"a", "b", "c"},
		`'a b' "c d" e\ f`:    {"a b", "c d", "e f"},
		`"a\"b\\c\n" 'd\' ""`: {`a"b\c\n`, `d\`, ""},
		`--x="1 2"'3'`:        {"--x=1 23"},
	} {
		if got, err := splitCommand(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`a "b`, `a 'b`, `a \`} {
		if got, err := splitCommand(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// FuzzSplitCommand quotes words in every way that there is: they must come back.
func FuzzSplitCommand(f *testing.F) {
	f.Add("a b", `c"d'\`, uint8(1))
	f.Fuzz(func(t *testing.T, one, two string, how uint8) {
		quote := func(word string, how uint8) string {
			switch {
			case how == 0 && !strings.Contains(word, "'"):
				return "'" + word + "'"
			case how == 1:
				return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
			}
			var b strings.Builder
			for _, r := range word {
				b.WriteString(`\` + string(r))
			}
			return b.String() + `""`
		}
		one, two = strings.ToValidUTF8(one, "?"), strings.ToValidUTF8(two, "?")
		line := quote(one, how%3) + " " + quote(two, how/3%3)
		if got, err := splitCommand(line); err != nil || !slices.Equal(got, []string{one, two}) {
			t.Fatalf("%q: %q %v", line, got, err)
		}
		if _, err := splitCommand(one); err != nil { // only unclosed quotes and a last backslash are wrong
			if !strings.ContainsAny(one, `'"\`) {
				t.Fatalf("%q: %v", one, err)
			}
		}
	})
}
