package supervision

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// child is a process that was started.
type child struct {
	pid     int
	process *os.Process
	exited  chan error // gets one value
}

// start starts a command. A goroutine of its own stays on the thread that starts it until the process has ended, because
// the system signals the death of a parent when the parent's thread ends, not only when the whole process does.
func start(cmd *exec.Cmd) (*child, error) {
	started := make(chan error, 1)
	exited := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr = attributes()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		exited <- wait(cmd)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return &child{pid: cmd.Process.Pid, process: cmd.Process, exited: exited}, nil
}

// signal signals the process, if it is still there.
func (c *child) signal(s os.Signal) { _ = c.process.Signal(s) }

// kill ends the process, and waits until it is gone.
func (c *child) kill() error {
	c.signal(syscall.SIGKILL)
	if err := <-c.exited; err != nil {
		return err
	}
	return errors.New("exit status 0") // it ended before the signal came
}

// killGroup kills what is left of a process group.
func killGroup(pgid int) { _ = syscall.Kill(-pgid, syscall.SIGKILL) }
