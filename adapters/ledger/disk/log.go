package disk

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/holdfast-run/holdfast/adapters/ledger"
)

// The log is written anew when it has grown by as much as it had when that was done last, and at least by this, in bytes.
const minGrowth = 16 << 20

var errClosed = errors.New("the ledger is closed")

// Log is an open folder. Its methods are safe for concurrent use.
type Log struct {
	dir     string
	adapter string
	id      string
	lock    *os.File
	file    *os.File      // the writer's
	failed  chan error    // cap 1
	ended   chan struct{} // closed when the writer has ended

	mu       sync.Mutex
	work     sync.Cond // there is something to do for the writer
	progress sync.Cond // the writer got on, or failed
	queue    []batch   // what is appended and not written: its bytes are bounded by whoever appends, see Pending
	pending  int       // records that are not written
	appended uint64    // records, since the folder was opened
	durable  uint64    // of these
	awaited  uint64    // up to which record somebody waits
	size     int64     // of the file
	base     int64     // its size when it was written anew last
	renewing bool      // it is to be written anew
	closed   bool
	err      error
}

// batch is what the writer does in one step.
type batch struct {
	records []ledger.Record
	anew    bool // the records take the place of all before
}

// ID is the ledger's.
func (l *Log) ID() string { return l.id }

// Failed gets the error that ended the writing, once.
func (l *Log) Failed() <-chan error { return l.failed }

// Append adds records, and returns a number to Wait for. They are not to be changed any more.
func (l *Log) Append(records []ledger.Record) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(batch{records: records})
	return l.appended
}

// Renew has the log written anew, with these records in place of all that were appended before.
func (l *Log) Renew(records []ledger.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewing = true
	l.put(batch{records: records, anew: true})
}

func (l *Log) put(b batch) {
	if l.err != nil || l.closed {
		return
	}
	l.appended += uint64(len(b.records))
	l.pending += len(b.records)
	l.queue = append(l.queue, b)
	l.work.Signal()
}

// Wait waits until everything up to a number is durable, or can't become so.
func (l *Log) Wait(upTo uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if upTo > l.awaited {
		l.awaited = upTo
		l.work.Signal()
	}
	for l.durable < upTo && l.err == nil {
		l.progress.Wait()
	}
	if l.durable >= upTo {
		return nil
	}
	return l.err
}

// Pending is how many records are not written yet.
func (l *Log) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}

// Grown tells whether the log may consist mostly of records that are of no use any more, so that it is time for Renew.
func (l *Log) Grown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.renewing && l.size-l.base > max(l.base, minGrowth)
}

// Close makes everything durable, and lets go of the folder.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.work.Signal()
	l.mu.Unlock()
	<-l.ended
	var err error
	select {
	case err = <-l.failed: // and nobody was told
	default:
		if l.err == nil {
			err = l.harden()
		}
	}
	l.mu.Lock()
	l.err = cmp.Or(l.err, errClosed)
	l.progress.Broadcast()
	l.mu.Unlock()
	if err := errors.Join(err, l.file.Close(), dropLock(l.lock)); err != nil {
		return fmt.Errorf("close the ledger %s: %w", l.dir, err)
	}
	return nil
}

// write is the writer: it takes what has gathered, writes it, and makes it durable if somebody waits for that.
func (l *Log) write() {
	defer close(l.ended)
	for {
		batches, upTo, sync := l.take()
		if len(batches) == 0 && !sync {
			return
		}
		err := l.carryOut(batches)
		if err == nil && sync {
			err = l.harden()
		}
		if !l.carriedOut(batches, upTo, sync, err) {
			return
		}
	}
}

// take waits until there is something to do: batches to write, or somebody to wait for what was written. There is neither
// when the log is closed.
func (l *Log) take() (batches []batch, upTo uint64, sync bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && l.awaited <= l.durable && !l.closed {
		l.work.Wait()
	}
	batches, l.queue = l.queue, nil
	return batches, l.appended, l.awaited > l.durable
}

// carriedOut tells those who wait what came of a step; false if it was the last one.
func (l *Log) carriedOut(batches []batch, upTo uint64, sync bool, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.progress.Broadcast()
	if err != nil {
		if p, ok := errors.AsType[*os.PathError](err); ok {
			err = p.Err // the file may have had another name when it was opened
		}
		l.err = fmt.Errorf("write the ledger %s: %w", l.dir, err)
		l.failed <- l.err
		l.queue = nil
		return false
	}
	for _, b := range batches {
		l.pending -= len(b.records)
		l.renewing = l.renewing && !b.anew
	}
	if sync {
		l.durable = upTo
	}
	return true
}

// carryOut writes batches.
func (l *Log) carryOut(batches []batch) error {
	var buf []byte
	for _, b := range batches {
		if b.anew {
			buf = nil // what was appended before is in it
			if err := l.replace(b.records); err != nil {
				return err
			}
			continue
		}
		for _, r := range b.records {
			var err error
			if buf, err = frameRecord(buf, r); err != nil {
				return err
			}
		}
	}
	n, err := l.file.Write(buf)
	l.grew(int64(n))
	return err //nolint:wrapcheck // carriedOut does
}

func (l *Log) grew(by int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size += by
}

// harden makes what was written durable, and marks that.
func (l *Log) harden() error {
	size, err := harden(l.file, l.size)
	l.grew(size - l.size)
	return err
}

// harden makes durable the so many bytes that a file has, and appends a mark that says so. The mark need not be durable: it only tells
// damage from what was being written when the machine failed.
func harden(file *os.File, size int64) (grown int64, err error) {
	if err := file.Sync(); err != nil {
		return size, err //nolint:wrapcheck // the caller knows the file
	}
	n, err := file.Write(frameMark(size))
	return size + int64(n), err //nolint:wrapcheck // as above
}

// replace writes a log with some records, and has it take the place of the old one, once it is whole and durable.
func (l *Log) replace(records []ledger.Record) error {
	path := filepath.Join(l.dir, newName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	size, err := fill(file, l.id, l.adapter, records)
	if err == nil {
		size, err = harden(file, size)
	}
	if err == nil {
		err = os.Rename(path, filepath.Join(l.dir, logName))
	}
	if err != nil {
		_, _ = file.Close(), os.Remove(path) // the old log stays as it is
		return err                           //nolint:wrapcheck // carriedOut does
	}
	if err := syncDir(l.dir); err != nil {
		return errors.Join(err, file.Close())
	}
	if l.file != nil {
		_ = l.file.Close() // nobody reads it any more
	}
	l.file = file
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size, l.base = size, size
	return nil
}

// fill writes a whole log.
func fill(file *os.File, id, adapter string, records []ledger.Record) (size int64, err error) {
	const chunk = 1 << 20
	buf, err := frameOpening(id, adapter)
	for i := 0; err == nil; i++ {
		if len(buf) > chunk || i == len(records) {
			var n int
			n, err = file.Write(buf)
			size, buf = size+int64(n), buf[:0]
		}
		if err != nil || i == len(records) {
			return size, err //nolint:wrapcheck // carriedOut does
		}
		buf, err = frameRecord(buf, records[i])
	}
	return size, err
}

// syncDir makes the names of files durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
