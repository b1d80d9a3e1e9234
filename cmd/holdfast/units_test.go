package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const units = "../../deploy/systemd"

// readUnit reads the lines of a unit.
func readUnit(t *testing.T, name string) (text string, lines []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(units, name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return string(raw), lines
}

// valueOf is what a line of a unit says.
func valueOf(t *testing.T, lines []string, name string) string {
	t.Helper()
	for _, line := range lines {
		if value, found := strings.CutPrefix(line, name+"="); found {
			return value
		}
	}
	t.Fatalf("no line %s=", name)
	return ""
}

// The units of systemd run what there is, restart it always, give it the time that it needs to end, and keep it from the rest of the
// system; and they are valid, as far as systemd is there to tell.
func TestUnits(t *testing.T) {
	t.Parallel()
	const (
		drain  = 5 * time.Second  // the default of --drain-timeout, which holds for partitions, and again for calls
		finish = 30 * time.Second // that of an adapter
		ignore = 12 * time.Second // how long it waits for activities that ignore their end, and for its streams
	)
	for name, c := range map[string]struct {
		program string
		least   time.Duration // to end in good order
	}{
		"holdfast.service":          {"/usr/local/bin/holdfast", 2*drain + 20*time.Second}, // the journal is closed, Consul told
		"holdfast-adapter@.service": {"/usr/local/lib/holdfast/adapters/%i", finish + ignore},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, lines := readUnit(t, name)
			for _, want := range []string{
				"Type=notify", "Restart=always", "StartLimitIntervalSec=0", "WatchdogSec=4s", "LimitNOFILE=65536", "KillMode=mixed",
				"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "CapabilityBoundingSet=",
			} {
				if !slices.Contains(lines, want) {
					t.Errorf("no line %s", want)
				}
			}
			if within, err := time.ParseDuration(valueOf(t, lines, "TimeoutStopSec")); err != nil || within < c.least {
				t.Errorf("it has %v to end, and needs %v (%v)", within, c.least, err)
			}
			if command := valueOf(t, lines, "ExecStart"); !strings.HasPrefix(command, c.program) {
				t.Errorf("it runs %s", command)
			}
			verifyUnit(t, name, strings.Replace(text, "ExecStart="+c.program, "ExecStart=/bin/true", 1)) // it looks for the program
		})
	}
}

// verifyUnit has systemd check a unit.
func verifyUnit(t *testing.T, name, text string) {
	t.Helper()
	t.Run("verify", func(t *testing.T) {
		t.Parallel()
		analyze, err := exec.LookPath("systemd-analyze")
		if err != nil {
			t.Skip("systemd-analyze, which checks units, is not installed here")
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// The command of the node's unit is one that there is, and the configuration beside it is one that a node takes, as it stands and with all
// that is commented out.
func TestUnitOfTheNode(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	_, lines := readUnit(t, "holdfast.service")
	command := strings.Fields(valueOf(t, lines, "ExecStart"))[1:]
	if help := f.run(append(command, "--help")...); help.status != exitOK || !strings.Contains(help.stdout, "Runs a node") {
		t.Errorf("%v: %+v", command, help)
	}
	text, _ := readUnit(t, "holdfast.yaml")
	var all strings.Builder
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if setting, found := strings.CutPrefix(line, "# "); found && strings.Contains(setting, ": ") && !strings.Contains(setting, ": e") &&
			!strings.ContainsRune(strings.Split(setting, ":")[0], ' ') {
			line = setting
		}
		key, _, isSetting := strings.Cut(line, ":")
		if strings.HasPrefix(line, "#") || !isSetting || seen[key] { // what is commented out comes first
			continue
		}
		seen[key] = true
		all.WriteString(line)
	}
	if len(seen) < 15 {
		t.Errorf("only %d settings were found:\n%s", len(seen), all.String())
	}
	for name, file := range map[string]string{"as it stands": filepath.Join(units, "holdfast.yaml"), "all of it": f.file("all.yaml", all.String())} {
		got := f.run("node", "--data", t.TempDir(), "--config", file, "--memory", "1MiB")
		want := fmt.Sprintf("holdfast: --memory is 1MiB, and must be at least %s, or 0 for the default\n", textSize(int64(leastMemory)))
		if got.status != exitUsage || !strings.HasPrefix(got.stderr, want+"Run ") {
			t.Errorf("%s: %+v, want only %q", name, got, want)
		}
	}
}
