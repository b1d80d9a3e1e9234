package checker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine bounds a line, in bytes: events carry inputs and outputs of orders.
const maxLine = 64 << 20

// errTorn: the last line has no end.
var errTorn = errors.New("the last line is cut short")

// place is a line of a file.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// readLines hands each line of a file to take, which must not keep it. An unfinished last line is not handed over: it
// fails with errTorn.
func readLines(ctx context.Context, name string, take func(place, []byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<20)
	var long []byte
	at := place{file: name, line: 1}
	for {
		chunk, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if long = append(long, chunk...); len(long) > maxLine {
				return fmt.Errorf("%v: has more than %d bytes", at, maxLine)
			}
			continue
		case errors.Is(err, io.EOF):
			if len(long)+len(chunk) > 0 {
				return fmt.Errorf("%v: %w", at, errTorn)
			}
			return nil
		case err != nil:
			return fmt.Errorf("%v: %w", at, err)
		}
		line := chunk
		if len(long) > 0 {
			line = append(long, chunk...) //nolint:gocritic // long is emptied below, and keeps its room
		}
		if err := take(at, line[:len(line)-1]); err != nil {
			return fmt.Errorf("%v: %w", at, err)
		}
		long = long[:0]
		if at.line++; at.line%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func decode(line []byte, into any) error {
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("is no JSON of the expected form: %w", err)
	}
	return nil
}
