package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// The outcomes of a request.
const (
	outcomeApplied  = "applied"
	outcomeRepeated = "repeated"
	outcomeRefused  = "refused"
)

// entry is a line of a downstream's log.
type entry struct {
	At       time.Time `json:"at"`
	Key      string    `json:"key"`
	Order    string    `json:"order"`
	Activity string    `json:"activity"`
	Outcome  string    `json:"outcome"`
}

// downlog is the memory of a downstream: one line per request, appended by a single write before the request is
// answered. There is no fsync: the log stands for an external system, which has to survive its own kill -9 (what was
// written is in the page cache by then), but not a crash of the machine.
//
// A lock keeps a second process off the same log. A last line that was cut short was never answered, and is removed.
type downlog struct {
	file  *os.File
	dedup bool

	mu      sync.Mutex
	applied map[string]struct{} // by key; grows with the log
}

func openDownlog(name string, dedup bool) (*downlog, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &downlog{file: f, dedup: dedup, applied: map[string]struct{}{}}
	if err := l.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("log %s: %w", name, err)
	}
	return l, nil
}

func (l *downlog) load() error {
	if err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process writes it: %w", err)
	}
	var whole int64
	in := bufio.NewReader(l.file)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return l.cut(whole)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if e.Outcome == outcomeApplied {
			l.applied[e.Key] = struct{}{}
		}
		whole += int64(len(line))
	}
}

// cut removes what follows the whole lines.
func (l *downlog) cut(whole int64) error {
	if err := l.file.Truncate(whole); err != nil {
		return fmt.Errorf("remove the torn last line: %w", err)
	}
	return nil
}

// apply decides a request that the system accepts: applied the first time, repeated after that.
func (l *downlog) apply(e entry) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Outcome = outcomeApplied
	if _, done := l.applied[e.Key]; done && l.dedup {
		e.Outcome = outcomeRepeated
	}
	if err := l.write(e); err != nil {
		return "", err
	}
	l.applied[e.Key] = struct{}{}
	return e.Outcome, nil
}

// refuse records a request that changes nothing.
func (l *downlog) refuse(e entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Outcome = outcomeRefused
	return l.write(e)
}

func (l *downlog) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	return nil
}

func (l *downlog) close() { _ = l.file.Close() } // each line was handed to the system already
