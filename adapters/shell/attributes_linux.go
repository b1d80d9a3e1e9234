package shell

import "syscall"

// attributes has a process be the first of a group, and end with the thread that has started it.
func attributes(o *owner) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: o.credential()}
}
