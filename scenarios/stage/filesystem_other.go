//go:build !linux

package stage

import "errors"

// Filesystem can't tell on this system.
func Filesystem(string) (name string, memory bool, err error) { return "unknown", false, nil }

// Free can't tell on this system.
func Free(string) (int64, error) { return 0, errors.ErrUnsupported }
