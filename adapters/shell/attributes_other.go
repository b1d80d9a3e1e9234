//go:build !linux

package shell

import "syscall"

// attributes has a process be the first of a group.
func attributes(o *owner) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: o.credential()}
}
