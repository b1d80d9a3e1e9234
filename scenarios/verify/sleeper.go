package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
)

// sleeperCommand makes this program the adapter of the rows restart and keys.
const sleeperCommand = "sleeper"

// sleepTime is how long one execution takes in the row restart.
const sleepTime = time.Second

// execution is a line of the sleeper's log: an execution has started, or is over.
type execution struct {
	At    time.Time        `json:"at"`
	Key   string           `json:"key"`
	Order messages.OrderID `json:"order"`
	Over  bool             `json:"over"`
}

// runSleeper runs the adapter sleeper, whose only activity takes its time, and writes down each execution.
func runSleeper(ctx context.Context, args []string, stderr io.Writer) int {
	f := flag.NewFlagSet(sleeperCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	server := f.String("server", "", "address of the node")
	takes := f.Duration("for", sleepTime, "how long one execution takes")
	name := f.String("log", "", "file for a line at the beginning and the end of each execution")
	if err := f.Parse(args); err != nil {
		return exitUsage // the flag package has printed it
	}
	log, err := os.OpenFile(*name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "sleeper:", err)
		return exitMiss
	}
	var mu sync.Mutex
	write := func(t adapters.Task, over bool) error {
		mu.Lock()
		defer mu.Unlock()
		line, err := json.Marshal(execution{At: time.Now(), Key: t.Key, Order: t.OrderID, Over: over})
		if err != nil {
			return fmt.Errorf("encode execution: %w", err)
		}
		if _, err = log.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write down execution: %w", err)
		}
		return nil
	}
	a := adapters.New(sleeperCommand)
	adapters.Handle(a, "sleep", func(ctx context.Context, t adapters.Task, in json.RawMessage) (json.RawMessage, error) {
		if err := write(t, false); err != nil {
			return nil, err
		}
		timer := time.NewTimer(*takes)
		defer timer.Stop()
		select {
		case <-timer.C:
			return in, write(t, true)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, adapters.Idempotent(), adapters.Concurrency(2048))
	err = a.Run(ctx, adapters.Config{Servers: []string{*server}, Log: slog.New(slog.NewTextHandler(stderr, nil))})
	if err = errors.Join(err, log.Close()); err != nil {
		_, _ = fmt.Fprintln(stderr, "sleeper:", err)
		return exitMiss
	}
	return exitPass
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
