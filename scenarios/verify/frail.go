package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/supervision"
)

// frailCommand makes this program an adapter of the row adapter_kill.
const frailCommand = "frail"

// What the log of frail tells.
const (
	frailBegan   = "began"
	frailApplied = "applied" // the effect
	frailEnded   = "ended"   // the activity is about to return
	frailUndone  = "undone"  // of an order's step
)

// How an activity ends, after its effect.
const (
	frailWell       = "well"
	frailLate       = "late"
	frailPanics     = "panics"
	frailUnreported = "unreported"
)

// frailLine is a line of that log.
type frailLine struct {
	At      time.Time        `json:"at"`
	Process int              `json:"process"`
	Order   messages.OrderID `json:"order"`
	Key     string           `json:"key"`
	Step    string           `json:"step"`
	What    string           `json:"what"`
}

// frailInput is the input of its activities.
type frailInput struct {
	N    int    `json:"n"`
	Step string `json:"step"`
	How  string `json:"how"`
}

const (
	// frailTakes is how long an execution takes before its effect, and as long again after it.
	frailTakes = 15 * time.Millisecond
	// frailTimeout bounds an execution.
	frailTimeout = 500 * time.Millisecond
)

// frail is an adapter that writes down what it does. Its effects are lines of a file that outlives it.
type frail struct {
	log  *lineLog
	name string
}

func runFrail(ctx context.Context, args []string, stderr io.Writer) int {
	f := flag.NewFlagSet(frailCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	name := f.String("name", "", "name of the adapter")
	log := f.String("log", "", "file for what it does")
	finds := f.Bool("recover", false, "find out what came of work that another process may have begun")
	config := adapters.Config{Log: slog.New(slog.NewTextHandler(stderr, nil)), Servers: []string{""}}
	f.StringVar(&config.Servers[0], "server", "", "address of the node")
	f.StringVar(&config.LedgerDir, "ledger", "", "folder of its ledger")
	if err := f.Parse(args); err != nil {
		return exitUsage // the flag package has printed it
	}
	lines, err := openLog(*log)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "frail:", err)
		return exitMiss
	}
	fr := &frail{log: lines, name: *log}
	a := adapters.New(*name)
	options := []adapters.Option{adapters.Concurrency(8), adapters.Timeout(frailTimeout)}
	if *finds {
		options = append(options, adapters.Recover(fr.find))
	}
	adapters.Handle(a, "charge", fr.charge, options...)
	adapters.Handle(a, "undo", fr.undo, adapters.Idempotent())
	// Panics are part of the row: they end no process.
	config.Restarts = supervision.Policy{
		MaxRestarts: 1000, Within: time.Second, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
	}
	if err = errors.Join(a.Run(ctx, config), lines.file.Close()); err != nil {
		_, _ = fmt.Fprintln(stderr, "frail:", err)
		return exitMiss
	}
	return exitPass
}

func (f *frail) write(t adapters.Task, step, what string) error {
	return f.log.write(frailLine{At: time.Now(), Process: os.Getpid(), Order: t.OrderID, Key: t.Key, Step: step, What: what})
}

// charge has its effect half-way. It may end badly after it, as its input says.
func (f *frail) charge(ctx context.Context, t adapters.Task, in frailInput) (float64, error) {
	err := f.write(t, in.Step, frailBegan)
	if err == nil {
		err = pause(ctx, frailTakes)
	}
	if err == nil {
		err = f.write(t, in.Step, frailApplied)
	}
	if err == nil {
		err = pause(ctx, frailTakes)
	}
	if err != nil {
		return 0, err
	}
	if in.How == frailLate {
		<-ctx.Done()
	}
	if err := f.write(t, in.Step, frailEnded); err != nil {
		return 0, adapters.InDoubt(err)
	}
	switch in.How {
	case frailLate:
		return 0, ctx.Err()
	case frailPanics:
		panic("after the effect")
	case frailUnreported:
		return math.NaN(), nil
	}
	return float64(in.N), nil
}

// find finds out in the log whether the effect was had. Only one process executes a key, and that one is dead.
func (f *frail) find(_ context.Context, t adapters.Task, in frailInput) (float64, error) {
	lines, err := readLog[frailLine](f.name)
	if err != nil {
		return 0, err
	}
	for _, l := range lines {
		if l.Key == t.Key && l.What == frailApplied {
			return float64(in.N), nil
		}
	}
	return 0, adapters.ErrNotDone
}

func (f *frail) undo(_ context.Context, t adapters.Task, in frailInput) (bool, error) {
	return true, f.write(t, in.Step, frailUndone)
}
