//go:build !linux

package runtime

import "time"

var processStarted = time.Now() //nolint:gochecknoglobals // a constant of the process

// threadTime is the time that has passed: at least as much as a thread has used.
func threadTime() time.Duration { return time.Since(processStarted) }

// threadsWaited is not told.
func threadsWaited() time.Duration { return 0 }
