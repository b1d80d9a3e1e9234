package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// interruptible returns what read does, or that ctx has ended before: what comes out of a terminal or a pipe may never come.
// read is left behind then, for nothing wakes all that it may wait for; it ends with the process.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := read()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// readFile reads a file, or the standard input for -, of at most maxInput.
func (a *app) readFile(ctx context.Context, name string) ([]byte, error) {
	return interruptible(ctx, func() ([]byte, error) {
		in := a.stdin
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("read file: %w", err)
			}
			defer f.Close() //nolint:errcheck // it was only read
			in = f
		}
		content, err := io.ReadAll(io.LimitReader(in, maxInput+1))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if len(content) > maxInput {
			return nil, fmt.Errorf("%s has more than %d bytes", name, maxInput)
		}
		return content, nil
	})
}
