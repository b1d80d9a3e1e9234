package pebble

import (
	"fmt"
	"path"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// wholeLogs gives logs their whole length when they are made. What the engine preallocates by itself lies beyond the end
// of a file, so that each sync of a new log has to write the file's length as well.
type wholeLogs struct{ vfs.FS }

func withWholeLogs(fs vfs.FS) vfs.FS { return wholeLogs{fs} }

// Unwrap implements vfs.FS.
func (w wholeLogs) Unwrap() vfs.FS { return w.FS }

// Create implements vfs.FS.
func (w wholeLogs) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	if err != nil || path.Ext(name) != ".log" || f.Fd() == vfs.InvalidFd {
		return f, err //nolint:wrapcheck // it stands for what it wraps
	}
	return wholeLog{f}, nil
}

type wholeLog struct{ vfs.File }

// Preallocate implements vfs.File.
func (l wholeLog) Preallocate(offset, length int64) error {
	if err := syscall.Fallocate(int(l.Fd()), 0, offset, length); err != nil {
		return fmt.Errorf("preallocate: %w", err)
	}
	return nil
}
