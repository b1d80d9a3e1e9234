package players

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// What the log of mortal tells.
const (
	MortalBegan = "began"
	MortalOver  = "over"
	MortalAsked = "asked" // what came of it
)

// MortalLine is a line of that log.
type MortalLine struct {
	At      time.Time        `json:"at"`
	Process int              `json:"process"`
	Key     string           `json:"key"`
	Order   messages.OrderID `json:"order"`
	What    string           `json:"what"`
}

// MortalInput is the input of its activities. What is poison kills the process.
type MortalInput struct {
	Poison bool `json:"poison"`
	N      int  `json:"n"`
}

// mortal is an adapter that writes down what it does, and dies of what is poison.
type mortal struct{ log *lines }

// mortalTakes is how long an execution takes.
const mortalTakes = 20 * time.Millisecond

func mortalPlayer(p *part) func() *adapters.Adapter {
	p.writes("a line at the beginning and the end of each execution")
	return func() *adapters.Adapter {
		m := &mortal{log: p.lines}
		a := adapters.New(Mortal)
		adapters.Handle(a, "apply", m.execute, adapters.Idempotent(), adapters.Concurrency(16))
		adapters.Handle(a, "charge", m.execute, adapters.Recover(m.find(p.log)), adapters.Concurrency(16))
		return a
	}
}

func (m *mortal) write(t adapters.Task, what string) error {
	return m.log.write(MortalLine{At: time.Now(), Process: os.Getpid(), Key: t.Key, Order: t.OrderID, What: what})
}

// execute has been applied once its end is written down.
func (m *mortal) execute(ctx context.Context, t adapters.Task, in MortalInput) (MortalInput, error) {
	if err := m.write(t, MortalBegan); err != nil {
		return in, err
	}
	if in.Poison {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-ctx.Done() // it is gone before
	}
	if err := stage.Pause(ctx, mortalTakes); err != nil {
		return in, err
	}
	return in, m.write(t, MortalOver)
}

// find finds out in the log whether work was applied.
func (m *mortal) find(log string) func(context.Context, adapters.Task, MortalInput) (MortalInput, error) {
	return func(_ context.Context, t adapters.Task, in MortalInput) (MortalInput, error) {
		if err := m.write(t, MortalAsked); err != nil {
			return in, err
		}
		all, err := ReadLines[MortalLine](log)
		if err != nil {
			return in, err
		}
		for _, l := range all {
			if l.Key == t.Key && l.What == MortalOver {
				return in, nil
			}
		}
		return in, adapters.ErrNotDone
	}
}
