//go:build !linux

package stage

// Filesystem can't tell on this system.
func Filesystem(string) (name string, memory bool, err error) { return "unknown", false, nil }
