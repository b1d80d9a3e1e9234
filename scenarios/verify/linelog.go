package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// lineLog is a file of JSON lines that an adapter writes, and that outlives it.
type lineLog struct {
	mu   sync.Mutex
	file *os.File
}

// openLog opens a log, to write more to it.
func openLog(name string) (*lineLog, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &lineLog{file: file}, err
}

func (l *lineLog) write(line any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	if _, err = l.file.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	return nil
}

// readLog reads a log of JSON lines.
func readLog[T any](name string) ([]T, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var all []T
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line T
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, len(all)+1, err)
		}
		all = append(all, line)
	}
	return all, lines.Err()
}
