//go:build unix && !linux

package pgserver

import "syscall"

// attributes are those of a process; that it ends with this one can't be had here.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
