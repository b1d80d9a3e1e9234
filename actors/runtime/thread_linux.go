package runtime

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is how much processor time this thread has used.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// ofThreads is a folder with one for each thread of this process.
const ofThreads = "/proc/self/task"

// threadsWaited is how long the threads that there are have waited for a processor, all together: the second number of each thread's file
// schedstat. It is 0 where the system does not tell.
func threadsWaited() (sum time.Duration) {
	all, err := os.ReadDir(ofThreads)
	if err != nil {
		return 0
	}
	for _, t := range all {
		raw, err := os.ReadFile(filepath.Join(ofThreads, t.Name(), "schedstat"))
		if err != nil { // the thread has just ended
			continue
		}
		if fields := bytes.Fields(raw); len(fields) > 1 {
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}
