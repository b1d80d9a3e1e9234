package players

import (
	"context"
	"math"
	"os"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/supervision"
)

// What the log of frail tells.
const (
	FrailBegan   = "began"
	FrailApplied = "applied" // the effect
	FrailEnded   = "ended"   // the activity is about to return
	FrailUndone  = "undone"  // of an order's step
)

// How an activity ends, after its effect.
const (
	FrailWell       = "well"
	FrailLate       = "late"
	FrailPanics     = "panics"
	FrailUnreported = "unreported"
)

// FrailLine is a line of that log.
type FrailLine struct {
	At      time.Time        `json:"at"`
	Process int              `json:"process"`
	Order   messages.OrderID `json:"order"`
	Key     string           `json:"key"`
	Step    string           `json:"step"`
	What    string           `json:"what"`
}

// FrailInput is the input of its activities.
type FrailInput struct {
	N    int    `json:"n"`
	Step string `json:"step"`
	How  string `json:"how"`
}

const (
	// frailTakes is how long an execution takes before its effect, and as long again after it.
	frailTakes = 15 * time.Millisecond
	// FrailTimeout bounds an execution.
	FrailTimeout = 500 * time.Millisecond
)

// frail is an adapter that writes down what it does. Its effects are lines of a file that outlives it.
type frail struct {
	log  *lines
	name string
}

func frailPlayer(p *part) func() *adapters.Adapter {
	name := p.flags.String("name", "", "name of the adapter")
	finds := p.flags.Bool("recover", false, "find out what came of work that another process may have begun")
	p.flags.StringVar(&p.config.LedgerDir, "ledger", "", "folder of its ledger")
	p.writes("what it does")
	// Panics are part of the row: they end no process.
	p.config.Restarts = supervision.Policy{
		MaxRestarts: 1000, Within: time.Second, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
	}
	return func() *adapters.Adapter {
		f := &frail{log: p.lines, name: p.log}
		a := adapters.New(*name)
		options := []adapters.Option{adapters.Concurrency(8), adapters.Timeout(FrailTimeout)}
		if *finds {
			options = append(options, adapters.Recover(f.find))
		}
		adapters.Handle(a, "charge", f.charge, options...)
		adapters.Handle(a, "undo", f.undo, adapters.Idempotent())
		return a
	}
}

func (f *frail) write(t adapters.Task, step, what string) error {
	return f.log.write(FrailLine{At: time.Now(), Process: os.Getpid(), Order: t.OrderID, Key: t.Key, Step: step, What: what})
}

// charge has its effect half-way. It may end badly after it, as its input says.
func (f *frail) charge(ctx context.Context, t adapters.Task, in FrailInput) (float64, error) {
	err := f.write(t, in.Step, FrailBegan)
	if err == nil {
		err = stage.Pause(ctx, frailTakes)
	}
	if err == nil {
		err = f.write(t, in.Step, FrailApplied)
	}
	if err == nil {
		err = stage.Pause(ctx, frailTakes)
	}
	if err != nil {
		return 0, err
	}
	if in.How == FrailLate {
		<-ctx.Done()
	}
	if err := f.write(t, in.Step, FrailEnded); err != nil {
		return 0, adapters.InDoubt(err)
	}
	switch in.How {
	case FrailLate:
		return 0, ctx.Err()
	case FrailPanics:
		panic("after the effect")
	case FrailUnreported:
		return math.NaN(), nil
	}
	return float64(in.N), nil
}

// find finds out in the log whether the effect was had. Only one process executes a key, and that one is dead.
func (f *frail) find(_ context.Context, t adapters.Task, in FrailInput) (float64, error) {
	all, err := ReadLines[FrailLine](f.name)
	if err != nil {
		return 0, err
	}
	for _, l := range all {
		if l.Key == t.Key && l.What == FrailApplied {
			return float64(in.N), nil
		}
	}
	return 0, adapters.ErrNotDone
}

func (f *frail) undo(_ context.Context, t adapters.Task, in FrailInput) (bool, error) {
	return true, f.write(t, in.Step, FrailUndone)
}
