package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/holdfast-run/holdfast/adapters"
)

// echoerCommand makes this program one of the adapters of the row bulkhead.
const echoerCommand = "echoer"

// runEchoer runs an adapter of the name given, whose only activity returns its input. It has room as bench.echo has.
func runEchoer(ctx context.Context, args []string, stderr io.Writer) int {
	f := flag.NewFlagSet(echoerCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	name := f.String("name", "", "name of the adapter")
	server := f.String("server", "", "address of the node")
	if err := f.Parse(args); err != nil {
		return exitUsage // the flag package has printed it
	}
	a := adapters.New(*name)
	adapters.Handle(a, "echo", func(_ context.Context, _ adapters.Task, in json.RawMessage) (json.RawMessage, error) {
		return in, nil
	}, adapters.Idempotent(), adapters.Concurrency(16), adapters.Prefetch(1008))
	if err := a.Run(ctx, adapters.Config{Servers: []string{*server}, Log: slog.New(slog.NewTextHandler(stderr, nil))}); err != nil {
		_, _ = fmt.Fprintln(stderr, "echoer:", err)
		return exitMiss
	}
	return exitPass
}
