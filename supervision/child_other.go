//go:build unix && !linux

package supervision

import (
	"os/exec"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// wait waits until a child has ended, and kills what is left of its process group.
func wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	killGroup(cmd.Process.Pid)
	return err //nolint:wrapcheck // os/exec says it all
}
