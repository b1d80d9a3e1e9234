package disk

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/holdfast-run/holdfast/adapters/ledger"
)

// The files of a folder.
const (
	lockName = "LOCK"
	logName  = "ledger.log"
	newName  = "ledger.new" // is to take the place of the log; of no use when a process begins
)

// Open opens an adapter's folder, which it makes if need be, and calls replay for each record in it, in the order in which they were
// appended.
func Open(dir, adapter string, replay func(ledger.Record)) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the ledger's folder: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, adapter: adapter, lock: lock, failed: make(chan error, 1), ended: make(chan struct{})}
	l.work.L, l.progress.L = &l.mu, &l.mu
	if err := l.open(replay); err != nil {
		_ = dropLock(lock)
		return nil, err
	}
	go l.write()
	return l, nil
}

// takeLock locks the folder for this process.
func takeLock(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the ledger's folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer lock.Close() //nolint:errcheck // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the ledger's folder %s: %w", dir, err)
		}
		said, _ := io.ReadAll(io.LimitReader(lock, 20)) // for people: it may be missing
		return nil, fmt.Errorf("the ledger's folder %s is used by another process (%s): give each process a folder of its own",
			dir, strings.TrimSpace("pid "+string(said)))
	}
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // for people only
	}
	return lock, nil
}

// dropLock lets go of the folder. It says so, since closing the file is not enough: while a child process comes into being, it has a copy
// of all that is open.
func dropLock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

func (l *Log) open(replay func(ledger.Record)) error {
	path := filepath.Join(l.dir, logName)
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return l.create()
	case err != nil:
		return fmt.Errorf("open the ledger: %w", err)
	}
	if l.file, err = os.OpenFile(path, os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	if err = l.read(replay); err == nil {
		err = l.keep()
	}
	if err != nil {
		_ = l.file.Close()
	}
	return err
}

// keep makes durable what was found. A process that was killed may not have done that, and what it has begun is not written down
// again before it is executed; nor may the log be known by its name yet, if it was written anew.
func (l *Log) keep() error {
	if err := errors.Join(l.harden(), syncDir(l.dir)); err != nil {
		return fmt.Errorf("make what is in the ledger %s durable: %w", l.dir, err)
	}
	return nil
}

// create begins a log in an empty folder.
func (l *Log) create() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("look into the ledger's folder: %w", err)
	}
	if i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return e.Name() != lockName && e.Name() != newName }); i >= 0 {
		return fmt.Errorf("the ledger's folder %s holds no ledger, but %s: name an empty folder, or one that doesn't exist",
			l.dir, entries[i].Name())
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	l.id = hex.EncodeToString(id[:])
	return l.replace(nil)
}

// read replays the log, and removes what is not whole at its end.
func (l *Log) read(replay func(ledger.Record)) error {
	s := scanner{from: bufio.NewReaderSize(l.file, 1<<16)}
	body, err := s.next()
	if err == nil {
		text, ok := strings.CutPrefix(string(body[1:]), opening)
		id, adapter, named := strings.Cut(text, " ")
		if body[0] != kindOpening || !ok || !named {
			err = errors.New("it does not begin as a ledger of this version does")
		} else if adapter != l.adapter {
			return fmt.Errorf("the ledger's folder %s is that of the adapter %q: give each a folder of its own", l.dir, adapter)
		}
		l.id = id
	} else if errors.Is(err, io.EOF) {
		err = errCutOff
	}
	if err != nil {
		return l.damaged(0, err)
	}
	for err == nil {
		l.size = s.at
		if body, err = s.next(); err == nil && body[0] != kindMark {
			var r ledger.Record
			if r, err = parse(body); err == nil {
				replay(r)
			}
		}
	}
	return l.end(err)
}

// end goes on after the last record that is whole. What comes then was being written when the machine failed, unless a mark says
// that it was durable: it is cut off.
func (l *Log) end(why error) error {
	switch {
	case errors.Is(why, errHead), errors.Is(why, errBody):
		if durable, err := marked(l.file, l.size); durable || err != nil {
			return l.damaged(l.size, cmp.Or(err, why))
		}
		fallthrough
	case errors.Is(why, errCutOff):
		if err := l.cut(l.size); err != nil {
			return err
		}
	case !errors.Is(why, io.EOF):
		return l.damaged(l.size, why)
	}
	l.base = l.size
	if _, err := l.file.Seek(l.size, io.SeekStart); err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	return nil
}

// cut removes what is behind an offset.
func (l *Log) cut(at int64) error {
	if err := errors.Join(l.file.Truncate(at), l.file.Sync()); err != nil {
		return fmt.Errorf("cut off the end of the ledger: %w", err)
	}
	return nil
}

func (l *Log) damaged(at int64, err error) error {
	return fmt.Errorf("the ledger %s is damaged at byte %d: %w. Nothing was changed. "+
		"Move the folder away, and start with a new one: what this ledger may have begun is then found out about, or in doubt",
		filepath.Join(l.dir, logName), at, err)
}
