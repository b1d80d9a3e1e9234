package pebble

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system through which a journal writes. It decides what becomes of an operation that fails, so that the
// engine, which would try it again or panic, need not:
//
//   - After an fsync that failed nobody knows what the disk holds. It ends the process, whichever file it was of.
//   - So does anything else that fails, but for the writing of a table: what is in it is in the log or in other tables,
//     too, and the engine writes another one. It would do so at once, again and again; it is told after a while only.
//     And for want of room for a new HOLDFAST: the one that there is stays true.
//   - What fails elsewhere than in the journal's directory, such as in the folder of a backup, is an error and nothing else.
//   - Once the store can't go on nothing is changed any more, by nobody: whoever does not know yet could take for written
//     what is not, and remove what it was made from.
type disk struct {
	vfs.FS

	j *Journal
}

// Unwrap implements vfs.FS.
func (d disk) Unwrap() vfs.FS { return d.FS }

// own tells whether a file is the journal's.
func (d disk) own(name string) bool {
	dir := path.Clean(d.j.cfg.Dir)
	return path.Clean(name) == dir || path.Dir(path.Clean(name)) == dir
}

// change changes something, unless the store can't go on. The errors of the operating system name what failed.
func (d disk) change(name string, do func() error) error {
	if !d.own(name) {
		return do()
	}
	table := path.Ext(name) == ".sst"
	err := d.halt()
	if err == nil {
		err = do()
		spared := table || path.Base(name) == sealName+newSuffix && vfs.IsNoSpaceError(err)
		if err != nil && !spared {
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

// sync is change for what makes durable. Its errors may be bare numbers. The manifest is synced by the engine and for a note:
// one of them must know that the other one has failed.
func (d disk) sync(name string, do func() error) error {
	if isManifest(name) {
		d.j.manifests.Lock()
		defer d.j.manifests.Unlock()
	}
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
	if !d.own(name) {
		return open()
	}
	err = d.change(name, func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	file := diskFile{File: f, disk: d, name: name}
	if _, isLog := logNumber(path.Base(name)); isLog {
		file.log = d.j.logs.begin(path.Base(name))
	}
	return file, nil
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
	d.j.logs.forget(path.Base(oldName))
	return d.make(name, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldName, name, c) })
}

// OpenDir implements vfs.FS. Directories are opened to be synced.
func (d disk) OpenDir(name string) (vfs.File, error) {
	return d.make(name, func() (vfs.File, error) { return d.FS.OpenDir(name) })
}

// Open implements vfs.FS. A manifest that is read may be synced.
func (d disk) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, options...)
	if err != nil || !isManifest(name) || !d.own(name) {
		return f, err //nolint:wrapcheck // it stands for what it wraps
	}
	return diskFile{File: f, disk: d, name: name}, nil
}

func isManifest(name string) bool { return strings.HasPrefix(path.Base(name), "MANIFEST-") }

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
	if !d.own(name) {
		return d.FS.Remove(name) //nolint:wrapcheck // it stands for what it wraps
	}
	if err := d.halt(); err != nil {
		return err
	}
	d.j.logs.forget(path.Base(name))
	return d.FS.Remove(name) //nolint:wrapcheck // it stands for what it wraps
}

// RemoveAll implements vfs.FS.
func (d disk) RemoveAll(name string) error {
	if !d.own(name) {
		return d.FS.RemoveAll(name) //nolint:wrapcheck // it stands for what it wraps
	}
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
	log  *logWrites // nil if it is no log
}

// Write implements vfs.File.
func (f diskFile) Write(b []byte) (n int, err error) {
	err = f.disk.change(f.name, func() error {
		n, err = f.File.Write(b)
		return whole(n, b, err)
	})
	if f.log != nil {
		f.log.written.Add(int64(n))
	}
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
func (f diskFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f diskFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f diskFile) sync(do func() error) error {
	if f.log == nil {
		return f.disk.sync(f.name, do)
	}
	length := f.log.written.Load()
	err := f.disk.sync(f.name, do)
	if err == nil {
		f.log.durable.Store(length)
	}
	return err
}

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

// logs are the logs that were begun since the journal was opened and are still there: one for each table in memory, and
// those that the engine keeps to use them again.
type logs struct {
	mu  sync.Mutex
	all []*logWrites
}

// logWrites counts the bytes of a log, from its beginning on: the engine only appends.
type logWrites struct {
	name             string
	written, durable atomic.Int64
}

func (l *logs) begin(name string) *logWrites {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := &logWrites{name: name}
	l.all = append(l.all, log)
	return log
}

func (l *logs) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(log *logWrites) bool { return log.name == name })
}

// ends tells how far each log is durable, those left out of which nothing is: not even their names need be.
func (l *logs) ends() (ends []logEnd) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, log := range l.all {
		if length := log.durable.Load(); length > 0 {
			ends = append(ends, logEnd{log.name, length})
		}
	}
	return ends
}
