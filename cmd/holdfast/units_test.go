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

		requests = 10 * time.Second // the --drain-timeout of events by HTTP
	)
	for name, c := range map[string]struct {
		program string
		least   time.Duration // to end in good order
	}{
		"holdfast.service":            {"/usr/local/bin/holdfast", 2*drain + 20*time.Second}, // the journal is closed, Consul told
		"holdfast-adapter@.service":   {"/usr/local/lib/holdfast/adapters/%i", finish + ignore},
		"holdfast-event-http.service": {"/usr/local/bin/holdfast", requests + time.Second},
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

// The commands of units are ones that there are, and the configurations beside them are taken, as they stand and with all that is commented
// out.
func TestUnitsOfCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit, file, help string
		settings         int
		// wrong are settings with which it does not start, and why is all that is wrong then.
		wrong []string
		why   string
	}{
		{
			"holdfast.service", "holdfast.yaml", "Runs a node", 15,
			[]string{"--data", t.TempDir(), "--memory", "1MiB"},
			fmt.Sprintf("--memory is 1MiB, and must be at least %s, or 0 for the default", textSize(int64(leastMemory))),
		},
		{
			"holdfast-event-http.service", "event-http.yaml", "Takes CloudEvents by HTTP", 7,
			[]string{"--max-headers", "1KiB"},
			"--max-headers is 1KiB, and must be at least 16KiB",
		},
	} {
		t.Run(c.unit, func(t *testing.T) {
			t.Parallel()
			f := &fake{t: t}
			_, lines := readUnit(t, c.unit)
			words := strings.Fields(valueOf(t, lines, "ExecStart"))[1:]
			if help := f.run(append(words, "--help")...); help.status != exitOK || !strings.Contains(help.stdout, c.help) {
				t.Errorf("%v: %+v", words, help)
			}
			command := words[:slices.Index(words, "--config")]
			for name, file := range map[string]string{
				"as it stands": filepath.Join(units, c.file), "all of it": f.file("all.yaml", allSettings(t, c.file, c.settings)),
			} {
				got := f.run(slices.Concat(command, []string{"--config", file}, c.wrong)...)
				if got.status != exitUsage || !strings.HasPrefix(got.stderr, "holdfast: "+c.why+"\nRun ") {
					t.Errorf("%s: %+v, want only %q", name, got, c.why)
				}
			}
		})
	}
}

// allSettings are those of a configuration, with those that are commented out in place of those that are not.
func allSettings(t *testing.T, name string, least int) string {
	t.Helper()
	text, _ := readUnit(t, name)
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
	if len(seen) < least {
		t.Errorf("only %d settings were found:\n%s", len(seen), all.String())
	}
	return all.String()
}
