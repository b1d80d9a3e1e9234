package pgserver

import "syscall"

// attributes are those of a process that ends with this one, as in a crash.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} }
