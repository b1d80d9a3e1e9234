package connections

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// hasGone tells whether a client says no more, though what it has said may not be read yet. Where that can't be told, it does not.
func hasGone(c net.Conn) bool {
	s, can := c.(syscall.Conn)
	if !can {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		asked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} //nolint:gosec // descriptors are small
		_, err := unix.Poll(asked, 0)
		gone = err == nil && asked[0].Revents != 0
	})
	return gone && err == nil
}
