package pebble

import (
	"fmt"
	"io"
	"path"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system through which a journal writes. It decides what becomes of an operation that fails, so that the
// engine, which would try it again or panic, need not:
//
//   - After an fsync that failed nobody knows what the disk holds. It ends the process, whichever file it was of.
//   - So does anything else that fails, but for the writing of a table: what is in it is in the log or in other tables,
//     too, and the engine writes another one. It would do so at once, again and again; it is told after a while only.
//   - Once the store can't go on nothing is changed any more, by nobody: whoever does not know yet could take for written
//     what is not, and remove what it was made from.
type disk struct {
	vfs.FS

	j *Journal
}

// Unwrap implements vfs.FS.
func (d disk) Unwrap() vfs.FS { return d.FS }

// change changes something, unless the store can't go on. The errors of the operating system name what failed.
func (d disk) change(name string, do func() error) error {
	table := path.Ext(name) == ".sst"
	err := d.halt()
	if err == nil {
		if err = do(); err != nil && !table {
			d.j.fail(err)
		}
	}
	if err != nil && table {
		d.j.rest(err)
	}
	return err
}

// halt does not return once the store can't go on, unless Config.Fatal does.
func (d disk) halt() error {
	err := d.j.failed()
	if err != nil {
		d.j.cfg.Fatal(err)
	}
	return err
}

// sync is change for what makes durable. Its errors may be bare numbers.
func (d disk) sync(name string, do func() error) error {
	if err := d.halt(); err != nil {
		return err
	}
	err := do()
	if err != nil {
		d.j.fail(fmt.Errorf("sync %s: %w", name, err))
	}
	return err
}

// make is change for what opens a file to be written.
func (d disk) make(name string, open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.change(name, func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return diskFile{f, d, name}, nil
}

// Create implements vfs.FS.
func (d disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.make(name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

// OpenReadWrite implements vfs.FS.
func (d disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return d.make(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, options...) })
}

// ReuseForWrite implements vfs.FS.
func (d disk) ReuseForWrite(oldName, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.make(name, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldName, name, c) })
}

// OpenDir implements vfs.FS. Directories are opened to be synced.
func (d disk) OpenDir(name string) (vfs.File, error) {
	return d.make(name, func() (vfs.File, error) { return d.FS.OpenDir(name) })
}

// Link implements vfs.FS.
func (d disk) Link(oldName, name string) error {
	return d.change(name, func() error { return d.FS.Link(oldName, name) })
}

// Rename implements vfs.FS.
func (d disk) Rename(oldName, name string) error {
	return d.change(name, func() error { return d.FS.Rename(oldName, name) })
}

// Remove implements vfs.FS. What can't be removed is only in the way: the engine says so.
func (d disk) Remove(name string) error {
	if err := d.halt(); err != nil {
		return err
	}
	return d.FS.Remove(name) //nolint:wrapcheck // it stands for what it wraps
}

// RemoveAll implements vfs.FS.
func (d disk) RemoveAll(name string) error {
	if err := d.halt(); err != nil {
		return err
	}
	return d.FS.RemoveAll(name) //nolint:wrapcheck // it stands for what it wraps
}

// diskFile is a file that was opened to be written, or a directory.
type diskFile struct {
	vfs.File

	disk disk
	name string
}

// Write implements vfs.File.
func (f diskFile) Write(b []byte) (n int, err error) {
	err = f.disk.change(f.name, func() error {
		n, err = f.File.Write(b)
		return whole(n, b, err)
	})
	return n, err //nolint:wrapcheck // it stands for what it wraps
}

// WriteAt implements vfs.File.
func (f diskFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.disk.change(f.name, func() error {
		n, err = f.File.WriteAt(b, at)
		return whole(n, b, err)
	})
	return n, err //nolint:wrapcheck // it stands for what it wraps
}

// whole makes an error of a short write. The engine does not look at the length.
func whole(n int, b []byte, err error) error {
	if err == nil && n < len(b) {
		return io.ErrShortWrite
	}
	return err
}

// Sync implements vfs.File.
func (f diskFile) Sync() error { return f.disk.sync(f.name, f.File.Sync) }

// SyncData implements vfs.File.
func (f diskFile) SyncData() error { return f.disk.sync(f.name, f.File.SyncData) }

// SyncTo implements vfs.File. It begins to write; a failure of that may be told by no later sync.
func (f diskFile) SyncTo(length int64) (full bool, err error) {
	err = f.disk.sync(f.name, func() error {
		full, err = f.File.SyncTo(length)
		return err //nolint:wrapcheck // it stands for what it wraps
	})
	return full, err //nolint:wrapcheck // the same
}

// rest waits before a table is tried again that could not be written. Once the store can't go on, it waits until that is
// closed.
func (j *Journal) rest(err error) {
	select {
	case j.unwritten <- err:
	default:
	}
	var again <-chan time.Time
	if j.failed() == nil {
		t := time.NewTimer(j.cfg.FreeInterval)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-again:
	case <-j.stop:
	}
}
