package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
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
	log, err := openLog(*name)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "sleeper:", err)
		return exitMiss
	}
	write := func(t adapters.Task, over bool) error {
		return log.write(execution{At: time.Now(), Key: t.Key, Order: t.OrderID, Over: over})
	}
	a := adapters.New(sleeperCommand)
	adapters.Handle(a, "sleep", func(ctx context.Context, t adapters.Task, in json.RawMessage) (json.RawMessage, error) {
		if err := write(t, false); err != nil {
			return nil, err
		}
		if err := pause(ctx, *takes); err != nil {
			return nil, err
		}
		return in, write(t, true)
	}, adapters.Idempotent(), adapters.Concurrency(2048))
	err = a.Run(ctx, adapters.Config{Servers: []string{*server}, Log: slog.New(slog.NewTextHandler(stderr, nil))})
	if err = errors.Join(err, log.file.Close()); err != nil {
		_, _ = fmt.Fprintln(stderr, "sleeper:", err)
		return exitMiss
	}
	return exitPass
}
