package stage

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// filesystems are the names of file systems by their magic numbers.
var filesystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC:      "ext4", // or one of its elders
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	0x2fc12fc1:                 "zfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.V9FS_MAGIC:            "9p",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
}

// Filesystem names the file system that holds a folder, and tells whether that lives in memory only, where nothing is
// ever durable.
func Filesystem(dir string) (name string, memory bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", false, fmt.Errorf("file system of %s: %w", dir, err)
	}
	magic := int64(st.Type) & 0xffffffff //nolint:unconvert // its type differs between architectures
	name, known := filesystems[magic]
	if !known {
		name = fmt.Sprintf("0x%x", magic)
	}
	return name, name == "tmpfs" || name == "ramfs", nil
}

// Free tells how many bytes a process may still write to the file system that holds a folder.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("file system of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Frsize), nil //nolint:gosec,unconvert // sizes; their types differ between architectures
}
