package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
)

// mortalCommand makes this program the adapter of the rows poison and liar.
const mortalCommand = "mortal"

// What the log of mortal tells.
const (
	mortalBegan = "began"
	mortalOver  = "over"
	mortalAsked = "asked" // what came of it
)

// mortalLine is a line of that log.
type mortalLine struct {
	At      time.Time        `json:"at"`
	Process int              `json:"process"`
	Key     string           `json:"key"`
	Order   messages.OrderID `json:"order"`
	What    string           `json:"what"`
}

// mortalInput is the input of its activities. What is poison kills the process.
type mortalInput struct {
	Poison bool `json:"poison"`
	N      int  `json:"n"`
}

// mortal is an adapter that writes down what it does, and dies of what is poison.
type mortal struct{ log *lineLog }

// mortalTakes is how long an execution takes.
const mortalTakes = 20 * time.Millisecond

func runMortal(ctx context.Context, args []string, stderr io.Writer) int {
	f := flag.NewFlagSet(mortalCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	server := f.String("server", "", "address of the node")
	name := f.String("log", "", "file for a line at the beginning and the end of each execution")
	if err := f.Parse(args); err != nil {
		return exitUsage // the flag package has printed it
	}
	log, err := openLog(*name)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "mortal:", err)
		return exitMiss
	}
	m := &mortal{log: log}
	a := adapters.New(mortalCommand)
	adapters.Handle(a, "apply", m.execute, adapters.Idempotent(), adapters.Concurrency(16))
	adapters.Handle(a, "charge", m.execute, adapters.Recover(m.find(*name)), adapters.Concurrency(16))
	err = a.Run(ctx, adapters.Config{Servers: []string{*server}, Log: slog.New(slog.NewTextHandler(stderr, nil))})
	if err = errors.Join(err, log.file.Close()); err != nil {
		_, _ = fmt.Fprintln(stderr, "mortal:", err)
		return exitMiss
	}
	return exitPass
}

func (m *mortal) write(t adapters.Task, what string) error {
	return m.log.write(mortalLine{At: time.Now(), Process: os.Getpid(), Key: t.Key, Order: t.OrderID, What: what})
}

// execute has been applied once its end is written down.
func (m *mortal) execute(ctx context.Context, t adapters.Task, in mortalInput) (mortalInput, error) {
	if err := m.write(t, mortalBegan); err != nil {
		return in, err
	}
	if in.Poison {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-ctx.Done() // it is gone before
	}
	if err := pause(ctx, mortalTakes); err != nil {
		return in, err
	}
	return in, m.write(t, mortalOver)
}

// find finds out in the log whether work was applied.
func (m *mortal) find(log string) func(context.Context, adapters.Task, mortalInput) (mortalInput, error) {
	return func(_ context.Context, t adapters.Task, in mortalInput) (mortalInput, error) {
		if err := m.write(t, mortalAsked); err != nil {
			return in, err
		}
		lines, err := readLog[mortalLine](log)
		if err != nil {
			return in, err
		}
		for _, l := range lines {
			if l.Key == t.Key && l.What == mortalOver {
				return in, nil
			}
		}
		return in, adapters.ErrNotDone
	}
}
