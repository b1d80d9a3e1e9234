package supervision

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// wait waits until a child has ended, and kills what is left of its process group before it reaps it: until then its id
// can't name another group.
func wait(cmd *exec.Cmd) error {
	pid := cmd.Process.Pid
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			killGroup(pid)
		}
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return cmd.Wait() //nolint:wrapcheck // os/exec says it all
}
