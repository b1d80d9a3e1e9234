package load

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestRunFails: when a process ends, the run fails with its name, and leaves nothing behind.
func TestRunFails(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	_, err = Run(t.Context(), Config{Holdfast: program, Workload: W3, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "process node ended: exit status 1") &&
		!strings.Contains(err.Error(), "nothing there is durable") {
		t.Errorf("the run ends with %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind: %v", left, err)
	}
}
