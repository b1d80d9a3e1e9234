//go:build !linux

package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

func withWholeLogs(fs vfs.FS) vfs.FS { return fs }
