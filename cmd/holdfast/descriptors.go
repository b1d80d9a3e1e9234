package main

import (
	"fmt"
	"math"
	"syscall"
)

// How a node's file descriptors are shared out: the journal's tables get what they need, up to half; administration, logs
// and the like have a reserve; the rest is for connections to the public address.
const (
	journalFiles = 1000
	reserveFiles = 200
	// fewestConnections is the least number of public connections with which a node starts: for some adapters and some clients.
	fewestConnections = 16
)

// descriptors shares out what the process may have, and tells if that is less than was wanted.
func (n *node) descriptors() (files, connections int, err error) {
	limit, wanted := openFiles(), n.config.Gateway.WithDefaults().Connections
	files, connections, err = descriptors(limit, wanted)
	if err == nil && connections < wanted {
		n.log.Warn("there are fewer connections than wanted, for lack of file descriptors: raise the limit (ulimit -n, LimitNOFILE)",
			"max_connections", connections, "wanted", wanted, "file_descriptors", limit, "needed", journalFiles+reserveFiles+wanted)
	}
	return files, connections, err
}

// descriptors returns how many files the journal may keep open, and how many public connections there may be, in a process
// that may have so many descriptors and wants so many connections. With too few it is no use to start.
func descriptors(limit, wanted int) (files, connections int, err error) {
	files = min(journalFiles, limit/2)
	connections = min(wanted, limit-files-reserveFiles)
	if least := min(wanted, fewestConnections); connections < least {
		return 0, 0, fmt.Errorf("the process may open %d files, which is too few: raise the limit (ulimit -n, LimitNOFILE) to %d at least, "+
			"or to %d for %d connections", limit, 2*(reserveFiles+least)-1, journalFiles+reserveFiles+wanted, wanted)
	}
	return files, connections, nil
}

// openFiles is how many files the process may have open.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return journalFiles
	}
	return int(min(limit.Cur, math.MaxInt32))
}
