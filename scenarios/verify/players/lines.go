package players

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// lines is a file of JSON lines that an adapter writes, and that outlives it.
type lines struct {
	mu   sync.Mutex
	file *os.File
}

// openLines opens a log, to write more to it.
func openLines(name string) (*lines, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &lines{file: file}, err
}

func (l *lines) write(line any) error {
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

// ReadLines reads a log of JSON lines.
func ReadLines[T any](name string) ([]T, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var all []T
	text := bufio.NewScanner(f)
	for text.Scan() {
		var line T
		if err := json.Unmarshal(text.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, len(all)+1, err)
		}
		all = append(all, line)
	}
	return all, text.Err()
}
