package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The units of systemd run what there is, restart it always, and are valid, as far as systemd is there to tell.
func TestUnits(t *testing.T) {
	t.Parallel()
	const units = "../../deploy/systemd"
	for name, program := range map[string]string{
		"holdfast.service": "/usr/local/bin/holdfast", "holdfast-adapter@.service": "/usr/local/lib/holdfast/adapters/%i",
	} {
		text, err := os.ReadFile(filepath.Join(units, name))
		if err != nil {
			t.Fatal(err)
		}
		lines := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			lines[strings.TrimSpace(line)] = true
		}
		for _, want := range []string{"Type=notify", "Restart=always", "StartLimitIntervalSec=0", "WatchdogSec=4s", "LimitNOFILE=65536"} {
			if !lines[want] {
				t.Errorf("%s: no line %s", name, want)
			}
		}
		for line := range lines {
			command, ok := strings.CutPrefix(line, "ExecStart="+program)
			if !ok || name != "holdfast.service" {
				continue
			}
			help := (&fake{t: t}).run(append(strings.Fields(command), "--help")...)
			if help.status != exitOK || !strings.Contains(help.stdout, "Runs a node") {
				t.Errorf("%s runs holdfast%s: %+v", name, command, help)
			}
		}
		analyze, err := exec.LookPath("systemd-analyze")
		if err != nil {
			continue
		}
		file := filepath.Join(t.TempDir(), name)
		installed := strings.Replace(string(text), "ExecStart="+program, "ExecStart=/bin/true", 1) // verify looks for the program
		if err := os.WriteFile(file, []byte(installed), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
